"""What check_gradient finds, what it calls wrong without cause, and what that costs.

Right gradients come from PyTorch in float64 and float32, at points drawn anew for each seed; faults
of every pattern are planted into them.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rows import Row, at_least, at_most

from gradparity.backends import get_backend
from gradparity.backends.pytrees import flatten, leaf_names, tree_map, unflatten
from gradparity.compare import Verdict, check_gradient
from gradparity.compare.scenarios.functions import SCENARIOS
from gradparity.compare.scenarios.networks import KINKS, NETWORKS
from gradparity.compare.scenarios.scenario import Scenario
from gradparity.models import TwoLayerNet

SEEDS = 20
NET_SEEDS = 20
# A fault counts as above the bar where it is this many times what the check of the right gradient
# resolves: random signs and sizes may make ten times less of it.
ABOVE = 10.0
SLOW_PART = ("W2", "b1", "b2")
SMOOTH = (*SCENARIOS, *NETWORKS)


@dataclass(frozen=True)
class Fault:
    """A wrong gradient; `entries` are at fault in the leaf, None where most of them are.

    size: by how much a typical direction's slope is off, relative to the leaf's own
    """

    pattern: str
    leaf: str
    gradient: Any
    entries: set[tuple[int, ...]] | None
    size: float


def rows() -> Iterator[Row]:
    yield from judged_right()
    yield from judged_wrong()
    yield from one_among_79510()
    yield from beside_gradcheck()


def judged_right() -> Iterator[Row]:
    alarms = agreed = checked = 0
    for subject in (*SMOOTH, *KINKS):
        for seed in range(SEEDS * 2):
            for dtype in ("float64", "float32"):
                params, args = point(subject, seed, dtype)
                gradient = right_gradient(subject, params, args, dtype)
                check = check_gradient(subject.f, params, *args, gradient=gradient, seed=seed)
                checked += 1
                alarms += check.verdict is Verdict.DIFFER
                agreed += check.verdict is Verdict.AGREE
    note = f"{checked} right gradients, float64 and float32, {len(KINKS)} functions at kinks"
    yield Row("false alarms", alarms, alarms, alarms, "0", alarms == 0, note)
    share = agreed / checked
    yield Row("right gradients called so", share, share, share, "≥ 0.99", share >= 0.99, note)


def judged_wrong() -> Iterator[Row]:
    found = named = planted = below = 0
    for subject in SMOOTH:
        for seed in range(SEEDS // 4):
            params, args = point(subject, seed, "float64")
            gradient = right_gradient(subject, params, args, "float64")
            right = check_gradient(subject.f, params, *args, gradient=gradient, seed=seed)
            resolved = {leaf.leaf: leaf.resolution for leaf in right.leaves}
            for fault in faults(gradient, np.random.default_rng(seed)):
                if not fault.size > ABOVE * resolved[fault.leaf]:
                    below += 1
                    continue
                wrong = fault.gradient
                check = check_gradient(subject.f, params, *args, gradient=wrong, seed=seed)
                planted += 1
                found += check.verdict is Verdict.DIFFER
                places = {(suspect.leaf, suspect.index) for suspect in check.suspects}
                named += (
                    {(fault.leaf, index) for index in fault.entries} <= places
                    if fault.entries is not None
                    else any(leaf == fault.leaf for leaf, _ in places)
                )
    note = f"{planted} faults above the bar; {below} below it were left out"
    for what, count, least in (("found", found, 0.99), ("named by leaf and index", named, 0.95)):
        share = count / planted
        yield Row(f"faults {what}", share, share, share, f"≥ {least}", share >= least, note)


def one_among_79510() -> Iterator[Row]:
    net, params, x, t = large_net()
    exact = get_backend("torch").value_and_gradient(net.loss)
    gradient = get_backend("torch").to_numpy(exact(params, x, t)[1])
    cleared, named, calls = [], [], []
    for seed in range(NET_SEEDS):
        check = check_gradient(net.loss, params, x, t, gradient=gradient, seed=seed)
        cleared.append(float(check.evaluations if check.verdict is Verdict.AGREE else "inf"))
        rng = np.random.default_rng(seed)
        index = tuple(int(rng.integers(length)) for length in gradient["W1"].shape)
        wrong = gradient["W1"].copy()
        wrong[index] += 1e-4 * np.sqrt(np.mean(wrong**2)) * rng.choice([-1, 1])
        check = check_gradient(
            net.loss, params, x, t, gradient={**gradient, "W1": wrong}, seed=seed
        )
        named.append({(s.leaf, s.index) for s in check.suspects} == {("W1", index)})
        calls.append(float(check.evaluations))
    share = sum(named) / len(named)
    what = "one entry off by 1e-4 of its leaf's typical size, among 79,510"
    yield Row(f"{what}: named", share, share, share, "≥ 0.99", share >= 0.99, f"{NET_SEEDS} seeds")
    limit = 15 * np.log2(79_510)
    yield at_most("calls of f to clear 79,510 parameters in 4 leaves", cleared, 100)
    yield at_most("calls of f to name the wrong entry among them", calls, limit, "15 log2(n)")


def beside_gradcheck() -> Iterator[Row]:
    net, params, x, t = large_net()
    inputs, targets = torch.from_numpy(x), torch.from_numpy(t)
    tensors = {name: torch.from_numpy(leaf).requires_grad_() for name, leaf in params.items()}

    def loss(*leaves: torch.Tensor) -> torch.Tensor:
        return net.loss(dict(zip(tensors, leaves, strict=True)), inputs, targets)

    def gradient(leaves: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        own = [leaf.detach().requires_grad_() for leaf in leaves]
        return torch.autograd.grad(loss(*own), own)

    detached = [leaf.detach() for leaf in tensors.values()]

    def ours() -> object:
        return check_gradient(lambda leaves: loss(*leaves), detached, gradient=gradient)

    def fast() -> object:
        return torch.autograd.gradcheck(loss, tuple(tensors.values()), fast_mode=True)

    part = {name: tensors[name] for name in SLOW_PART}
    fixed = {name: leaf.detach() for name, leaf in tensors.items() if name not in part}

    def slow_part() -> object:
        def loss_of_part(*leaves: torch.Tensor) -> torch.Tensor:
            moved = dict(zip(part, leaves, strict=True))
            return net.loss({**fixed, **moved}, inputs, targets)

        return torch.autograd.gradcheck(loss_of_part, tuple(part.values()))

    ratios = processor_ratios(ours, fast, rounds=21)
    note = "processor seconds on one thread"
    yield at_most("time of check_gradient over gradcheck's fast mode", ratios, 2.5, note)
    measured = sum(leaf.numel() for leaf in part.values())
    factor = sum(leaf.numel() for leaf in tensors.values()) / measured
    ratios = [factor * ratio for ratio in processor_ratios(slow_part, ours, rounds=5)]
    note += f", extrapolated from {measured} of 79,510 parameters"
    yield at_least("time of gradcheck's slow mode over check_gradient", ratios, 1000, note)


def processor_ratios(
    one: Callable[[], object], other: Callable[[], object], *, rounds: int
) -> list[float]:
    """Return the processor time of one over that of the other, for each of so many turns.

    On one thread it is the time that passes on an idle machine, and it is little disturbed by what
    else runs.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for warm_up in (one, other):
            warm_up()
        return [processor_seconds(one) / processor_seconds(other) for _ in range(rounds)]
    finally:
        torch.set_num_threads(threads)


