"""The gradient of an engine: certified by slopes of f, a claim is compared with it by entries."""

import functools
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradparity.backends import Backend, BackendUnavailable
from gradparity.backends.precision import EPSILON, dtype_name
from gradparity.backends.pytrees import is_array, numpy_view, private_numpy, tree_map
from gradparity.backends.rounding import Lifted

from .account import Account, Found, WrongEntry, unknown
from .function import Function
from .hosts import float64_backend, native_args
from .leaves import Leaf, Span
from .score import Claim, blocks, norm, rounding_bound
from .thresholds import (
    CONFIRMED,
    DIGITS,
    DRAWN,
    DUST,
    LISTED,
    OTHER_SCALE,
    PLAINLY,
    ROUNDINGS,
    WRONG,
)


@dataclass(frozen=True)
class Reference:
    """What an engine says is the gradient, granted the rounding of float64, and who it is.

    moved: told by how much to move all inputs, relatively, and a seed, returns the gradient there;
        None where it has none
    """

    engine: str
    claim: Claim
    moved: Callable[[float, int], tuple[np.ndarray, ...] | None]

    @property
    def slopes(self) -> tuple[np.ndarray, ...]:
        return self.claim.slopes


def claim_of(leaves: Sequence[Leaf], slopes: Sequence[np.ndarray], units: Sequence[float]) -> Claim:
    """Return flat float64 numbers, and what their rounding may amount to, as a claim."""
    granted = list(map(rounding_bound, slopes, units))
    sizes = tuple(leaf.scale * one.size for leaf, one in zip(leaves, granted, strict=True))
    nothing, every = (0.0,) * len(sizes), (None,) * len(sizes)
    return Claim(tuple(slopes), granted, sizes, every, nothing, nothing)


def reference_by(
    function: Function, backend: Backend, engine: str, slopes: Sequence[np.ndarray]
) -> Reference:
    """Return what an engine says of a function, flat float64 leaves, as a reference."""
    claim = claim_of(function.leaves, slopes, [EPSILON / 2] * len(slopes))
    moved = functools.cache(functools.partial(gradient_by, function, backend))
    return Reference(engine, claim, moved)


def reference_of(function: Function, load: bool = False) -> Reference | None:
    """Return the gradient of f by the first engine that can differentiate it.

    load: whether engines may be imported that nobody has used yet
    """
    for backend in _engines(function, load):
        slopes = gradient_by(function, backend) or ()
        # Zeros are what an engine says of a function that it cannot follow, such as float(...).
        if any(leaf.any() for leaf in slopes) and all(np.isfinite(leaf).all() for leaf in slopes):
            return reference_by(function, backend, backend.name, slopes)
    return None


def gradient_by(
    function: Function, backend: Backend, rounding: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, ...] | None:
    """Return the engine's gradient at the point, or None where it has none.

    rounding: by which all inputs are moved at random, relatively
    """
    rng = np.random.default_rng(seed)

    def moved(array: np.ndarray) -> np.ndarray:
        return array * (1 + rounding * rng.uniform(-1, 1, array.shape)) if rounding else array

    def moved_arg(leaf: object) -> object:
        if not (rounding and is_array(leaf) and dtype_name(leaf).startswith(("float", "bfloat"))):
            return leaf
        return moved(private_numpy(leaf, "float64"))

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if backend is function.backend and not rounding:
                leaves = function.native
            else:
                leaves = [backend.asarray(moved(leaf.array)) for leaf in function.leaves]
            args = native_args(
                backend, tuple(tree_map(moved_arg, arg) for arg in function.given_args)
            )
            scalar = function.scalar_for(backend)
            function.count()
            if isinstance(scalar, Lifted):
                _, gradient = scalar.value_and_gradient(leaves, *args)
            else:
                differentiate = backend.value_and_gradient(scalar)
                if function.is_large:
                    differentiate = backend.compile_alike(differentiate)
                _, gradient = differentiate(leaves, *args)
            return tuple(np.asarray(numpy_view(leaf), np.float64).reshape(-1) for leaf in gradient)
    except Exception:  # the budget is spent, or the framework says in its own way that it cannot
        return None


