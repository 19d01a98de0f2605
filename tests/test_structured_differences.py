"""Structured differences are the plain loop's, wherever they can be had, and say where not."""

import functools
import pickle
import subprocess
import sys
import tracemalloc
import warnings

import joblib
import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends import get_backend
from gradparity.backends.difference_loop import Sweep, difference_entries
from gradparity.backends.errors import StructureInDoubt, TooMuchWork
from gradparity.backends.pytrees import flatten
from gradparity.backends.structured import perturbed_functions
from gradparity.backends.structured.chunks import Problem, structured_differences
from gradparity.backends.structured.differences import structured_gradient
from gradparity.backends.structured.perturbed_array import PerturbedArray
from gradparity.backends.structured.plan import plans
from gradparity.backends.structured.recorded_problem import RecordedProblem
from gradparity.backends.structured.recording import Recording
from gradparity.compare.scenarios.networks import CLASSIFIERS
from gradparity.compare.scenarios.random_programs import random_program
from gradparity.models import TwoLayerNet

STEP = 1e-4


def problem(f, params, args, step=STEP, max_bytes=2**28, share=0.1):
    steps = tuple(np.full(leaf.shape, step) for leaf in flatten(params)[0])
    loop = functools.partial(difference_entries, Sweep(f, params, args, steps))
    return Problem(RecordedProblem(f, params, args, max_bytes, share), steps, loop)


def structured(f, params, *args, step=STEP, max_bytes=2**28, **settings):
    return structured_gradient(problem(f, params, args, step, max_bytes), **settings)


def replayed(f, params, *args, step=STEP, together=False):
    """Return the gradient by structure alone, whatever it costs: each leaf alone, or all."""
    whole = problem(f, params, args, step, share=np.inf)
    recorded, every = whole.recorded, range(len(whole.recorded.leaves))
    gradient = np.empty(recorded.starts[-1])
    for group in [tuple(every)] if together else [(leaf,) for leaf in every]:
        entries = recorded.group_entries(group, 0, recorded.size(group))
        gradient[entries], _ = structured_differences(whole, group, entries)
    parts = np.split(gradient, recorded.starts[1:-1])
    leaves, structure = flatten(params)
    return structure.unflatten([p.reshape(x.shape) for p, x in zip(parts, leaves, strict=True)])


def looped(f, params, *args, step=STEP):
    """Return the gradient by the plain loop alone."""
    loop, (leaves, structure) = problem(f, params, args, step).loop, flatten(params)
    found = [
        loop(leaf, np.arange(array.size)).reshape(array.shape) for leaf, array in enumerate(leaves)
    ]
    return structure.unflatten(found)


def largest_difference(one, other):
    pairs = zip(flatten(one)[0], flatten(other)[0], strict=True)
    return max(float(np.max(np.abs(a - b))) for a, b in pairs)


def cases():
    rng = np.random.default_rng(3)
    t = rng.integers(0, 4, 12)
    net = TwoLayerNet(20, 9, 4, weight_init_std=0.3)
    dense, sparse = rng.random((12, 20)), rng.random((12, 20)) * (rng.random((12, 20)) < 0.2)
    yield "TwoLayerNet", net.loss, net.init(0), (dense, t)
    yield "TwoLayerNet, one-hot labels", net.loss, net.init(0), (dense, np.eye(4)[t])
    yield "TwoLayerNet, mostly zeros", net.loss, net.init(0), (sparse, t)
    for scenario in CLASSIFIERS:
        yield scenario.name, scenario.f, scenario.params, scenario.args


CASES = {name: (f, params, args) for name, f, params, args in cases()}


@pytest.mark.parametrize("together", [False, True], ids=["each leaf", "all leaves"])
@pytest.mark.parametrize("name", CASES)
def test_structured_differences_are_those_of_the_plain_loop(name, together):
    f, params, args = CASES[name]
    found = replayed(f, params, *args, together=together)
    # Round-off of the loop itself: eps |f| / h, a few times 1e-12.
    assert largest_difference(found, looped(f, params, *args)) <= 1e-10


