"""Compare a claim entry by entry with a certified reference, and measure what they dispute."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .account import CONFIRMING_FACTORS, Account, Found, WrongEntry
from .function import Span
from .score import Claim, norm
from .thresholds import CONFIRMED, DIGITS, LISTED, MOST_LEGAL, WRONG

# Directions along the signs of what is disputed, apart from all others. In even rounds small
# entries move as far as the others, otherwise nothing would be seen of them; in odd ones by their
# own size, otherwise those near the edge of a domain would drown all others.
DISPUTE_ROUNDS = ((30, 32), (31, 33))


@dataclass(frozen=True)
class Certificate:
    """A reference and how well slopes of f have confirmed each of its leaves.

    spread: by leaf, how much of its slope along a direction of the leaf's scale may be wrong
    """

    claim: Claim
    spread: Mapping[int, float]
    resolution: Mapping[int, float]

    def bar(self, leaf: int, scale: float) -> float:
        """Return by how much a single entry may be off; weights are at least half the scale."""
        return 2 * self.spread[leaf] / scale


def certify(account: Account, claim: Claim) -> Certificate:
    """Put a reference before the slopes of f, leaf by leaf; it convicts nobody by itself."""
    whole = replace(account, entries=False)
    found = whole.of(claim.balanced)
    doubtful = {leaf for leaf, _ in found.unknown} | found.wrong_leaves
    sure = {
        leaf: rho
        for leaf, rho in found.resolution.items()
        if rho <= DIGITS and leaf not in doubtful
    }
    spread = {leaf: rho * claim.size(leaf) for leaf, rho in sure.items()}
    return Certificate(claim, spread, sure)


def compare(account: Account, claim: Claim, certificate: Certificate) -> Found:
    """Judge the leaves of a claim that the certificate covers."""
    leaves = account.directions.function.leaves
    known, known_of_one, disputed = {}, {}, {}
    for leaf in certificate.spread:
        gaps = _gaps(claim, certificate.claim, leaf)
        unseen = norm(gaps)
        accepted = unseen <= claim.rtol * norm(certificate.claim.slopes[leaf])
        beyond = np.abs(gaps) > claim.tolerance[leaf] + claim.accepted[leaf]
        # What is within the certificate's own bar cannot be seen by slopes of f.
        seen = not (accepted or unseen * leaves[leaf].scale <= certificate.spread[leaf])
        if seen and beyond.any():
            disputed[leaf] = np.where(beyond, gaps, 0.0)
            unseen = norm(np.where(beyond, 0.0, gaps))
        known[leaf], known_of_one[leaf] = _resolutions(
            claim, certificate, leaf, leaves[leaf].scale, unseen
        )
    found = Found(known, known_of_one)
    return found + _settle(account, claim, certificate, disputed) if disputed else found


def _gaps(claim: Claim, reference: Claim, leaf: int) -> np.ndarray:
    gaps = claim.slopes[leaf] - reference.slopes[leaf]
    mask = claim.open[leaf]
    return gaps if mask is None else np.where(mask, gaps, 0.0)


def _resolutions(
    claim: Claim, certificate: Certificate, leaf: int, scale: float, unseen: float
) -> tuple[float, float]:
    """Return what a fault of the leaf, and of a typical entry, must exceed to be seen.

    unseen: the norm of what the claim differs by from the reference and is not disputed
    """
    reference = certificate.claim.slopes[leaf]
    granted = claim.tolerance[leaf] + claim.accepted[leaf]
    size = certificate.claim.size(leaf) / scale
    if not size:
        known = math.inf if granted.any() else certificate.resolution[leaf]
        return known, known
    typical = size / math.sqrt(reference.size)
    one = certificate.bar(leaf, scale) + norm(granted) / math.sqrt(reference.size)
    return (
        certificate.resolution[leaf] + max(norm(granted) / size, unseen / size, claim.rtol),
        one / typical,
    )


def _settle(
    account: Account,
    claim: Claim,
    certificate: Certificate,
    disputed: Mapping[int, np.ndarray],
) -> Found:
    """Measure slopes along the signs of what is disputed, in all leaves at once if they can."""
    only = _only_entry(disputed)
    if only is not None:
        found = account.entry(claim, *only)
        if found.wrong or found.legal:
            return found
    region = tuple(Span(leaf, 0, gaps.size) for leaf, gaps in disputed.items())
    signs = [
        np.sign(disputed[leaf]) if leaf in disputed else np.zeros(0)
        for leaf in range(len(claim.slopes))
    ]
    wrong: set[int] = set()
    for rounds in DISPUTE_ROUNDS:
        wrong = set(disputed)
        for round_, factor in zip(rounds, CONFIRMING_FACTORS, strict=True):
            weights = account.directions.weights(round_)
            shares = {
                leaf: float(gaps @ (np.abs(weights[leaf]) * signs[leaf]))
                for leaf, gaps in disputed.items()
            }
            score = account.directions.score(
                claim, region, round_, factor, signs, known=abs(sum(shares.values()))
            )
            slope = score.slope
            expected = score.got - sum(shares.values())
            if slope.kind != "smooth" or not slope.known:
                return _by_parts(account, claim, certificate, disputed)
            bar = slope.bar + score.rounding
            if not slope.distance(expected) <= bar:
                # The reference is not what f says here: the claim is judged without it.
                return _unsettled(account, claim, disputed)
            wrong &= {leaf for leaf, share in shares.items() if abs(share) >= WRONG * bar}
        if wrong:
            break
    return _convicted(account, claim, certificate, disputed, wrong) + _doubtful(
        account, claim, certificate, {k: v for k, v in disputed.items() if k not in wrong}, wrong
    )


def _only_entry(disputed: Mapping[int, np.ndarray]) -> tuple[int, int] | None:
    entries = [(leaf, np.flatnonzero(gaps)) for leaf, gaps in disputed.items()]
    if len(entries) == 1 and len(entries[0][1]) == 1:
        return entries[0][0], int(entries[0][1][0])
    return None


def _by_parts(
    account: Account, claim: Claim, certificate: Certificate, disputed: Mapping[int, np.ndarray]
) -> Found:
    """Judge leaves apart, and the entries of a single leaf one by one: there are kinks."""
    if len(disputed) > 1:
        leaves, found = list(disputed), Found()
        middle = len(leaves) // 2
        for part in (leaves[:middle], leaves[middle:]):
            found += _settle(account, claim, certificate, {k: disputed[k] for k in part})
        return found
    ((leaf, gaps),) = disputed.items()
    found = Found()
    for entry in _worst(gaps, claim.tolerance[leaf])[:MOST_LEGAL]:
        if found.wrong_in[leaf] >= CONFIRMED:
            break
        found += account.entry(claim, leaf, int(entry))
    rest = gaps.copy()
    rest[[entry for _, entry in found.decided]] = 0.0
    if found.wrong or not rest.any():
        return found
    if found.legal:
        return found + _settle(account, claim.without(found.decided_in), certificate, {leaf: rest})
    why = f"{np.count_nonzero(rest)} more entries differ from the reference where f has kinks"
    return found + Found(unknown=((leaf, why),))


def _unsettled(account: Account, claim: Claim, disputed: Mapping[int, np.ndarray]) -> Found:
    everything = [np.zeros(slopes.size, bool) for slopes in claim.slopes]
    masks: list[np.ndarray | None] = list(everything)
    for leaf in disputed:
        masks[leaf] = claim.open[leaf]
    return account.of(replace(claim, open=tuple(masks)))


def _convicted(
    account: Account,
    claim: Claim,
    certificate: Certificate,
    disputed: Mapping[int, np.ndarray],
    wrong: set[int],
) -> Found:
    """List the wrong entries of leaves that are known to be wrong; the worst is measured."""
    found = Found(wrong_leaves=frozenset(wrong))
    for number, leaf in enumerate(sorted(wrong, key=lambda leaf: -_excess(claim, disputed, leaf))):
        scale = account.directions.function.leaves[leaf].scale
        order = _worst(disputed[leaf], claim.tolerance[leaf] + certificate.bar(leaf, scale))
        if number == 0:
            measured = account.entry(claim, leaf, int(order[0]))
            found += Found(wrong=measured.wrong, legal=measured.legal)
        found += Found(wrong=tuple(_listed(claim, certificate, leaf, order, scale, found)))
    return found


def _listed(
    claim: Claim,
    certificate: Certificate,
    leaf: int,
    order: np.ndarray,
    scale: float,
    found: Found,
) -> list[WrongEntry]:
    known = {one.entry for one in found.wrong if one.leaf == leaf}
    known |= {one.entry for one in found.legal if one.leaf == leaf}
    bar, listed = certificate.bar(leaf, scale), []
    for entry in order[:LISTED]:
        got = float(claim.slopes[leaf][entry])
        expected = float(certificate.claim.slopes[leaf][entry])
        clear = abs(got - expected) >= WRONG * (bar + float(claim.tolerance[leaf][entry]))
        if clear and entry not in known:
            listed.append(WrongEntry(leaf, int(entry), got, expected, bar, measured=False))
    return listed


def _doubtful(
    account: Account,
    claim: Claim,
    certificate: Certificate,
    disputed: Mapping[int, np.ndarray],
    wrong: set[int],
) -> Found:
    """Deal with leaves that the joint directions did not decide: alone, if there were others."""
    found = Found()
    for leaf, gaps in disputed.items():
        if wrong or len(disputed) > 1:
            found += _settle(account, claim, certificate, {leaf: gaps})
            continue
        scale = account.directions.function.leaves[leaf].scale
        size = certificate.claim.size(leaf) / scale
        excess = certificate.resolution[leaf] + (norm(gaps) / size if size else math.inf)
        found += Found({leaf: excess}, {leaf: excess * math.sqrt(gaps.size)})
    return found


def _excess(claim: Claim, disputed: Mapping[int, np.ndarray], leaf: int) -> float:
    return norm(disputed[leaf]) / (norm(claim.slopes[leaf]) or 1.0)


def _worst(gaps: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the entries that are disputed, by their distance over what is granted."""
    entries = np.flatnonzero(gaps)
    with np.errstate(divide="ignore"):
        size = np.abs(gaps[entries]) / unit[entries]
    return entries[np.lexsort((-np.abs(gaps[entries]), -size))]