def processor_seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def large_net() -> tuple[TwoLayerNet, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    net, rng = TwoLayerNet(784, 100, 10), np.random.default_rng(0)
    return net, net.init(0), rng.random((100, 784)), rng.integers(0, 10, 100)


def point(subject: Scenario, seed: int, dtype: str) -> tuple[Any, tuple[Any, ...]]:
    """Return parameters and arguments near the subject's own, float64 numbers exact in dtype."""
    rng = np.random.default_rng([seed, 1])

    def moved(leaf: Any) -> Any:
        array = np.asarray(leaf)
        if array.dtype.kind != "f":
            return leaf
        factors = np.exp(0.3 * rng.normal(size=array.shape))
        return np.asarray((array * factors).astype(dtype).astype("float64"))

    return tree_map(moved, subject.params), tuple(tree_map(moved, arg) for arg in subject.args)


def right_gradient(subject: Scenario, params: Any, args: tuple[Any, ...], dtype: str) -> Any:
    engine = get_backend("torch", dtype=dtype)
    return engine.to_numpy(engine.value_and_gradient(subject.f)(params, *args)[1])


def faults(gradient: Any, rng: np.random.Generator) -> Iterator[Fault]:
    """Plant each fault into one leaf, chosen at random among those with a slope."""
    leaves, structure = flatten(gradient)
    names = leaf_names(gradient)
    largest = max(float(np.abs(leaf).max()) for leaf in leaves)
    sloped = [i for i, leaf in enumerate(leaves) if np.abs(leaf).max() > 1e-12 * largest]
    chosen = int(rng.choice(sloped))
    leaf = leaves[chosen]
    norm = float(np.linalg.norm(leaf))
    typical = norm / np.sqrt(leaf.size)

    def fault(
        pattern: str, new: np.ndarray, entries: Any = None, size: float | None = None
    ) -> Fault:
        wrong = [new if i == chosen else old for i, old in enumerate(leaves)]
        off = float(np.linalg.norm(new - leaf)) / norm if size is None else size
        return Fault(pattern, names[chosen], unflatten(structure, wrong), entries, off)

    yield fault("sign", -leaf)
    yield fault("factor 2", 2 * leaf)
    yield fault("missing 1/N", 7 * leaf)
    yield fault("constant factor", 1.001 * leaf)
    yield fault("detached", 0 * leaf)
    yield fault("rounded to float32", leaf.astype(np.float32).astype(np.float64))
    yield fault("noise", leaf * (1 + 1e-3 * rng.normal(size=leaf.shape)))
    if leaf.ndim == 2 and leaf.shape[0] == leaf.shape[1]:
        yield fault("transposed", leaf.T.copy())
    for other in leaves[:chosen] + leaves[chosen + 1 :]:
        if other.shape == leaf.shape:
            yield fault("another leaf's", other.copy())
            break
    for relative in (1e-4, 1e-2, 1.0):
        index = tuple(int(rng.integers(length)) for length in leaf.shape)
        wrong = leaf.copy()
        wrong[index] += relative * typical * rng.choice([-1, 1])
        yield fault(f"one entry off by {relative:g}", wrong, {index})
    if leaf.size >= 6:
        flat = rng.choice(leaf.size, 3, replace=False)
        wrong = leaf.copy()
        wrong.reshape(-1)[flat] += 0.01 * typical * rng.choice([-1, 1], 3)
        indices = {tuple(map(int, np.unravel_index(k, leaf.shape))) for k in flat}
        yield fault("three entries", wrong, indices)
    index = tuple(int(rng.integers(length)) for length in leaf.shape)
    wrong = leaf.copy()
    wrong[index] = np.nan
    yield fault("NaN", wrong, {index}, np.inf)


if __name__ == "__main__":
    for row in rows():
        figures = f"{row.figure:.4g} [{row.low:.4g}, {row.high:.4g}]"
        print(f"{row.what}: {figures}, target {row.target}: {row.reached}  {row.note}")
