"""What a check of ten million parameters and more costs, in gradients and in memory.

python tests/benchmarks/large.py FRAMEWORK MODEL PARAMETERS

Each case has a process of its own. Of the gradient by hand and the check, each round times both.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rows import Row, at_most

from gradparity.backends import Backend, get_backend
from gradparity.backends.pytrees import flatten
from gradparity.compare import check_gradient
from gradparity.compare.speed.peak_memory import peak_memory

ROUNDS = 3
GRADIENTS, COPIES = 10, 6
LEAVES, BATCH = 1000, 256
CASES = [
    *((framework, model, 10**7) for framework in ("torch", "jax") for model in ("net", "array")),
    ("torch", "leaves", 10**7),
    ("torch", "net", 10**8),
]


def rows() -> Iterator[Row]:
    for framework, model, parameters in CASES:
        command = [sys.executable, __file__, framework, model, str(parameters)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(answer)
        what = f"{framework} {model} of {parameters:.0e}"
        note = (
            f"{found['evaluations']} calls, {found['verdict']}, f takes {found['own']:.1f} copies"
        )
        yield at_most(f"check over gradient: {what}", found["ratios"], GRADIENTS, note)
        yield at_most(f"memory over parameters: {what}", [found["copies"]] * 2, COPIES, note)


def case(backend: Backend, model: str, size: int) -> tuple[Callable[..., Any], Any, tuple]:
    rng, tanh = np.random.default_rng(0), backend.xp.tanh
    if model == "array":
        return lambda p: (tanh(p) ** 2).sum(), rng.standard_normal(size), ()
    if model == "leaves":
        leaves = [rng.standard_normal(size // LEAVES) for _ in range(LEAVES)]
        return lambda p: sum((tanh(leaf) ** 2).sum() for leaf in p), leaves, ()
    width = int((size / 4) ** 0.5)
    layers = [rng.standard_normal((width, width)) / width**0.5 for _ in range(4)]

    def loss(p: Any, x: Any) -> Any:
        for layer in p:
            x = tanh(x @ layer)
        return (x**2).mean()

    return loss, layers, (rng.standard_normal((BATCH, width)),)


def measured(framework: str, model: str, size: int) -> dict[str, Any]:
    backend = get_backend(framework)
    f, params, args = case(backend, model, size)
    params, args = backend.asarray(params), backend.asarray(args)
    differentiate = backend.compile(backend.value_and_gradient(f))
    checks: list[Any] = []

    def by_hand() -> Any:
        return backend.wait(differentiate(params, *args))[1]

    gradient = by_hand()

    def check() -> None:
        checks.append(check_gradient(f, params, *args, gradient=gradient))

    taken = peak_memory(check)  # the first check, in which JAX compiles
    ratios = []
    for _ in range(ROUNDS):
        ratios.append(_seconds(check) / min(_seconds(by_hand), _seconds(by_hand)))
    held = sum(8 * int(np.prod(leaf.shape)) for leaf in flatten(params)[0])
    return {
        "ratios": ratios,
        "copies": (taken or 0) / held,
        "own": (peak_memory(lambda: backend.wait(f(params, *args))) or 0) / held,
        "evaluations": checks[-1].evaluations,
        "verdict": checks[-1].verdict,
    }


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
