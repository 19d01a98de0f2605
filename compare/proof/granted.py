"""What rounding in a candidate's dtype can explain of its errors, where no bound was given.

It is measured (Monte Carlo arithmetic, `gradparity.backends.rounding`): f's own gradient in that
dtype, by the framework of f, several times, each with other roundings. Where no framework can run
f that way, balls of as few bits bound it; that is wider.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradparity.backends.rounding import Rounding, Unmeasured

from .arithmetic import arb
from .enclosed import NotProved, as_engines, each
from .enclosing import Enclosure, enclose_at
from .programs import Program

Measurement = Callable[[str], Rounding | Unmeasured]

DTYPES = {53: "float64", 24: "float32", 11: "float16", 8: "bfloat16"}  # by significant bits

# In units of the scatter of an entry over eight randomly rounded runs: the largest error of
# gradients of JAX, of PyTorch and of dual numbers was 3.0 in 744 leaves of random programs.
EXPLAINED = 8.0
# One rounding of each entry for each of those.
ONCE = 8
# Rounding that is larger than this share of a leaf's largest entry leaves nothing to be right.
DROWNED = 0.5
# Balls of the candidate's own bits, less these, hold what it may be: another order of the same
# operations rounds differently, and a dtype's own functions (exp, tanh) err by up to 2 units
# where a ball's err by 1.
SPARE_BITS = 2
# Where they are too few to decide a branch, more are tried, and the widths are scaled to what they
# would have been.
MORE_BITS = (0, 16, 48, 96, 192)


@dataclass
class Granted:
    """Errors of each entry that are within rounding.

    measure: of a dtype, its scatter; undecided: by bits, why a branch is not decided at so few
    drowned: leaves in which rounding is as large as the entries themselves
    """

    program: Program
    leaves: Sequence[np.ndarray]
    names: Sequence[str]
    found: Enclosure
    measure: Measurement
    undecided: dict[int, str] = field(default_factory=dict)
    drowned: set[str] = field(default_factory=set)
    _bounded: dict[int, list[np.ndarray]] = field(default_factory=dict)

    def at_least(self, bits: int, leaf: int, balls: np.ndarray) -> np.ndarray:
        """Return what is within rounding of each entry whatever f is, as balls."""
        found: np.ndarray = each(lambda ball: abs(ball) * ONCE * 2.0**-bits, balls)
        return found

    def in_all(self, bits: int, leaf: int, balls: np.ndarray) -> np.ndarray:
        """Return what is within rounding of each entry, for this f."""
        radii = self._measured(bits, leaf)
        if radii is None:
            if bits not in self._bounded:
                self._bounded[bits] = self._of_few_bits(bits)
            radii = self._bounded[bits][leaf]
        least = self.at_least(bits, leaf, balls)
        limit = self.found.scales[leaf] * DROWNED

        def bound(radius: arb, once: arb) -> arb:
            if not radius < limit:
                self.drowned.add(self.names[leaf] or "params")
                return arb("nan")  # nothing is beyond it, and nothing within
            return radius.max(once)

        found: np.ndarray = each(bound, radii, least)
        return found

    def _measured(self, bits: int, leaf: int) -> np.ndarray | None:
        """Return what is explained, about the runs' own gradient: f may have a rule with a fault.

        In a low dtype, parameters that are not its numbers are others there.
        """
        rounding = self.measure(DTYPES[bits])
        wide = self.measure("float64")
        if isinstance(rounding, Unmeasured) or isinstance(wide, Unmeasured):
            return None
        mine = rounding.leaves[leaf]
        moved = np.abs(mine.truth - wide.leaves[leaf].truth)
        explained = np.asarray(EXPLAINED * mine.entry + 2 * moved, object)
        radii: np.ndarray = each(arb, explained.reshape(self.leaves[leaf].shape))
        return radii

    def _of_few_bits(self, bits: int) -> list[np.ndarray]:
        for more in MORE_BITS:
            token = as_engines.set(True)
            try:
                rough = enclose_at(self.program, self.leaves, self.names, bits - SPARE_BITS + more)
            except NotProved as refusal:
                self.undecided.setdefault(bits, str(refusal))
                continue
            finally:
                as_engines.reset(token)
            if rough.trouble is None:
                scale = 2**more
                return [
                    each(lambda r, b, s=scale: (r.rad() + abs(r.mid() - b.mid())) * s, one, leaf)
                    for one, leaf in zip(rough.leaves, self.found.leaves, strict=True)
                ]
        return [each(lambda b: b.rad(), leaf) for leaf in self.found.leaves]
