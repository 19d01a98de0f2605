"""What f is like around the point: where kinks meet at it, its pieces show there."""

from dataclasses import dataclass

import numpy as np

from gradparity.backends.precision import EPSILON

from .function import Function
from .leaves import Direction, Span
from .score import Directions
from .slope import Slope
from .thresholds import BEND, CLOSE, FIRST_NEIGHBOURS, GRAINS, NEIGHBOURS, PLAINLY, WITHIN


@dataclass(frozen=True)
class Surroundings:
    """Looks at the slopes of f at random points beside the given one."""

    directions: Directions

    def explain(
        self, leaf: int, entry: int, got: float, slope: Slope
    ) -> tuple[float, float] | str | None:
        """Return slopes at points around that make `got` legal, or why nobody can tell.

        Where several kinks meet, f may be smooth along each entry and not in between, as the
        largest minus the smallest of equal numbers is; engines return a slope that f has next to
        the point (the generalized gradient: F. H. Clarke, "Optimization and Nonsmooth Analysis").
        """
        if slope.kind == "jump" or not isinstance(self.directions.function, Function):
            return None
        along = {Span(leaf, entry, entry + 1): np.ones(1)}
        scale = self.directions.function.leaves[leaf].scale
        size = max(map(abs, (slope.low, slope.high, got)))
        kinked = slope.kind == "kink"
        index = list(self.directions.function.leaves[leaf].index(entry))
        hidden = f"{index} kinks may meet there, which hide its slopes"
        # A few of the kinks that would explain `got` are seen in each of the points around.
        seen = min(BEND * size, PLAINLY * slope.distance(got)) if kinked else BEND * size

        def others(distance: float, part: float = WITHIN) -> np.ndarray:
            """Return how far slopes at points around are outside of those at the point."""
            met = "kink" in self.directions.kinds
            number = FIRST_NEIGHBOURS[2 if kinked else met]
            step = distance * part * scale
            near = [self._slope(along, k, distance, step) for k in range(number)]
            return np.array([max(slope.low - one, one - slope.high, 0.0) for one in near])

        # Farther away there is less noise; having met kinks, one may look for them there.
        for far, close in CLOSE if "kink" in self.directions.kinds else CLOSE[:1]:
            function = self.directions.function
            noise = max(EPSILON * abs(function.value), function.unsteadiness)
            noise /= close * WITHIN * scale
            near = others(close)
            clear = near.max() < seen
            if not clear:
                # Noise makes another slope of every step, a kink of the few that it is within.
                # Where kinks meet, f is straight along each ray: the same slopes farther out.
                # What bends or ripples has others there.
                noise = max(noise, float(np.median(np.abs(near - others(close, WITHIN / 1.5)))))
                if near.max() < GRAINS * noise:
                    continue
                if np.abs(near - others(far)).mean() <= PLAINLY * near.mean():
                    # On stairs, too; but over several of them f rises as at the point.
                    if not kinked and others(far, 1.0).max() < PLAINLY * np.median(near):
                        return None
                    break
        else:
            return hidden if kinked and not (clear and seen >= GRAINS * noise) else None
        low, high = self._reach(along, got, (slope.low, slope.high), close, scale)
        if low <= got <= high:
            return low, high
        # Of pieces that meet there are more than were looked at.
        return hidden if max(low - got, got - high) <= high - low else None

    def allow(self, along: Direction, got: float, size: float) -> bool:
        """Tell whether f has a slope along some entries, or between two, that explains a claim.

        size: of slopes along these entries
        """
        function, distance = self.directions.function, CLOSE[-1][1]
        if not isinstance(function, Function):
            return True  # it has no surroundings
        slack = BEND * size + GRAINS * EPSILON * abs(function.value) / (WITHIN * distance)
        value = function.along(along)
        ends = [(value(end) - function.value) / end for end in (-distance, distance)]
        low, high = self._reach(along, got, (min(ends) - slack, max(ends) + slack), distance)
        return low <= got <= high

    def _reach(
        self,
        along: Direction,
        got: float,
        interval: tuple[float, float],
        distance: float,
        scale: float = 1.0,
    ) -> tuple[float, float]:
        """Return an interval and the slopes at points around, as many as it takes to hold `got`."""
        low, high = interval
        for neighbour in range(NEIGHBOURS):
            if low <= got <= high:
                break
            one = self._slope(along, neighbour, distance, distance * WITHIN * scale)
            low, high = min(low, one), max(high, one)
        return low, high

    def _slope(self, along: Direction, neighbour: int, distance: float, step: float) -> float:
        """Return the slope along some entries at a random point beside the given one."""
        leaves, (first, *_) = self.directions.function.leaves, along
        rng = np.random.default_rng([self.directions.seed, first.leaf, first.start, neighbour])
        away = [distance * leaf.scale * rng.uniform(-1, 1, leaf.size) for leaf in leaves]
        values = []
        for shift in (step, -step):
            moved = {Span(k, 0, off.size): off.copy() for k, off in enumerate(away)}
            for span, weights in along.items():
                whole = Span(span.leaf, 0, away[span.leaf].size)
                moved[whole][span.start : span.stop] += shift * weights
            values.append(self.directions.function.along(moved)(1.0))
        return (values[0] - values[1]) / (2 * step)
