"""What rounding in a candidate's dtype can explain of its errors, where no bound was given.

It is measured by Monte Carlo arithmetic: f's own gradient in that dtype, several times, each with
other roundings; by the framework of f (`gradparity.backends.rounding`), or where none can run f, by
the operations that the proof follows, with their results moved at random.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradparity.backends.rounding import Rounding, Unmeasured

from .arithmetic import arb
from .candidates import Bound
from .enclosed import WHOLE, NotProved, each, nothing, perturbation
from .enclosing import Enclosure, enclose_at
from .programs import Program

# The rounding of a gradient in a dtype, from that many runs.
Measurement = Callable[[str, int], Rounding | Unmeasured]

DTYPES = {53: "float64", 24: "float32", 11: "float16", 8: "bfloat16"}  # by significant bits

# What rounding explains of an entry, in units of its scatter over randomly rounded runs, and beside
# that in roundings of the entry itself, by bits. Of 42,584 entries of float64 gradients of random
# programs, by PyTorch and by dual numbers, the largest error was 1.5 times a scatter of more than
# 8 roundings, and 12 roundings where it was smaller. Lower dtypes are perturbed by half as much,
# and engines accumulate them in wider ones or not; compiled by XLA, an entry in float32 was 26
# roundings off at a scatter of 1.4.
EXPLAINED = {53: (4.0, 16), 24: (8.0, 32)}
OTHERWISE = (8.0, 8)
# Of what the operations followed here explain, for engines that take other ways.
OTHER_WAYS = 0.25
# Runs that a right gradient is told by, mostly, and those before anything is called wrong.
RUNS = (8, 32)
# Rounding that is larger than this share of a leaf's largest entry leaves nothing to be right: what
# the judge's resolution has to be for `agree`, and in dtypes of a digit or two, half the entry.
DROWNED = {53: 1e-4, 24: 1e-4}
DROWNED_OTHERWISE = 0.5


@dataclass
class Granted:
    """Errors of each entry that are within rounding.

    measure: of a dtype, its scatter; undecided: by bits, which branch rounding leaves undecided
    drowned: leaves in which rounding is larger than a share of the largest entry, and that share
    """

    program: Program
    leaves: Sequence[np.ndarray]
    names: Sequence[str]
    found: Enclosure
    measure: Measurement
    undecided: dict[int, str] = field(default_factory=dict)
    drowned: dict[str, float] = field(default_factory=dict)
    _runs: dict[int, list[list[np.ndarray]]] = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What is within rounding of each entry, of bits, leaf and balls: sooner the cheap ones."""
        measured = [functools.partial(self.after, runs) for runs in RUNS]
        return (self.at_least, *measured)

    def at_least(self, bits: int, leaf: int, balls: np.ndarray) -> np.ndarray:
        """Return what is within rounding of each entry whatever f is, as balls.

        An entry of 0 has that of the largest: where one engine's terms cancel exactly, those of
        another leave dust.
        """
        roundings = EXPLAINED.get(bits, OTHERWISE)[1] * 2.0**-bits
        scale = self.found.scales[leaf]

        def within(ball: arb) -> arb:
            return (scale if ball.contains(0) else abs(ball)) * roundings

        found: np.ndarray = each(within, balls)
        return found

    def after(self, runs: int, bits: int, leaf: int, balls: np.ndarray) -> np.ndarray:
        """Return what is within rounding of each entry, for this f, by so many runs of it."""
        radii = self._measured(runs, bits, leaf)
        if radii is None:
            all_radii = self._perturbed(runs, bits)
            shape = self.found.leaves[leaf].shape
            radii = nothing(shape) + arb(0) if all_radii is None else all_radii[leaf]
        elif runs == RUNS[-1]:
            # Forward mode may lose digits where reverse mode does not: 80 roundings of an entry,
            # at a scatter of 4 by PyTorch and of 320 by the operations followed here.
            own = self._perturbed(RUNS[0], bits)
            if own is None:
                del self.undecided[bits]
            else:
                radii = each(lambda one, other: one.max(other * OTHER_WAYS), radii, own[leaf])
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

    def _perturbed(self, runs: int, bits: int) -> list[np.ndarray] | None:
        """Return what is explained, by f's own operations with their results moved at random.

        None where one of the runs leaves the branches that balls decide.
        """
        taken = self._runs.setdefault(bits, [])
        leaves = [_to_bits(leaf, bits) for leaf in self.leaves]
        while len(taken) < runs:
            generator = np.random.default_rng([len(taken), bits])
            token = perturbation.set(functools.partial(_moved, generator, bits))
            try:
                run = enclose_at(self.program, leaves, self.names, self.found.precision)
            except NotProved as refusal:
                self.undecided.setdefault(bits, str(refusal))
                return None
            finally:
                perturbation.reset(token)
            taken.append(run.leaves)
        scatters = OTHERWISE[0]  # engines have other operations: 5.4 were seen, in a variance

        def explained(exact: arb, *found: arb) -> arb:
            squares = sum(((ball - exact) ** 2 for ball in found), arb(0))
            return scatters * (squares / runs).sqrt()

        return [
            each(explained, exact, *(run[k] for run in taken[:runs]))
            for k, exact in enumerate(self.found.leaves)
        ]


def _to_bits(leaf: np.ndarray, bits: int) -> np.ndarray:
    """Return the numbers of so many bits that are next to a leaf's."""
    fractions, exponents = np.frexp(leaf)
    return np.asarray(np.ldexp(np.round(fractions * 2.0**bits), exponents - bits))


def _moved(generator: np.random.Generator, bits: int, values: np.ndarray) -> np.ndarray:
    """Move balls to a number up to two roundings away, as engines may have it."""
    flat = np.empty(values.size, object)
    draws = generator.uniform(-1.0, 1.0, values.size) * 2.0 ** (1 - bits)
    flat[:] = [
        ball if isinstance(ball, WHOLE) else (ball + ball * draw).mid()
        for ball, draw in zip(values.ravel().tolist(), draws.tolist(), strict=True)
    ]
    return flat.reshape(values.shape)