@pytest.mark.parametrize("name", sorted(set(CASES) - {"attention of sequences", "recurrence"}))
def test_the_plain_loop_is_left_out_where_that_pays(name):
    f, params, args = CASES[name]
    chosen = plans(problem(f, params, args))
    assert not any(plan.doubt for plan in chosen)
    assert any(chunk.structured for plan in chosen for chunk in plan.chunks)


def calls_of(f, gradient, *args):
    """Return how often f is called for a gradient."""
    calls = []

    def counted(*values):
        calls.append(None)
        return f(*values)

    gradient(counted, *args)
    return len(calls)


SCALARS = {
    "a loop over rows": lambda w: sum(row @ row for row in w.reshape(-1, 4)),
    "a loop over numbers": lambda w: sum(x * x for x in w.reshape(-1)),
    "a long loop over numbers": lambda w: sum(x * y for x in w for y in w[:20]),
}


@pytest.mark.parametrize("size", [12, 112])
@pytest.mark.parametrize("kind", sorted(SCALARS))
def test_what_is_tried_stays_a_share_of_the_plain_loop(kind, size):
    # Work in units that no clock measures: calls of f, and calls that are written down.
    f, w = SCALARS[kind], np.linspace(1, 2, size)
    whole = problem(f, w, ())
    chosen = plans(whole)
    trial = 0 if chosen[0].sample is None else len(chosen[0].sample.entries)
    assert 2 * trial <= 0.1 * 2 * size
    if "numbers" in kind:
        assert not any(chunk.structured for plan in chosen for chunk in plan.chunks)
        assert not any(plan.doubt for plan in chosen)
    assert calls_of(f, structured, w) <= 1.1 * 2 * size + 4


def test_recording_stops_where_it_takes_longer_than_it_may():
    f, w = SCALARS["a long loop over numbers"], np.linspace(1, 2, 100)
    with pytest.raises(TooMuchWork):
        Recording.of(f, w, (), most_work=20)
    recording = Recording.of(f, w[:10], ())
    assert recording.calls > 100
    assert recording.effort > 100


def test_small_leaves_are_evaluated_together_and_large_ones_alone():
    small = {f"p{i}": np.ones(8) for i in range(40)}
    f = lambda p: sum((leaf**2).sum() for leaf in p.values())  # noqa: E731
    assert problem(f, small, ()).recorded.groups == [tuple(range(40))]
    net = TwoLayerNet(784, 50, 10)
    x, t = np.ones((100, 784)), np.eye(10)[np.zeros(100, int)]
    groups = problem(net.loss, net.init(0), (x, t)).recorded.groups
    assert groups[0] == (0,)


@pytest.mark.parametrize("leaves", [20, 80])
def test_many_leaves_take_few_evaluations_of_the_function(leaves):
    rng = np.random.default_rng(0)
    params = {f"p{i}": rng.normal(size=(4, 6)) for i in range(leaves)}

    def f(p):
        return sum((array_namespace(leaf).sin(leaf) ** 2).sum() for leaf in p.values())

    gradients = []
    backend = get_backend("numerical")
    taken = calls_of(f, lambda g, p: gradients.append(backend.value_and_gradient(g)(p)), params)
    assert taken < 60
    for name, leaf in params.items():
        np.testing.assert_allclose(gradients[0][1][name], np.sin(2 * leaf), atol=1e-8)


def test_a_rule_that_is_wrong_for_one_of_many_leaves_is_caught(monkeypatch):
    params = {f"p{i}": np.linspace(1, 2, 24) for i in range(40)}

    def f(p):
        xp = array_namespace(p["p0"])
        return sum((xp.cos(x) if name == "p17" else xp.sin(x)).sum() for name, x in p.items())

    right = perturbed_functions.elementwise

    def broken(result, function, *operands, **settings):
        outcome = right(result, function, *operands, **settings)
        factor = 1 + 1e-6 if function is np.cos else 1
        return PerturbedArray(result, outcome.values * factor, outcome.places)

    monkeypatch.setattr(perturbed_functions, "elementwise", broken)
    gradient, doubts = doubted(f, params)
    assert len(doubts) == 1
    np.testing.assert_array_equal(gradient["p17"], looped(f, params)["p17"])