def _engines(function: Function, load: bool) -> Iterator[Backend]:
    own = function.backend
    if own.cheap_mode == "reverse":
        yield own
        return
    for name in ("torch", "jax"):
        if name in sys.modules or load:
            try:
                yield float64_backend(name)
            except BackendUnavailable:
                continue


# Directions along the signs of what is disputed, apart from all others. In even rounds small
# entries move as far as the others, otherwise nothing would be seen of them; in odd ones by their
# own size, otherwise those near the edge of a domain would drown all others.
DISPUTE_ROUNDS = ((30, 32), (31, 33))


@dataclass(frozen=True)
class Certificate:
    """A reference and how well slopes of f have confirmed each of its leaves.

    spread: by leaf, how much of its slope along a direction of the leaf's scale may be wrong
    """

    reference: Reference
    spread: Mapping[int, float]
    resolution: Mapping[int, float]

    @property
    def claim(self) -> Claim:
        return self.reference.claim

    @property
    def known(self) -> dict[int, np.ndarray]:
        """The slopes of the leaves that are certified."""
        return {leaf: self.claim.slopes[leaf] for leaf in self.spread}

    def bar(self, leaf: int, scale: float) -> float:
        """Return by how much a single entry may be off; weights are at least half the scale."""
        return 2 * self.spread[leaf] / scale

    def granting(self, claim: Claim, units: Sequence[float], smooth: bool) -> Claim:
        """Grant entries that differ what the rounding of the inputs does to the reference.

        units: unit roundoff of each leaf; smooth: whether f is, where nothing else changes much
        """
        granted = list(claim.tolerance)
        for leaf, unit in enumerate(units):
            reference = self.claim.slopes[leaf]
            if leaf not in self.spread and smooth:
                granted[leaf] = granted[leaf][:] + self._dust(leaf)
            if leaf not in self.spread or unit <= EPSILON:
                continue
            gaps = np.abs(claim.slopes[leaf] - reference)
            own = ROUNDINGS * unit * np.abs(reference)
            # Large entries of a leaf may grant a small one more than all of it.
            hidden = (gaps > own) & (gaps > PLAINLY * np.abs(reference))
            allowed = granted[leaf][:]
            if not (hidden | (gaps > allowed)).any():
                continue
            draws = [self.reference.moved(unit, draw) for draw in (0, 1)]
            if changes := [np.abs(moved[leaf] - reference) for moved in draws if moved]:
                measured = own + DRAWN * np.max(changes, axis=0)
                far = hidden & (gaps > WRONG * measured)
                granted[leaf] = np.where(far, measured, np.maximum(allowed, measured))
        return replace(claim, tolerance=tuple(granted))

    def _dust(self, leaf: int) -> np.ndarray | float:
        """Return the size of a gradient that is nothing but rounding, else 0."""
        reference = self.claim.slopes[leaf]
        moved = self.reference.moved(EPSILON, 0) if reference.any() else None
        if moved is None or norm(moved[leaf] - reference) < DUST * norm(reference):
            return 0.0
        dust: np.ndarray = np.abs(reference) + DRAWN * np.abs(moved[leaf] - reference)
        return dust


def certify(account: Account, reference: Reference) -> Certificate:
    """Put a reference before the slopes of f, leaf by leaf; it convicts nobody by itself."""
    claim = reference.claim
    found = replace(account, entries=False).of(claim.balanced)
    sure = {
        leaf: rho
        for leaf, rho in found.resolution.items()
        if rho <= DIGITS and leaf not in found.unknown_leaves | found.wrong_leaves
    }
    spread = {leaf: rho * claim.size(leaf) for leaf, rho in sure.items()}
    return Certificate(reference, spread, sure)


