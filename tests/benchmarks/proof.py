"""What proofs cost, what they hold, and what they say of the arbiter's bars and verdicts.

Run alone, a part of it: python tests/benchmarks/proof.py costs | forms | slopes | COUNT [SEED]
"""

import math
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

from gradparity.backends import derivative_along, get_backend
from gradparity.backends.pytrees import flatten, unflatten
from gradparity.backends.rounding import measure_rounding
from gradparity.compare import check_gradient, prove_gradient
from gradparity.compare.proof.proving import prove_gradients
from gradparity.compare.scenarios import held_out_slopes, slopes
from gradparity.compare.scenarios.random_programs import planted_faults, random_program
from gradparity.models import Quadratic, SimpleNet, TwoLayerNet

PROGRAMS = 2200  # a tenth have kinks, and are left out
ROUNDS = 5
SMALLEST_FAULT = 1e-13
# Scatters of rounding that a fault is larger than, to be told from it.
TOLD = 8.0


def rows() -> Iterator[Row]:
    yield from _costs()
    yield from _closed_forms()
    yield from _known_slopes()
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


def _known_slopes() -> Iterator[Row]:
    seed = secrets.randbelow(2**32)
    cases = {
        "own slopes": [case for family in slopes.FAMILIES for case in family()],
        f"held-out slopes, seed {seed}": held_out_slopes.held_out_slopes(seed),
    }
    for name, chosen in cases.items():
        found = [
            holds
            for case in chosen
            # As it is written a bisection is constant beside x; its slope is that of the root.
            if not case.name.startswith("bisection")
            for holds in _held(case.name, case.f, case.x, case.tangent)
        ]
        held = float(np.mean(found))
        note = f"{len(found)} that are proved, {name}"
        yield _row("bars that hold the enclosure of a known slope", held, "1", held == 1, note)


def _held(name, f, x, tangent) -> Iterator[bool]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            proof = prove_gradient(f, x, seconds=5.0)
        except Exception:  # whatever f has against being recorded
            return
        if proof.verdict == "proved right":
            yield _holds(name, f, x, tangent, proof)


def _holds(name, f, x, tangent, proof) -> bool:
    slope = arb(0)
    for balls, along in zip(flatten(proof.enclosures)[0], flatten(tangent)[0], strict=True):
        for ball, v in zip(np.ravel(balls), np.ravel(along), strict=True):
            slope += ball * arb(float(v))
    estimate = derivative_along(f, x, tangent)
    inside = abs(slope - arb(float(estimate.value))) <= arb(float(estimate.error))
    if not (inside or not np.isfinite(estimate.error)):
        print(f"bar misses: {name}, {estimate}, exact {slope}", file=sys.stderr)
        return False
    return True


def _arbiter(programs: int) -> Iterator[Row]:
    start = secrets.randbelow(10**6)
    yield from _of_programs(confronted(start, programs, -1), start)


