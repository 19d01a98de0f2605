"""What proofs cost, what they hold, and what they say of the arbiter's bars and verdicts."""

import secrets
import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from closed_forms import closed_cases, judged
from flint import arb
from joblib import Parallel, delayed
from rows import Row

from gradparity.backends import derivative_along
from gradparity.compare import check_gradient, prove_gradient
from gradparity.compare.scenarios.random_programs import planted_faults, random_program
from gradparity.models import Quadratic, SimpleNet, TwoLayerNet

PROGRAMS = 2200  # a tenth have kinks, and are left out
ROUNDS = 5
SMALLEST_FAULT = 1e-13


def rows() -> Iterator[Row]:
    yield from _costs()
    yield from _closed_forms()
    yield from _arbiter(PROGRAMS)


def _row(what: str, figure: float, target: str, reached: bool, note: str = "") -> Row:
    return Row(what, figure, figure, figure, target, reached, note)


def _costs() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    net, simple = TwoLayerNet(784, 50, 10), SimpleNet()
    batch = (rng.random((100, 784)), rng.integers(0, 10, 100))
    for name, limit, f, params, args in (
        ("TwoLayerNet, 39,760 entries, batch 100", 10.0, net.loss, net.init(0), batch),
        (
            "SimpleNet",
            0.05,
            simple.loss,
            simple.init(0),
            (np.asarray([0.6, 0.9]), np.asarray([0.0, 0.0, 1.0])),
        ),
        ("Quadratic", 0.05, Quadratic().loss, np.asarray([3.0, 4.0]), ()),
    ):
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            proof = prove_gradient(f, params, *args)
            seconds.append(time.perf_counter() - start)
        low, median, high = statistics.quantiles(seconds, n=4)
        reached = median <= limit and proof.digits >= 15
        yield Row(f"proof of {name}, s", median, low, high, f"≤ {limit:g}", reached)


def _closed_forms() -> Iterator[Row]:
    with np.errstate(all="ignore"):
        found = [
            one
            for _, f, slopes, x in closed_cases(secrets.randbelow(2**32))
            for one in judged(prove_gradient(f, x), slopes, x)
        ]
    inside, known = (float(np.mean(part)) for part in zip(*found, strict=True))
    note = f"{len(found)} derivatives in closed form, 1e-300 to 1e300"
    yield _row("enclosures that hold the truth", inside, "1", inside == 1, note)
    yield _row("enclosures to 15 digits", known, "≥ 0.95", known >= 0.95, note)


def _arbiter(programs: int) -> Iterator[Row]:
    start = secrets.randbelow(10**6)
    print(f"programs from seed {start}", file=sys.stderr)
    found: Counter[str] = Counter()
    for one in Parallel(n_jobs=-1)(
        delayed(confront)(seed) for seed in range(start, start + programs)
    ):
        found += one
    smooth = found["smooth"]
    proved = found["proved"] / smooth
    yield _row("smooth programs proved", proved, "≥ 0.95", proved >= 0.95, f"{smooth} programs")
    held = found["bar holds"] / found["bars"]
    yield _row(
        "bars of derivative_along that hold the enclosure",
        held,
        "1",
        held == 1,
        f"{found['bars']} programs",
    )
    against = found["contradictions"]
    yield _row(
        "verdicts of check_gradient against a proof",
        against,
        "0",
        against == 0,
        f"{found['verdicts']} programs, half with a planted fault",
    )
    for how, limit in (("with rtol 1e-14", 1.0), ("by default", 1.0)):
        share = found[f"smallest fault {how}"] / found["smallest faults"]
        target = f"{limit:g}"
        note = f"{found['smallest faults']} faults; by default, the rest is within rounding"
        yield _row(
            f"faults of 1e-13 of an entry proved wrong {how}", share, target, share >= limit, note
        )
    accused = found["right ones proved wrong"]
    yield _row("right gradients proved wrong", accused, "0", accused == 0, f"{smooth} programs")
    share = found["faults proved wrong"] / found["faults"]
    yield _row("planted faults proved wrong", share, "1", share == 1, f"{found['faults']} faults")


def confront(seed: int) -> Counter[str]:
    """Put the arbiter's bar and verdicts on one program, right and faulty, against proofs."""
    found: Counter[str] = Counter()
    program = random_program(seed)
    if program.kinks:
        return found
    found["smooth"] = 1
    proof = prove_gradient(program.f, program.params)
    if proof.verdict != "proved right":
        return found
    found["proved"] = 1
    generator = np.random.default_rng([seed, 7])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _bar(program, proof, generator, found)
        _verdict(program, proof, seed, found)
    _smallest_fault(program, proof, generator, found)
    return found


def _bar(program, proof, generator, found):
    leaves = program.leaves(program.params)
    tangents = [generator.choice([-1.0, 1.0], size=leaf.shape) for leaf in leaves]
    slope = sum(
        (
            ball * arb(float(v))
            for balls, tangent in zip(program.leaves(proof.enclosures), tangents, strict=True)
            for ball, v in zip(np.ravel(balls), np.ravel(tangent), strict=True)
        ),
        arb(0),
    )
    estimate = derivative_along(program.f, program.params, program.tree(tangents))
    found["bars"] = 1
    holds = abs(slope - arb(float(estimate.value))) <= arb(float(estimate.error))
    found["bar holds"] = int(bool(holds) or not np.isfinite(estimate.error))
    if not found["bar holds"]:
        print(f"bar misses: seed {program.seed}, {estimate}, exact {slope}", file=sys.stderr)


def _verdict(program, proof, seed, found):
    gradient, fault = program.gradient(), "none"
    if seed % 2:
        faults = planted_faults(proof.value, seed)
        if not faults:
            return
        fault, gradient = faults[seed // 2 % len(faults)]
    judged_ = prove_gradient(program.f, program.params, gradient=gradient)
    check = check_gradient(program.f, program.params, gradient=gradient, seed=seed)
    found["verdicts"] = 1
    found["right ones proved wrong"] = int(fault == "none" and judged_.verdict == "proved wrong")
    pair = (str(check.verdict), str(judged_.verdict))
    found["contradictions"] = int(pair in {("differ", "proved right"), ("agree", "proved wrong")})
    if found["contradictions"]:
        print(
            f"contradiction: seed {seed}, fault {fault}: {check.reason}; {judged_.reason}",
            file=sys.stderr,
        )
    if seed % 2:
        found["faults"] = 1
        found["faults proved wrong"] = int(judged_.verdict == "proved wrong")


def _smallest_fault(program, proof, generator, found):
    leaves = [leaf.copy() for leaf in program.leaves(proof.value)]
    chosen = leaves[generator.integers(len(leaves))]
    places = np.argwhere(chosen)
    if not len(places):
        return
    found["smallest faults"] = 1
    chosen[tuple(places[generator.integers(len(places))])] *= 1 + SMALLEST_FAULT
    for how, rtol in (("with rtol 1e-14", 1e-14), ("by default", None)):
        proof = prove_gradient(program.f, program.params, gradient=program.tree(leaves), rtol=rtol)
        found[f"smallest fault {how}"] = int(proof.verdict == "proved wrong")
