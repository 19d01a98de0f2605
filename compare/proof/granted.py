"""What rounding in a candidate's dtype can explain of its errors, where no bound was given.

It is measured (Monte Carlo arithmetic, `gradparity.backends.rounding`): f's own gradient in that
dtype, by the framework of f, several times, each with other roundings. Where no framework can run
f that way, balls of as few bits bound it; that is wider.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradparity.backends.rounding import Rounding, Unmeasured

from .arithmetic import arb
from .candidates import Bound
from .enclosed import NotProved, as_engines, each
from .enclosing import Enclosure, enclose_at
from .programs import Program

# The rounding of a gradient in a dtype, from that many runs.
Measurement = Callable[[str, int], Rounding | Unmeasured]

DTYPES = {53: "float64", 24: "float32", 11: "float16", 8: "bfloat16"}  # by significant bits

# What rounding explains of an entry, in units of its scatter over randomly rounded runs, and beside
# that in roundings of the entry itself, by bits. Of 42,584 entries of float64 gradients of random
# programs, by PyTorch and by dual numbers, the largest error was 1.5 times a scatter of more than
# 8 roundings, and 12 roundings where it was smaller. Lower dtypes are perturbed by half as much,
# and engines accumulate them in wider ones or not.
EXPLAINED = {53: (4.0, 16)}
OTHERWISE = (8.0, 8)
# Runs that a right gradient is told by, mostly, and those before anything is called wrong.
RUNS = (8, 32)
# Rounding that is larger than this share of a leaf's largest entry leaves nothing to be right: what
# the judge's resolution has to be for `agree`, and in dtypes of a digit or two, half the entry.
DROWNED = {53: 1e-4, 24: 1e-4}
DROWNED_OTHERWISE = 0.5
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
    drowned: leaves in which rounding is larger than a share of the largest entry, and that share
    """

    program: Program
    leaves: Sequence[np.ndarray]
    names: Sequence[str]
    found: Enclosure
    measure: Measurement
    undecided: dict[int, str] = field(default_factory=dict)
    drowned: dict[str, float] = field(default_factory=dict)
    _bounded: dict[int, list[np.ndarray]] = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What is within rounding of each entry, of bits, leaf and balls: sooner the cheap ones."""
        measured = [functools.partial(self.after, runs) for runs in RUNS]
        return (self.at_least, *measured)

    def at_least(self, bits: int, leaf: int, balls: np.ndarray) -> np.ndarray:
        """Return what is within rounding of each entry whatever f is, as balls."""
        roundings = EXPLAINED.get(bits, OTHERWISE)[1] * 2.0**-bits
        found: np.ndarray = each(lambda ball: abs(ball) * roundings, balls)
        return found

    def after(self, runs: int, bits: int, leaf: int, balls: np.ndarray) -> np.ndarray:
        """Return what is within rounding of each entry, for this f, by so many runs of it."""
        radii = self._measured(runs, bits, leaf)
        if radii is None:
            if bits not in self._bounded:
                self._bounded[bits] = self._of_few_bits(bits)
            radii = self._bounded[bits][leaf]
        least = self.at_least(bits, leaf, balls)
        share = DROWNED.get(bits, DROWNED_OTHERWISE)
        limit = self.found.scales[leaf] * share

        def bound(radius: arb, once: arb) -> arb:
            granted = radius + once
            if not granted < limit:
                self.drowned[self.names[leaf] or "params"] = share
                return arb("nan")  # nothing is beyond it, and nothing within
            return granted

        found: np.ndarray = each(bound, radii, least)
        return found

    def _measured(self, runs: int, bits: int, leaf: int) -> np.ndarray | None:
        """Return what is explained, about the runs' own gradient: f may have a rule with a fault.

        In a low dtype, parameters that are not its numbers are others there.
        """
        rounding = self.measure(DTYPES[bits], runs)
        wide = self.measure("float64", RUNS[0])
        if isinstance(rounding, Unmeasured) or isinstance(wide, Unmeasured):
            return None
        mine = rounding.leaves[leaf]
        moved = np.abs(mine.truth - wide.leaves[leaf].truth)
        scatters = EXPLAINED.get(bits, OTHERWISE)[0]
        explained = np.asarray(scatters * mine.entry + 2 * moved, object)
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