@pytest.mark.parametrize("error", [TimeoutError("too long"), KeyboardInterrupt(), OSError("other")])
def test_an_interruption_from_elsewhere_is_not_taken_for_doubt(error, monkeypatch):
    f, params, args = CASES["TwoLayerNet"]

    def interrupted(values):
        raise error

    break_rule(monkeypatch, interrupted)
    with pytest.raises(type(error)):
        structured(f, params, *args)


def test_random_programs_have_the_gradient_of_the_plain_loop():
    for seed in range(30):
        program = random_program(seed)
        if program.kinks:
            continue
        expected = program.leaves(looped(program.f, program.params))
        for together in (False, True):
            found = replayed(program.f, program.params, together=together)
            for one, other in zip(program.leaves(found), expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8, err_msg=str(program))


@pytest.mark.parametrize("axes", [(0, 1), (2, 0), (1, 2)])
@pytest.mark.parametrize("offset", [-1, 0, 2])
def test_a_diagonal_along_any_axes_is_followed(axes, offset):
    w = np.random.default_rng(0).normal(size=(3, 4, 3))

    def f(w):
        return np.sum(np.sin(np.diagonal(w, offset, *axes))) + np.sum(
            np.trace(w, offset, *axes) ** 2
        )

    assert largest_difference(replayed(f, w), looped(f, w)) <= 1e-9


def test_a_step_as_small_as_the_automatic_one_agrees_to_a_billionth():
    f, params, args = CASES["TwoLayerNet"]
    step = float(np.finfo(float).eps ** (1 / 3))
    one, other = structured(f, params, *args, step=step), looped(f, params, *args, step=step)
    assert largest_difference(one, other) <= 1e-9


# Doubt.