def compare(account: Account, claim: Claim, certificate: Certificate) -> Found:
    """Judge the leaves of a claim that the certificate covers."""
    known, known_of_one, disputed = {}, {}, {}
    for leaf, spread in certificate.spread.items():
        reference = certificate.claim.slopes[leaf]
        scale = account.directions.function.leaves[leaf].scale
        sizes, allowances, is_beyond = [], [], False
        for block in blocks(reference.size):
            gaps, granted = _beside(reference, claim, leaf, block)
            sizes.append(norm(gaps))
            allowances.append(norm(granted))
            is_beyond = is_beyond or bool((np.abs(gaps) > granted).any())
        unseen, rounding = math.hypot(*sizes), math.hypot(*allowances)
        # What is within the certificate's own bar cannot be seen by slopes of f.
        allowed = claim.rtol * norm(reference) if claim.rtol else 0.0
        seen = unseen > allowed and not unseen * scale <= spread
        if seen and is_beyond:
            gaps, granted = _beside(reference, claim, leaf, slice(None))
            beyond = np.abs(gaps) > granted
            disputed[leaf] = np.where(beyond, gaps, 0.0)
            unseen = norm(np.where(beyond, 0.0, gaps))
        # What a fault of the leaf, and of a typical entry, must exceed to be seen.
        rho, size = certificate.resolution[leaf], certificate.claim.size(leaf) / scale
        known[leaf] = known_of_one[leaf] = math.inf if rounding else rho
        if size:
            known[leaf] = rho + max(rounding / size, unseen / size, claim.rtol)
            root = math.sqrt(reference.size)
            known_of_one[leaf] = (root * certificate.bar(leaf, scale) + rounding) / size
    found = Found(known, known_of_one)
    return found + Dispute(account, claim, certificate, disputed).settled() if disputed else found