def confronted(start: int, programs: int, n_jobs: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in Parallel(n_jobs)(delayed(confront)(seed) for seed in range(start, start + programs)):
        found += one
    return found


def _of_programs(found: Counter[str], start: int) -> Iterator[Row]:
    print(f"programs from seed {start}: {dict(found)}", file=sys.stderr)

    def share(what: str, part: str, whole: str, least: float, note: str = "") -> Row:
        size = found[part] / found[whole] if found[whole] else math.nan
        note = f"{found[part]} of {found[whole]}{note}"
        return _row(what, size, f"≥ {least:g}", size >= least, note)

    yield share("smooth programs proved", "proved", "smooth", 0.95)
    yield share("bars of derivative_along that hold the enclosure", "bar holds", "proved", 1)
    for what in ("contradictions of check_gradient and a proof", "right gradients proved wrong"):
        note = f"{found['verdicts']} verdicts, half with a planted fault"
        yield _row(what, found[what], "0", not found[what], note)
    yield share("planted faults proved wrong", "faults proved wrong", "faults", 1)
    small, noisy = "smallest faults", found["below rounding"]
    yield share("faults of 1e-13 proved wrong with rtol 1e-14", "with rtol", small, 1)
    note = f"; of the rest, {noisy} are less than {TOLD:g} times the rounding of the entry"
    yield share("faults of 1e-13 proved wrong by default", "by default", small, 1, note)
    yield share("faults above that rounding proved wrong by default", "told", small, 1)


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
        tangent = program.tree(
            [generator.choice([-1.0, 1.0], size=leaf.shape) for leaf in program.leaves(proof.value)]
        )
        found["bar holds"] = int(_holds(str(program), program.f, program.params, tangent, proof))
        _judge(program, proof, generator, found)
    return found


def _judge(program, proof, generator, found):
    right = [program.gradient(), _of_an_engine(program)]
    faults = planted_faults(proof.value, program.seed)
    fault, wrong = faults[program.seed // 2 % len(faults)] if faults else ("none", right[0])
    small, told = _small_faults(program, proof, generator, found)
    claims = [*right, wrong, small, told]
    *rights, of_wrong, of_small, of_told = (
        str(judged_.verdict)
        for judged_ in prove_gradients(program.f, program.params, gradients=claims)
    )
    found["right gradients proved wrong"] = rights.count("proved wrong")
    if found["right gradients proved wrong"]:
        print(f"right ones proved wrong: {program}", file=sys.stderr)
    found["faults"] = int(bool(faults))
    found["faults proved wrong"] = int(bool(faults) and of_wrong == "proved wrong")
    gradient, said = (wrong, of_wrong) if program.seed % 2 else (right[0], rights[0])
    check = check_gradient(program.f, program.params, gradient=gradient, seed=program.seed)
    found["verdicts"] = 1
    if (str(check.verdict), said) in {("differ", "proved right"), ("agree", "proved wrong")}:
        found["contradictions of check_gradient and a proof"] = 1
        print(f"contradiction: {program}, fault {fault}: {check.reason}", file=sys.stderr)
    if small is None:
        return
    found["smallest faults"] = 1
    found["by default"] = int(of_small == "proved wrong")
    found["told"] = int(of_told == "proved wrong")
    strict = prove_gradient(program.f, program.params, gradient=small, rtol=1e-14)
    found["with rtol"] = int(strict.verdict == "proved wrong")


def _of_an_engine(program):
    backend = get_backend("torch" if program.seed % 16 else "jax")  # which compiles each
    return backend.to_numpy(
        backend.value_and_gradient(program.f)(backend.asarray(program.params))[1]
    )


def _small_faults(program, proof, generator, found):
    """Return gradients with a fault of 1e-13 of an entry, and with one that rounding is below.

    The rounding is measured by itself, with other draws than those of the proof.
    """
    leaves, structure = flatten(proof.value)
    chosen = int(generator.integers(len(leaves)))
    places = np.argwhere(leaves[chosen])
    if not len(places):
        return None, None
    at = tuple(places[generator.integers(len(places))])
    measured = measure_rounding(
        program.f, program.params, (), "float64", backend_name="torch", runs=16, seed=program.seed
    )
    entry = leaves[chosen][at]
    relative = TOLD * float(measured.leaves[chosen].entry[at]) / abs(entry)
    if relative > SMALLEST_FAULT:
        found["below rounding"] = 1
        print(f"{program.seed}: entry {entry:.1e}, {relative / TOLD:.1e} scatter", file=sys.stderr)
    faulty = []
    for size in (SMALLEST_FAULT, max(SMALLEST_FAULT, relative)):
        others = [leaf.copy() for leaf in leaves]
        others[chosen][at] *= 1 + size
        faulty.append(unflatten(structure, others))
    return faulty


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else f"{PROGRAMS}"
    if what.isdigit():
        start = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(10**6)
        found = _of_programs(confronted(start, int(what), 1), start)
    else:
        found = {"costs": _costs, "forms": _closed_forms, "slopes": _known_slopes}[what]()
    for row in found:
        said = "reached" if row.reached else "MISSED"
        print(f"{said}: {row.what}: {row.figure:.5g} {row.note}")


if __name__ == "__main__":
    main()
