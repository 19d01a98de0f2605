"""One candidate before the arbiter: what its entries may be off by, and what was found out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from ..verdicts import Suspect
from .black_box import BlackBox, Direction
from .candidate import Candidate
from .directions import Region
from .meter import MUCH_SMALLER, Meter, norm, root_of_squares

# Each entry of a gradient is a sum of products: roundings relative to itself, and to the size of
# what was added up and cancelled, for which the leaf's other entries stand in. Gradients of nets,
# attention and means over 100,000 samples in float32 were off by up to 15, one by 37.
ROUNDINGS = 32
# Random signs: four standard deviations of the sum of all entries' round-off.
DEVIATIONS = 4
# A right gradient is called so where four digits of a leaf can be had.
DIGITS = 1e-4
# A leaf this small beside the others, in roundings of the largest, is a zero with round-off.
NEGLIGIBLE = 64
# Where all of a gradient is zero, slopes of f below these, per relative change of 1, are, too:
# DIGITS times the first where zeros were handed over, times the second for round-off of f.
UNIT_OF_ZEROS = 1e-2
UNIT_OF_ROUND_OFF = 1e-8


@dataclass(frozen=True)
class Kink:
    """An entry where f has no derivative, and what the candidate has there.

    interval: the one-sided derivatives, sorted: every value in it is legal
    got: NaN where the candidate is NaN, which is reported and not blamed
    """

    leaf: str
    index: tuple[int, ...]
    got: float
    interval: tuple[float, float]


class Kind(Enum):
    FITS = "fits"
    FAULTY = "faulty"
    IRREGULAR = "irregular"


@dataclass(frozen=True)
class Finding:
    """What a slope says about the candidate's entries in a region.

    residual: the candidate's slope minus that of f, known to within error
    """

    region: Region
    kind: Kind
    residual: float = 0.0
    error: float = 0.0


@dataclass
class LeafRecord:
    """What is known of one leaf.

    resolution: the arbiter's bar over the size of the leaf's slope, the best so far
    partial: the same, the worst of the parts that the leaf was taken apart into
    pattern: a guess at what is wrong; more: whether there are more wrong entries than suspects
    wrong: the leaf as a whole is known to be wrong, whether or not a single entry shows it
    closed: no direction is to move it again, since not all of its faults are known
    unknown: why some of it could not be judged
    """

    resolution: float = math.inf
    partial: float = 0.0
    pattern: str = ""
    suspects: int = 0
    more: bool = False
    wrong: bool = False
    closed: bool = False
    unknown: list[str] = field(default_factory=list)


class Trial:
    """The state of judging one candidate.

    gradient: flat leaves; entries found wrong are replaced by the arbiter's, so that the rest can
    be judged. `original` keeps what was handed over.
    """

    def __init__(
        self, meter: Meter, candidate: Candidate, tolerance: Sequence[np.ndarray] | None = None
    ) -> None:
        self.meter = meter
        self.original = [leaf.reshape(-1) for leaf in candidate.leaves]
        self.gradient = [leaf.copy() for leaf in self.original]
        self.epsilons = candidate.epsilons
        self.tolerance = (
            [_round_off(leaf, epsilon) for leaf, epsilon in self._with_epsilons()]
            if tolerance is None
            else [np.ravel(leaf) for leaf in tolerance]
        )
        self.records = [LeafRecord() for _ in self.original]
        self.suspects: list[Suspect] = []
        self.kinks: list[Kink] = []
        self.smoothness = "smooth"
        self._exempt: list[np.ndarray] = [~np.isfinite(leaf) for leaf in self.original]
        for position, _ in candidate.problems:
            if position >= 0:
                self._exempt[position][:] = True
        for leaf, exempt in zip(self.gradient, self._exempt, strict=True):
            leaf[exempt] = 0.0
        self._shrunk: set[int] = set()
        self.sizes = self._sizes()

    def _with_epsilons(self) -> list[tuple[np.ndarray, float]]:
        return list(zip(self.original, self.epsilons, strict=True))

    @property
    def black_box(self) -> BlackBox:
        return self.meter.black_box

    def weights(self, round_: int) -> list[np.ndarray]:
        """Return the round's random weights, zero for entries that are judged one by one."""
        weights = [
            np.where(exempt, 0.0, weights) if exempt.any() else weights
            for weights, exempt in zip(self.meter.weights(round_), self._exempt, strict=True)
        ]
        for leaf in self._shrunk:
            weights[leaf] = weights[leaf] * self._reach(leaf)
        return weights

    def _reach(self, leaf: int) -> np.ndarray | float:
        """Return by how much the entries of a leaf move, beside its scale."""
        if leaf not in self._shrunk:
            return 1.0
        sizes = np.abs(self.black_box.leaves[leaf].reshape(-1)) / self.black_box.scales[leaf]
        return np.where(sizes > 0, np.minimum(sizes, 1.0), 1.0)

    def shrink(self, leaf: int) -> bool:
        """Move small entries by their own size from now on, if there are any; False if not.

        Where a domain ends at 0, as that of a logarithm, a step that suits the others leaves it.
        """
        sizes = np.abs(self.black_box.leaves[leaf])
        small = (sizes > 0) & (sizes < MUCH_SMALLER * self.black_box.scales[leaf])
        if leaf in self._shrunk or not small.any():
            return False
        self._shrunk.add(leaf)
        self.sizes = self._sizes()
        return True

    def exempt(self, leaf: int, entry: int) -> None:
        """Leave an entry out of all further directions."""
        self._exempt[leaf][entry] = True

    def admit(self, leaf: int, gradient: np.ndarray) -> None:
        """Judge a whole leaf by other numbers than those that were handed over."""
        self.gradient[leaf] = np.ascontiguousarray(gradient).reshape(-1).copy()
        self._exempt[leaf][:] = False
        self.sizes = self._sizes()

    def dismiss(self, leaf: int) -> None:
        """Leave a whole leaf out of all further directions."""
        self.gradient[leaf][:] = 0.0
        self._exempt[leaf][:] = True
        self.sizes = self._sizes()

    def judged(self, leaf: int) -> bool:
        """Tell whether directions move any entry of the leaf."""
        return not self._exempt[leaf].all()

    @property
    def progress(self) -> tuple[int, int]:
        """Count what has been found, to see whether a search still finds anything."""
        return len(self.suspects), sum(int(exempt.sum()) for exempt in self._exempt)

    def _sizes(self) -> list[float]:
        """Return the typical size of each leaf's slope, as the candidate has it."""
        scales = self.black_box.scales
        return [
            scale * root_of_squares(flat * self._reach(leaf))
            for leaf, (scale, flat) in enumerate(zip(scales, self.gradient, strict=True))
        ]

    @property
    def total(self) -> float:
        return max(self.sizes)

    def predicted(self, direction: Direction) -> float:
        return math.fsum(
            float(self.gradient[span.leaf][span.start : span.stop] @ weights)
            for span, weights in direction.items()
        )

    def allowance(self, direction: Direction) -> float:
        """Return by how much round-off in the candidate may change its slope."""
        return DEVIATIONS * norm(self.tolerance, direction)

    def size(self, direction: Direction) -> float:
        """Return the size of slope that digits are counted from, along random signs.

        Entries count with what their leaf has on average: beside them, a zero has digits, too.
        """
        shares = math.hypot(
            *(
                self.sizes[span.leaf] * math.sqrt(span.size / self.gradient[span.leaf].size)
                for span in direction
            )
        )
        return max(norm(self.gradient, direction), shares)

    def size_of_zeros(self, leaves: Iterable[int]) -> float | None:
        """Return the same for leaves of nothing but what round-off leaves of zeros; else None.

        The other leaves say what is small; where all are zeros, slopes of f itself do.
        """
        leaves = tuple(leaves)
        epsilon = max(self.epsilons[leaf] for leaf in leaves)
        of_value = NEGLIGIBLE * epsilon * abs(self.black_box.value)
        if max(self.sizes[leaf] for leaf in leaves) > max(
            NEGLIGIBLE * epsilon * self.total, of_value
        ):
            return None
        if self.total > of_value:
            return DIGITS * self.total
        return UNIT_OF_ROUND_OFF if self.total else UNIT_OF_ZEROS

    def note_smoothness(self, smoothness: str) -> None:
        order = ("smooth", "kink", "jump", "not finite")
        self.smoothness = max(self.smoothness, smoothness, key=order.index)


def _round_off(leaf: np.ndarray, epsilon: float) -> np.ndarray:
    finite = np.where(np.isfinite(leaf), np.abs(leaf), 0.0)
    typical = root_of_squares(finite) / math.sqrt(leaf.size) if leaf.size else 0.0
    return ROUNDINGS * epsilon * (finite + typical)
