"""Random directions over all parameters, and the regions that bisection cuts out of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .black_box import BlackBox, Direction, Span


@dataclass(frozen=True)
class Region:
    """Some of the parameters: spans of neighbouring entries, each in a leaf of its own."""

    spans: tuple[Span, ...]

    @property
    def size(self) -> int:
        return sum(span.size for span in self.spans)

    def halves(self) -> tuple["Region", "Region"]:
        """Return two regions that share out the leaves, or the entries of a single leaf."""
        middle = len(self.spans) // 2
        if middle:
            return Region(self.spans[:middle]), Region(self.spans[middle:])
        (span,) = self.spans
        cut = (span.start + span.stop) // 2
        return (
            Region((Span(span.leaf, span.start, cut),)),
            Region((Span(span.leaf, cut, span.stop),)),
        )


def whole_leaf(leaf: int, size: int) -> Region:
    return Region((Span(leaf, 0, size),))


def random_weights(black_box: BlackBox, seed: int, round_: int) -> tuple[np.ndarray, ...]:
    """Return a flat array of random weights for each leaf, scaled so that all leaves count alike.

    Signs are random, so that faults do not add up or cancel systematically. Sizes are spread over
    0.5...1 times the leaf's scale: with equal sizes, two opposite faults, such as those of a
    transposed pair, would cancel in every second direction.
    """
    rng = np.random.default_rng([seed, round_])
    weights = []
    for leaf, scale in zip(black_box.leaves, black_box.scales, strict=True):
        spread = rng.uniform(-0.5, 0.5, leaf.size)
        weights.append(scale * (spread + np.copysign(0.5, spread)))
    return tuple(weights)


def restrict(weights: Sequence[np.ndarray], region: Region) -> Direction:
    return {span: weights[span.leaf][span.start : span.stop] for span in region.spans}