def doubted(f, params, *args):
    """Return the gradient, and what was said about leaves that are left to the plain loop."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        gradient = structured(f, params, *args)
    return gradient, [str(w.message) for w in seen if w.category is StructureInDoubt]


def break_rule(monkeypatch, wrong):
    right = perturbed_functions.elementwise

    def broken(result, function, *operands, **settings):
        outcome = right(result, function, *operands, **settings)
        return PerturbedArray(result, wrong(outcome.values), outcome.places)

    monkeypatch.setattr(perturbed_functions, "elementwise", broken)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda values: values * (1 + 1e-6),
        # Logarithms of negative numbers: nothing is finite.
        lambda values: -values,
        # Only in batches larger than those that are tried first.
        lambda values: values[..., ::-1] if values.shape[-1] > 32 else values,
    ],
    ids=["scaled", "negated", "reversed in large batches"],
)
def test_a_wrong_rule_is_caught_and_the_plain_loop_answers(wrong, monkeypatch):
    f, params, args = CASES["TwoLayerNet"]
    expected = looped(f, params, *args)
    break_rule(monkeypatch, wrong)
    gradient, doubts = doubted(f, params, *args)
    assert any(doubt.startswith("leaf W1:") for doubt in doubts)
    np.testing.assert_array_equal(gradient["W1"], expected["W1"])


def test_a_rule_that_fails_in_the_middle_is_replaced_by_the_plain_loop(monkeypatch):
    f, params, args = CASES["TwoLayerNet"]

    def failing(values):
        if values.shape[-1] > 32:
            raise IndexError("no such block")
        return values

    expected = looped(f, params, *args)
    break_rule(monkeypatch, failing)
    gradient, doubts = doubted(f, params, *args)
    assert any("no such block" in doubt for doubt in doubts)
    np.testing.assert_array_equal(gradient["W1"], expected["W1"])


def test_a_branch_that_all_copies_take_is_followed():
    def f(w, x):
        xp = array_namespace(w)
        total = xp.sum(w * x)
        return total**2 if total > 0 else total

    w, x = np.linspace(0.1, 1, 20), np.linspace(1, 2, 20)
    with warnings.catch_warnings(action="error"):
        assert largest_difference(structured(f, w, x), looped(f, w, x)) <= 1e-9


DOUBTFUL = {
    "branch": lambda w: (w * w).sum() if float(w[0]) > 1.0 else (w * 3).sum(),
    "number": lambda w: w.sum() * float(w[3]),
    "array": lambda w: np.asarray(w).sum() * w[1],
    "list": lambda w: np.array([w[0], w[1] * 2]).sum() + w.sum(),
    "assignment": lambda w: assigned(w).sum(),
    "output argument": lambda w: np.exp(w, out=np.empty(w.shape)).sum(),
    "type": lambda w: (w * 2).sum() if type(w) is np.ndarray else None + w,
}


def assigned(w):
    squares = w * w
    squares[0] = 0.5
    return squares


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_cannot_be_recorded_is_said_and_left_to_the_plain_loop(kind):
    f, w = DOUBTFUL[kind], np.linspace(1, 2, 400)
    with pytest.warns(StructureInDoubt, match="plain loop"):
        gradient = structured(f, w)
    np.testing.assert_array_equal(gradient, looped(f, w))


def test_a_warning_names_the_leaf():
    params = {"layers": [{"b": np.ones(400)}]}
    with pytest.warns(StructureInDoubt, match=r"leaf layers\[0\]\.b:"):
        structured(lambda p: float(p["layers"][0]["b"].sum()), params)


def test_a_function_that_changes_its_parameters_is_refused():
    def f(w):
        w += 1
        return w.sum()

    with pytest.raises(ValueError, match="read-only"):
        structured(f, np.ones(20))


def test_what_the_function_raises_is_raised():
    def f(w):
        raise ZeroDivisionError("as f has it")

    with pytest.raises(ZeroDivisionError, match="as f has it"):
        structured(f, np.ones(20))


def test_a_function_that_cancels_large_terms_is_not_doubted():
    def f(w):
        return (1e7 + array_namespace(w).sum(w * w)) - 1e7 * (1 + 0 * w[0])

    w = np.linspace(0.1, 1, 40)
    with warnings.catch_warnings(action="error"):
        gradient = structured(f, w)
    # Round-off of a term of 1e7, over the step.
    np.testing.assert_allclose(gradient, 2 * w, atol=10 * 1e7 * np.finfo(float).eps / STEP)


# Corners.


def test_unused_leaves_and_constants_have_no_gradient():
    params = {"used": np.linspace(1, 2, 20), "unused": np.ones((20, 3))}
    gradient = structured(lambda p: (p["used"] ** 2).sum(), params)
    np.testing.assert_array_equal(gradient["unused"], np.zeros((20, 3)))
    np.testing.assert_array_equal(structured(lambda w: 3.0, np.ones(20)), np.zeros(20))


def test_closures_and_numpy_functions_are_differenced_too():
    rng = np.random.default_rng(0)
    x, w = rng.random((7, 20)), rng.random((20, 3))
    with warnings.catch_warnings(action="error"):
        gradient = structured(lambda w: np.mean(np.tanh(np.dot(x, w)) ** 2), w)
    expected = looped(lambda w: np.mean(np.tanh(np.dot(x, w)) ** 2), w)
    assert largest_difference(gradient, expected) <= 1e-10


def test_an_array_that_the_function_goes_on_filling_is_taken_as_it_was():
    def f(w):
        mask = np.zeros(20)
        mask[:10] = 1
        first = (w * mask).sum()
        mask[:] = 5
        return first + (w * w * mask).sum()

    w = np.linspace(1, 2, 20)
    assert largest_difference(structured(f, w), looped(f, w)) <= 1e-9


def test_steps_out_of_the_domain_are_those_of_the_plain_loop():
    w = np.concatenate([np.full(20, 1e-6), np.linspace(1, 2, 20)])

    def f(w):
        return array_namespace(w).sum(array_namespace(w).log(w))

    with np.errstate(invalid="ignore"):
        gradient, expected = structured(f, w), looped(f, w)
    np.testing.assert_allclose(gradient, expected, rtol=1e-7)
    assert np.isfinite(gradient).all()


def test_infinite_entries_beside_a_sum_stay_out_of_it():
    mask = np.where(np.arange(20) % 3 == 0, -np.inf, 0.0)

    def f(w):
        xp = array_namespace(w)
        masked = xp.sum(w + mask, axis=0)
        return xp.sum(xp.exp(w + mask)) + xp.where(xp.isfinite(masked), masked, 0.0)

    w = np.linspace(0.1, 1, 20)
    assert largest_difference(structured(f, w), looped(f, w)) <= 1e-9


def test_a_lost_step_gives_no_difference():
    w = np.full(20, 1e30)
    np.testing.assert_array_equal(structured(lambda w: (w * 2).sum(), w), np.zeros(20))


@pytest.mark.parametrize("shape", [(40,), (5, 4), (1, 20), (20, 1), (2, 3, 4), (2, 1, 3, 4)])
def test_leaves_of_any_shape_are_differenced(shape):
    w = np.random.default_rng(0).random(shape)

    def f(w):
        xp = array_namespace(w)
        return xp.sum(xp.sin(w) * xp.cumulative_sum(xp.reshape(w, (-1,)))[-1])

    assert largest_difference(structured(f, w), looped(f, w)) <= 1e-9


def test_small_leaves_are_left_to_the_plain_loop_exactly():
    def f(w):
        return (w**2).sum()

    w = np.array([3.0, 4.0])
    np.testing.assert_array_equal(structured(f, w), looped(f, w))


@pytest.mark.parametrize("size", [20, 40, 60])
def test_where_nothing_can_be_saved_the_plain_loop_is_taken_without_a_word(size):
    def f(w):
        product = np.linalg.inv(w) @ np.linalg.pinv(w)
        return np.linalg.slogdet(product)[1] + np.linalg.svd(w)[1].sum()

    w = np.random.default_rng(0).random((size, size)) + size * np.eye(size)
    (plan,) = plans(problem(f, w, ()))
    assert plan.doubt is None
    assert not any(chunk.structured for chunk in plan.chunks)


# Work.


def test_two_calls_give_the_same_digits():
    f, params, args = CASES["batch and layer normalisation"]
    one, other = structured(f, params, *args), structured(f, params, *args)
    assert largest_difference(one, other) == 0.0


@pytest.mark.parametrize("prefer", ["threads", "processes"])
def test_chunks_in_parallel_give_the_same_digits(prefer):
    f, params, args = CASES["convolution"]

    def chunk_map(function, chunks):
        parallel = joblib.Parallel(n_jobs=2, prefer=prefer, return_as="generator")
        return parallel(joblib.delayed(function)(chunk) for chunk in chunks)

    alone = structured(f, params, *args)
    assert largest_difference(structured(f, params, *args, chunk_map=chunk_map), alone) == 0.0


def test_a_problem_is_pickled_without_what_was_recorded():
    f, params, args = CASES["TwoLayerNet"]
    whole = problem(f, params, args)
    before = len(pickle.dumps(whole))
    assert whole.recorded.program((0,)).steps
    assert len(pickle.dumps(whole)) == before


def test_progress_ends_at_all_entries():
    f, params, args = CASES["TwoLayerNet"]
    seen = []
    structured(f, params, *args, progress=lambda done, total: seen.append((done, total)))
    entries = sum(leaf.size for leaf in params.values())
    assert seen == sorted(seen)
    assert seen[-1] == (entries, entries)


def test_memory_stays_within_its_limit_and_changes_no_digit_that_matters():
    rng = np.random.default_rng(0)
    x, w = rng.random((200, 40)), rng.random((40, 40))

    def f(w, x):
        xp = array_namespace(w)
        return xp.mean(xp.tanh(xp.tanh(x @ w) @ w) ** 2)

    limit = 2**22
    plain = structured(f, w, x)
    tracemalloc.start()
    try:
        small = structured(f, w, x, max_bytes=limit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The recording holds a few arrays of the size of x itself besides.
    assert peak <= limit + 20 * x.nbytes
    assert largest_difference(small, plain) <= 1e-10


def test_structured_differences_load_neither_jax_nor_torch():
    code = (
        "import sys, numpy as np\n"
        "from gradparity.backends.structured import differences\n"
        "print('jax' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
