"""The exercises: which arguments to differentiate by, and inputs to try an answer at."""

import numpy as np
from numpy.random import Generator

from . import layers, mistakes
from .exercise import Exercise, Inputs

SMALLEST, LARGEST = 3, 7  # of the sizes that are drawn
LARGE_LOGIT = 800.0  # exp of it is infinite


def _sizes(generator: Generator, count: int, square: bool) -> list[int]:
    """Return sizes that all differ, or that are all alike."""
    sizes = generator.permutation(np.arange(SMALLEST, LARGEST + 1))[:count]
    return [int(sizes[0])] * count if square else sizes.tolist()


def _affine(generator: Generator, square: bool) -> Inputs:
    batch, size, outputs = _sizes(generator, 3, square)
    return {
        "x": generator.normal(size=(batch, size)),
        "W": generator.normal(size=(size, outputs)),
        "b": generator.normal(size=outputs),
    }


def _entries(generator: Generator, square: bool) -> Inputs:
    return {"x": generator.normal(size=_sizes(generator, 2, square)) * 1.5}


def _logits(generator: Generator, square: bool) -> Inputs:
    batch, classes = _sizes(generator, 2, square)
    x = generator.normal(size=(batch, classes))
    x[-1] += LARGE_LOGIT
    return {"x": x, "t": generator.integers(classes, size=batch)}


def _norm(generator: Generator, square: bool) -> Inputs:
    batch, size = _sizes(generator, 2, square)
    return {
        "x": generator.normal(size=(batch, size)) * 1.5 + 0.5,
        "gamma": generator.uniform(0.5, 2, size),
        "beta": generator.normal(size=size),
        "eps": 1e-5,
    }


def _images(generator: Generator, square: bool) -> Inputs:
    batch, channels, filters, height, width = _sizes(generator, 5, square)
    stride, padding = (1, 1) if square else (2, 1)
    window = (3, 3) if square else (3, 2)
    return {
        "x": generator.normal(size=(batch, channels, height, width)),
        "W": generator.normal(size=(filters, channels, *window)),
        "b": generator.normal(size=filters),
        "stride": stride,
        "padding": padding,
    }


def _windows(generator: Generator, square: bool) -> Inputs:
    batch, channels, height, width = _sizes(generator, 4, square)
    size = int(generator.integers(2, 4))
    return {
        "x": generator.normal(size=(batch, channels, size * height, size * width)),
        "size": size,
    }


def _dropped(generator: Generator, square: bool) -> Inputs:
    shape, keep = _sizes(generator, 2, square), float(generator.uniform(0.6, 0.9))
    mask = (generator.permutation(np.prod(shape)).reshape(shape) % 3 > 0).astype(float)
    return {"x": generator.normal(size=shape), "mask": mask, "keep": keep}


def _states(generator: Generator, square: bool) -> Inputs:
    batch, size, hidden = _sizes(generator, 3, square)
    return {
        "x": generator.normal(size=(batch, size)) * 0.5,
        "h": np.tanh(generator.normal(size=(batch, hidden))),
        "Wx": generator.normal(size=(size, hidden)) * 0.5,
        "Wh": generator.normal(size=(hidden, hidden)) * 0.5,
        "b": generator.normal(size=hidden) * 0.5,
    }


def _queries(generator: Generator, square: bool) -> Inputs:
    queries, keys, size, values = _sizes(generator, 4, square)
    return {
        "q": generator.normal(size=(queries, size)),
        "k": generator.normal(size=(keys, size)),
        "v": generator.normal(size=(keys, values)),
    }


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(layers.affine, ("x", "W", "b"), _affine, mistakes.AFFINE),
        Exercise(
            layers.sigmoid,
            ("x",),
            _entries,
            mistakes.SIGMOID,
            hint="The slope of sigmoid can be had from its value y alone.",
        ),
        Exercise(layers.relu, ("x",), _entries, mistakes.RELU),
        Exercise(
            layers.softmax_cross_entropy,
            ("x",),
            _logits,
            mistakes.SOFTMAX_CROSS_ENTROPY,
            hint="Softmax and cross entropy together have a simpler slope than each of them.",
        ),
        Exercise(
            layers.batch_norm,
            ("x", "gamma", "beta"),
            _norm,
            mistakes.BATCH_NORM,
            hint="x reaches y by three ways: by itself, by the mean, and by the variance.",
        ),
        Exercise(
            layers.layer_norm,
            ("x", "gamma", "beta"),
            _norm,
            mistakes.LAYER_NORM,
            hint="x reaches y by three ways: by itself, by the mean, and by the variance.",
        ),
        Exercise(
            layers.convolution,
            ("x", "W", "b"),
            _images,
            mistakes.CONVOLUTION,
            needs=(layers.im2col,),
            hint="Windows overlap: what comes back to one pixel from several is added up.",
        ),
        Exercise(layers.max_pool, ("x",), _windows, mistakes.MAX_POOL),
        Exercise(layers.dropout, ("x",), _dropped, mistakes.DROPOUT),
        Exercise(
            layers.rnn_step,
            ("x", "h", "Wx", "Wh", "b"),
            _states,
            mistakes.RNN_STEP,
            hint="Begin with the gradient inside the tanh; all five follow from it.",
        ),
        Exercise(
            layers.attention,
            ("q", "k", "v"),
            _queries,
            mistakes.ATTENTION,
            hint="Go backwards through three steps: weights v, softmax, scores.",
        ),
    )
}
"""The exercises by their names, from the easiest on."""