def _beside(
    reference: np.ndarray, claim: Claim, leaf: int, part: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far open entries of a leaf are from a reference, and how far they may be."""
    mask, accepted = claim.open[leaf], claim.accepted[leaf]
    gaps, granted = claim.slopes[leaf][part] - reference[part], claim.tolerance[leaf][part]
    if mask is not None:
        gaps[~mask[part]] = 0.0
    return gaps, granted + accepted[part] if isinstance(accepted, np.ndarray) else granted


@dataclass(frozen=True)
class Dispute:
    """What a claim and a certified reference say otherwise, and what slopes of f make of it.

    gaps: by leaf, by how much entries differ that are not within what is granted; else 0
    """

    account: Account
    claim: Claim
    certificate: Certificate
    gaps: Mapping[int, np.ndarray]

    def settled(self) -> Found:
        """Measure slopes along the signs of what is disputed, in all leaves at once if they can."""
        some = [
            (leaf, int(k)) for leaf, gaps in self.gaps.items() for k in np.flatnonzero(gaps)[:2]
        ]
        if len(some) == 1:
            found = self.account.entry(self.claim, *some[0])
            if found.wrong or found.legal:
                return found
        directions = self.account.directions
        region = tuple(Span(leaf, 0, gaps.size) for leaf, gaps in self.gaps.items())
        signs = [np.sign(self.gaps.get(leaf, ())) for leaf in range(len(self.claim.slopes))]
        wrong: set[int] = set()
        for rounds in DISPUTE_ROUNDS:
            wrong = set(self.gaps)
            for round_, factor in zip(rounds, (1.0, OTHER_SCALE), strict=True):
                weights = directions.weights(round_)
                shares = {
                    leaf: float(np.abs(gaps) @ np.abs(weights[leaf]))
                    for leaf, gaps in self.gaps.items()
                }
                total = sum(shares.values())
                score = directions.score(self.claim, region, round_, factor, signs, known=total)
                known = score.slope.kind == "smooth" and score.slope.known
                # Kinks are met there, or the reference is not what f says along these signs.
                if not (known and score.slope.distance(score.got - total) <= score.bar):
                    return self._by_parts()
                wrong &= {leaf for leaf, share in shares.items() if share >= WRONG * score.bar}
            if wrong:
                break
        found = self._convicted(wrong)
        for leaf in [leaf for leaf in self.gaps if leaf not in wrong]:
            alone = len(self.gaps) == 1
            found += self._unseen(leaf) if alone else self._of((leaf,)).settled()
        return found

    def _of(self, leaves: Sequence[int]) -> "Dispute":
        return replace(self, gaps={leaf: self.gaps[leaf] for leaf in leaves})

    def _unseen(self, leaf: int) -> Found:
        """Say that an error as large as the one that is disputed could not be seen."""
        gaps = self.gaps[leaf]
        scale = self.account.directions.function.leaves[leaf].scale
        size = self.certificate.claim.size(leaf) / scale
        rho = self.certificate.resolution[leaf] + (norm(gaps) / size if size else math.inf)
        return Found({leaf: rho}, {leaf: rho * math.sqrt(gaps.size)})

    def _by_parts(self) -> Found:
        """Judge leaves apart, and the entries of a single leaf one by one."""
        leaves, found = list(self.gaps), Found()
        if len(leaves) > 1:
            middle = len(leaves) // 2
            return self._of(leaves[:middle]).settled() + self._of(leaves[middle:]).settled()
        (leaf,) = leaves
        for entry in self._worst(leaf, self.claim.tolerance[leaf][:])[:LISTED]:
            if found.wrong_in[leaf] >= CONFIRMED:
                break
            found += self.account.entry(self.claim, leaf, int(entry))
        rest = self.gaps[leaf].copy()
        rest[[entry for _, entry in found.decided]] = 0.0
        if found.wrong or not rest.any():
            return found
        if found.legal:
            claim = self.claim.without(found.decided_in)
            return found + replace(self, claim=claim, gaps={leaf: rest}).settled()
        number = np.count_nonzero(rest)
        why = f"{number} more entries differ from the reference, of which slopes say otherwise"
        return found + unknown([leaf], why)

    def _convicted(self, wrong: set[int]) -> Found:
        """List the wrong entries of leaves that are known to be wrong; the worst is measured."""
        found = Found(wrong_leaves=frozenset(wrong))
        slopes, reference = self.claim.slopes, self.certificate.claim.slopes

        def excess(leaf: int) -> float:
            return norm(self.gaps[leaf]) / (norm(slopes[leaf]) or 1.0)

        for number, leaf in enumerate(sorted(sorted(wrong), key=excess, reverse=True)):
            bar = self.certificate.bar(leaf, self.account.directions.function.leaves[leaf].scale)
            order = self._worst(leaf, self.claim.tolerance[leaf][:] + bar)
            measured: set[int] = set()
            if number == 0:
                one = self.account.entry(self.claim, leaf, int(order[0]))
                found += Found(wrong=one.wrong, legal=one.legal)
                measured = {int(order[0])} if one.wrong or one.legal else set()
            for entry in map(int, order[:LISTED]):
                got, expected = float(slopes[leaf][entry]), float(reference[leaf][entry])
                clear = WRONG * (bar + float(self.claim.tolerance[leaf][entry]))
                if abs(got - expected) >= clear and entry not in measured:
                    listed = WrongEntry(leaf, entry, got, expected, bar)
                    found += Found(wrong=(listed,))
        return found

    def _worst(self, leaf: int, unit: np.ndarray) -> np.ndarray:
        """Return the entries that are disputed, by their distance over what is granted."""
        entries = np.flatnonzero(self.gaps[leaf])
        gaps = np.abs(self.gaps[leaf][entries])
        with np.errstate(divide="ignore"):
            return entries[np.lexsort((-gaps, -gaps / unit[entries]))]
