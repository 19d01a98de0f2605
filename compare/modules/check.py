"""Check the gradient of a model's loss by all its trained parameters."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

from gradparity.backends.errors import InvalidParameters
from gradparity.backends.framework_trees import (
    is_equinox_module,
    is_model,
    is_nnx_module,
    is_torch_module,
)
from gradparity.backends.pytrees import PyTree, flatten, leaf_names, named_leaves, unflatten

from ..checking.check import GradientCheck, check_gradient
from .subject import Subject, in_float64

SUPPORTED = (
    "a torch.nn.Module, a Keras model, a pair (flax.linen module, variables), an nnx module or an "
    "Equinox module"
)


def check_module(
    model: Any,
    loss: Callable[..., Any],
    *batch: PyTree,
    gradient: PyTree | Callable[..., PyTree] | None = None,
    seed: int = 0,
    **accepted: Any,
) -> GradientCheck:
    """Judge the gradient of a model's loss on one batch, by differences of the loss in float64.

    The model stays as it is: parameters, buffers and statistics are private copies. Frozen
    parameters are left out by name; dropout and batch norm in train mode are told in the notes.

    model: a torch.nn.Module, a Keras 3 model (on JAX or torch), `(flax.linen module, variables)`,
        a flax.nnx module or an Equinox module
    loss: `loss(model(batch[0]), *batch[1:])` for torch, Keras and linen, `loss(model, *batch)` for
        nnx and Equinox; returns one real number
    gradient: what is judged: by the names of the parameters, or like the model, or a callable.
        By default the `.grad` that all of a torch module's parameters hold, where they do, else
        what the framework's own backward pass gives
    seed: of the random directions; accepted: `rtol` and the like of check_gradient
    raises: InvalidParameters for a model of another kind

    >>> net, x, t = torch.nn.Linear(3, 1), torch.ones(4, 3), torch.zeros(4, 1)
    >>> gp.check_module(net, torch.nn.functional.mse_loss, x, t).verdict
    <Verdict.AGREE: 'agree'>
    """
    subject = read_module(model, loss, batch)
    judged = subject.gradient if gradient is None else _by_names(gradient, subject)
    check = check_gradient(
        subject.f,
        subject.params,
        *in_float64(subject.batch),
        gradient=judged,
        seed=seed,
        backend=subject.backend,
        **accepted,
    )
    return with_notes(check, subject.notes)


def read_module(model: Any, loss: Callable[..., Any], batch: tuple[PyTree, ...]) -> Subject:
    """Return the pure function of a model's parameters, and its own gradient.

    raises: InvalidParameters for a model of another kind, or without trained parameters
    """
    subject = _subject(model, loss, batch)
    if not flatten(subject.params)[0]:
        raise InvalidParameters(
            f"{type(model).__name__} has no trained parameters; expected at least one that "
            "requires a gradient: thaw it, for instance with model.requires_grad_(True)"
        )
    return subject


def _subject(model: Any, loss: Callable[..., Any], batch: tuple[PyTree, ...]) -> Subject:
    if _is_keras(model):
        from .keras_models import keras_subject

        return keras_subject(model, loss, batch)
    if is_torch_module(model):
        from .torch_modules import torch_subject

        return torch_subject(model, loss, batch)
    linen = sys.modules.get("flax.linen")
    if isinstance(model, tuple) and linen is not None and isinstance(model[0], linen.Module):
        from .jax_modules import linen_subject

        module, variables = model
        return linen_subject(module, variables, loss, batch)
    if is_nnx_module(model) or is_equinox_module(model):
        from .jax_modules import tree_subject

        return tree_subject(model, loss, batch)
    if linen is not None and isinstance(model, linen.Module):
        raise InvalidParameters(
            f"got the linen module {type(model).__name__} without its variables; expected "
            "check_module((module, variables), loss, *batch)"
        )
    raise InvalidParameters(
        f"got {type(model).__name__}; expected {SUPPORTED}. For a function of parameters call "
        "check_gradient(f, params, *args, gradient=...)"
    )


def _is_keras(model: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.layers.Layer)


def _by_names(gradient: PyTree, subject: Subject) -> PyTree:
    """Return a gradient that came as a model, or as its parameters, in the subject's structure."""
    if callable(gradient) and not is_model(gradient):
        return gradient
    names = leaf_names(subject.params)
    offered = named_leaves(gradient)
    if set(offered) != set(names):
        return gradient  # the check says what is missing
    return unflatten(flatten(subject.params)[1], [offered[name] for name in names])


def with_notes(check: GradientCheck, notes: tuple[str, ...]) -> GradientCheck:
    """Return the check with what else there is to know of it."""
    return dataclasses.replace(check, notes=(*check.notes, *notes))
