"""Any gradient is judged: right ones agree, wrong ones are found and named, doubts are said."""

import json
import math

import numpy as np
import pytest
from array_api_compat import array_namespace

from gradparity.backends.errors import ImpureFunction, InvalidParameters, NonScalarLoss
from gradparity.compare import Verdict, check_gradient
from gradparity.compare.checking import score
from gradparity.compare.checking.checker import Checker
from gradparity.compare.checking.function import Function, FunctionFailed
from gradparity.compare.checking.leaves import typical_size
from gradparity.compare.checking.reference import reference_by
from gradparity.compare.scenarios.functions import SCENARIOS
from gradparity.models.two_layer_net import TwoLayerNet


def relu_layer(params, x):
    xp = array_namespace(params["b"])
    return xp.sum(xp.maximum(x @ params["W"] + params["b"], xp.zeros_like(params["b"])))


def network(seed=0):
    """Return f, params and the gradient of a net with one hidden layer, by hand."""
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(20, 6)), rng.normal(size=(20, 3))
    params = {
        "W1": rng.normal(size=(6, 8)),
        "b1": rng.normal(size=8),
        "W2": rng.normal(size=(8, 3)),
    }

    def f(params):
        return np.mean((np.tanh(x @ params["W1"] + params["b1"]) @ params["W2"] - t) ** 2)

    hidden = np.tanh(x @ params["W1"] + params["b1"])
    outer = 2 * (hidden @ params["W2"] - t) / t.size
    inner = outer @ params["W2"].T * (1 - hidden**2)
    return f, params, {"W1": x.T @ inner, "b1": inner.sum(axis=0), "W2": hidden.T @ outer}


def named(check):
    return {(suspect.leaf, suspect.index) for suspect in check.suspects}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_gradient_of_either_dtype_agrees(scenario, dtype, load_backend):
    engine = load_backend("torch", dtype=dtype)
    rounded = engine.to_numpy(engine.asarray(scenario.params))
    args = tuple(engine.to_numpy(engine.asarray(arg)) for arg in scenario.args)
    _, gradient = engine.value_and_gradient(scenario.f)(rounded, *args)
    check = check_gradient(scenario.f, rounded, *args, gradient=gradient, backend="numerical")
    assert check.verdict is Verdict.AGREE, str(check)
    assert check.suspects == ()
    assert check.resolution < 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_a_single_entry_off_by_a_ten_thousandth_is_named(seed):
    f, params, gradient = network()
    rng = np.random.default_rng(seed)
    leaf = ("W1", "b1", "W2")[seed % 3]
    index = tuple(int(rng.integers(length)) for length in gradient[leaf].shape)
    gradient[leaf][index] += 1e-4 * np.sqrt(np.mean(gradient[leaf] ** 2))
    check = check_gradient(f, params, gradient=gradient, seed=seed)
    assert check.verdict is Verdict.DIFFER
    assert named(check) == {(leaf, index)}
    (suspect,) = check.suspects
    assert suspect.got == gradient[leaf][index]
    assert abs(suspect.got - suspect.expected) > suspect.error_bar


def test_expected_is_the_derivative_to_within_its_error_bar():
    f, params, gradient = network()
    truth = gradient["W1"][2, 3]
    gradient["W1"][2, 3] = 7.0
    (suspect,) = check_gradient(f, params, gradient=gradient).suspects
    assert abs(suspect.expected - truth) <= suspect.error_bar < 1e-8


def test_three_leaves_of_very_different_sizes_count_alike():
    sizes = {"small": 1e-7, "middle": 1.0, "large": 1e6}
    params = {name: size * np.array([0.3, -0.8, 0.5]) for name, size in sizes.items()}

    def f(params):
        return sum(np.sum(np.sin(params[name] / size)) for name, size in sizes.items())

    gradient = {name: np.cos(params[name] / size) / size for name, size in sizes.items()}
    assert check_gradient(f, params, gradient=gradient).verdict is Verdict.AGREE
    for name in sizes:
        wrong = {**gradient, name: gradient[name] * np.array([1.0, 1.0, 1.0001])}
        check = check_gradient(f, params, gradient=wrong)
        assert named(check) == {(name, (2,))}, str(check)


def leaves_of_slopes(*sizes, curved=np.exp, slope=np.exp):
    """Return params, a sum of curved functions of their leaves times the sizes, its gradient."""
    params = {f"leaf{k}": np.random.default_rng(k).normal(size=9) for k, size in enumerate(sizes)}

    def f(params):
        return sum(s * curved(leaf).sum() for s, leaf in zip(sizes, params.values(), strict=True))

    slopes = [s * slope(leaf) for s, leaf in zip(sizes, params.values(), strict=True)]
    return f, params, slopes


def certificate(f, params, slopes, seed=0):
    function = Function(f, params)
    reference = reference_by(function, function.backend, "given", tuple(slopes))
    return Checker(function, seed).certify(reference)


def test_a_certificate_sees_a_leaf_of_small_slope_as_finely_as_one_of_large_slope():
    f, params, slopes = leaves_of_slopes(1.0, 1e-3, 1e-6)
    found = certificate(f, params, slopes)
    assert max(found.resolution.values()) < 1e-6
    for wrong in range(3):
        off = [leaf * (1 + 1e-5 * (k == wrong)) for k, leaf in enumerate(slopes)]
        assert wrong not in certificate(f, params, off).resolution


@pytest.mark.parametrize("seed", range(4))
def test_noise_hides_leaves_of_small_slope_and_no_others(seed):
    sizes = (1.0, 0.5, 0.3, 0.1, 1e-3, 2e-4, 2e-4)
    f, params, slopes = leaves_of_slopes(*sizes, curved=np.square, slope=lambda x: 2 * x)

    def noisy(params):
        value = np.float64(f(params))
        return value + 1e-7 * np.random.default_rng(value.view(np.uint64)).normal()

    assert set(certificate(noisy, params, slopes, seed).resolution) == {0, 1, 2, 3}


def test_a_gradient_rounded_to_float32_is_wrong_as_float64_and_right_as_float32():
    f, params, gradient = network()
    single = {name: leaf.astype(np.float32) for name, leaf in gradient.items()}
    assert check_gradient(f, params, gradient=single).verdict is Verdict.AGREE
    double = {name: leaf.astype(np.float64) for name, leaf in single.items()}
    check = check_gradient(f, params, gradient=double)
    assert check.verdict is Verdict.DIFFER
    assert check.pattern == "rounded to float32"


def test_the_gradient_of_another_loss_a_millionth_away_is_wrong():
    rng = np.random.default_rng(0)
    logits, t = rng.normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 1]]

    def softmax(logits):
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    check = check_gradient(
        lambda logits: -np.sum(t * np.log(softmax(logits) + 1e-7)) / 4,
        logits,
        gradient=(softmax(logits) - t) / 4,
    )
    assert check.verdict is Verdict.DIFFER
    worst = max(abs(suspect.got - suspect.expected) for suspect in check.suspects)
    assert 1e-9 < worst < 1e-6


def test_zeros_are_the_gradient_of_a_constant_and_of_nothing_else():
    x = np.array([0.3, -1.2])
    assert check_gradient(lambda x: np.sum(x) * 0 + 5, x, gradient=0 * x).verdict is Verdict.AGREE
    check = check_gradient(lambda x: np.sum(x) * 1e-9 + 5, x, gradient=0 * x)
    assert check.verdict is not Verdict.AGREE


def test_a_leaf_whose_gradient_is_zero_but_for_round_off_agrees():
    params = {"logits": np.array([0.3, -0.2, 1.1]), "shift": np.zeros(1)}

    def f(params):
        exponentials = np.exp(params["logits"] + params["shift"])
        return np.sum(exponentials**2) / np.sum(exponentials) ** 2

    share = np.exp(params["logits"]) / np.sum(np.exp(params["logits"]))
    right = {"logits": 2 * share * (share - np.sum(share**2)), "shift": np.full(1, 1e-17)}
    assert check_gradient(f, params, gradient=right).verdict is Verdict.AGREE
    wrong = {**right, "shift": np.full(1, 1e-9)}
    assert check_gradient(f, params, gradient=wrong).verdict is Verdict.DIFFER


def test_below_the_error_bar_the_answer_is_cannot_tell_with_the_resolution():
    x = np.array([0.3, 0.7])
    check = check_gradient(lambda x: 1e13 + np.sum(np.sin(x)), x, gradient=np.cos(x))
    assert check.verdict is Verdict.CANNOT_TELL
    assert check.resolution > 1e-4
    assert str(check).startswith("cannot tell")


def test_a_value_that_is_not_finite_is_no_gradient_dispute():
    check = check_gradient(lambda x: np.sum(x) * np.inf, np.ones(2), gradient=np.ones(2))
    assert check.verdict is Verdict.CANNOT_TELL
    assert "inf" in str(check)


@pytest.mark.parametrize("got", [-1.0, 0.0, 0.5, 1.0])
def test_every_slope_between_the_one_sided_ones_is_legal_at_a_kink(got):
    x = np.array([0.0, 0.4, -2.0])
    check = check_gradient(lambda x: np.sum(np.abs(x)), x, gradient=np.array([got, 1.0, -1.0]))
    assert check.verdict is Verdict.AGREE, str(check)
    assert check.smoothness == "kink"
    assert [(kink.index, kink.got) for kink in check.kinks] == [((0,), got)]


def test_a_slope_outside_the_interval_is_blamed_at_a_kink():
    x = np.array([0.0, 0.4, -2.0])
    check = check_gradient(lambda x: np.sum(np.abs(x)), x, gradient=np.array([1.5, 1.0, -1.0]))
    assert named(check) == {("", (0,))}


@pytest.mark.parametrize("excess", [1e-3, 1e-5, 1e-6])
def test_a_slope_slightly_outside_the_interval_is_blamed(excess):
    x = np.zeros(1)
    for end, sign in ((3.0, 1), (-1.0, -1)):
        candidate = np.array([end + sign * excess])
        check = check_gradient(lambda x: np.sum(np.sin(x) + 2 * np.abs(x)), x, gradient=candidate)
        assert named(check) == {("", (0,))}, str(check)


def test_a_fault_beside_many_kinks_is_found():
    rng = np.random.default_rng(0)
    params = {"W": rng.normal(size=(5, 6)), "b": np.zeros(6)}
    x = np.vstack([rng.normal(size=(4, 5)), np.zeros((1, 5))])
    active = (x @ params["W"] + params["b"] > 0).astype(float)
    gradient = {"W": x.T @ active, "b": active.sum(axis=0)}
    assert check_gradient(relu_layer, params, x, gradient=gradient).verdict is Verdict.AGREE
    gradient["W"][3, 2] += 0.01
    assert named(check_gradient(relu_layer, params, x, gradient=gradient)) == {("W", (3, 2))}


def test_nan_is_blamed_where_f_is_smooth_and_reported_at_a_kink():
    def f(x):
        return np.sqrt(np.sum(x[:2] ** 2)) + np.sum(np.sin(x))

    x = np.array([0.0, 0.0, 0.7])
    at_kink = check_gradient(f, x, gradient=np.array([np.nan, np.nan, np.cos(0.7)]))
    assert at_kink.verdict is Verdict.CANNOT_TELL
    assert [kink.index for kink in at_kink.kinks] == [(0,), (1,)]
    smooth = check_gradient(f, x, gradient=np.array([0.0, 0.0, np.nan]))
    assert smooth.verdict is Verdict.DIFFER
    assert named(smooth) == {("", (2,))}


def root(x):
    return np.sqrt(np.sum(x**2))


NAN, INF = math.nan, math.inf
# Function, point, gradients that must not be blamed, gradients that must.
AWKWARD = {
    "clip at its bound": (lambda x: np.sum(np.clip(x, -1, 1)), [1.0], [[0.0], [0.5], [1.0]], [[2]]),
    "norm at 0": (root, [0.0, 0.0], [[0.0, 0.0], [NAN, NAN], [1.0, 0.0]], [[2.0, 0.0]]),
    "deviation of equal values": (np.std, [2.0, 2.0], [[0.0, 0.0], [NAN, NAN]], [[1.0, 0.0]]),
    "hypot at 0": (lambda x: np.hypot(*x), [0.0, 0.0], [[0.5, 0.5], [NAN, NAN]], [[2.0, 0.0]]),
    "angle at 0": (lambda x: np.arctan2(*x), [0.0, 0.0], [[0.0, 0.0], [NAN, NAN]], []),
    "tied maximum": (np.max, [1.0, 1.0, 0.5], [[0.5, 0.5, 0], [1, 0, 0]], [[0, 0, 1]]),
    "root at 0": (lambda x: np.sum(np.sqrt(x)), [0.0, 1.0], [[INF, 0.5], [NAN, 0.5]], [[INF, 0.6]]),
    "cube root at 0": (lambda x: np.sum(np.cbrt(x)), [0.0], [[INF], [NAN]], []),
    "power at its edge": (lambda x: np.sum(x**1.5), [0.0, 1.0], [[0.0, 1.5]], [[0.0, 1.6]]),
    "logarithm near 0": (lambda x: np.sum(np.log(x)), [1e-12, 1.0], [[1e12, 1]], [[1e12, 2]]),
    "step function at its step": (lambda x: np.sum(np.floor(x)), [2.0], [[0.0]], []),
    "step function elsewhere": (lambda x: np.sum(np.floor(x)), [2.3], [[0.0]], [[1.0], [NAN]]),
    "kinks that cancel": (
        lambda x: np.sum(np.maximum(x, 0) - np.maximum(-x, 0)),
        [0.0, 1.0],
        [[1.0, 1.0]],
        [[0.0, 1.0], [NAN, 1.0]],
    ),
    "smooth in spite of a branch": (lambda x: np.sum(x * np.abs(x)), [0.0], [[0.0]], [[0.1]]),
    "singular determinant": (
        lambda x: x[0] * x[3] - x[1] * x[2],
        [1.0, 2.0, 2.0, 4.0],
        [[4.0, -2.0, -2.0, 1.0]],
        [[0.0, 0.0, 0.0, 0.0]],
    ),
    "hypot of large numbers": (lambda x: np.hypot(*x), [3e200, 4e200], [[0.6, 0.8]], [[0.6, 1.25]]),
    "dead branch": (
        lambda x: np.sum(np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0 * x)),
        [-1.0, 4.0],
        [[0.0, 0.25]],
        [[NAN, 0.25]],
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", AWKWARD)
def test_conventions_at_awkward_points_are_not_blamed_and_faults_are(name):
    f, point, innocent, guilty = AWKWARD[name]
    arbiter = Checker(Function(f, np.array(point)))
    for candidate in innocent:
        check = arbiter.check(np.array(candidate, float))
        assert check.verdict is not Verdict.DIFFER, str(check)
    for candidate in guilty:
        check = arbiter.check(np.array(candidate, float))
        assert check.verdict is Verdict.DIFFER, str(check)


MALFORMED = {
    "a missing leaf": lambda g: {"W1": g["W1"], "b1": g["b1"]},
    "a leaf too many": lambda g: {**g, "b2": np.zeros(3)},
    "None for a leaf": lambda g: {**g, "b1": None},
    "None for all": lambda g: None,
    "another shape": lambda g: {**g, "b1": g["b1"][:5]},
    "integers": lambda g: {**g, "b1": np.zeros(8, int)},
    "complex numbers": lambda g: {**g, "b1": g["b1"] + 1j},
    "a string": lambda g: {**g, "b1": "b1"},
    "a list for a dict": lambda g: list(g.values()),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_candidate_is_reported_as_that(name):
    f, params, gradient = network()
    check = check_gradient(f, params, gradient=MALFORMED[name](gradient))
    assert check.verdict is Verdict.DIFFER
    assert check.problems
    assert str(check).startswith("differ")


def test_tuples_count_as_lists_since_torch_returns_them():
    x = [np.array([0.5]), np.array([0.2, 0.1])]
    check = check_gradient(
        lambda x: np.sum(x[0] ** 2) + np.sum(x[1] ** 2), x, gradient=(2 * x[0], 2 * x[1])
    )
    assert check.verdict is Verdict.AGREE


BAD_CALLS = {
    "integers": (lambda x: np.sum(x), np.arange(3), InvalidParameters),
    "nothing": (lambda x: 0.0, {}, InvalidParameters),
    "an empty array": (lambda x: 0.0, np.zeros(0), InvalidParameters),
    "NaN": (lambda x: np.sum(x), np.array([1.0, np.nan]), InvalidParameters),
    "a vector": (lambda x: x, np.ones(2), NonScalarLoss),
    "an error": (lambda x: np.sum(x @ np.ones((5, 5))), np.ones(2), FunctionFailed),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_what_cannot_be_checked_is_refused_with_a_clear_error(name):
    f, params, error = BAD_CALLS[name]
    with pytest.raises(error, match="expected"):
        check_gradient(f, params, gradient=params)


@pytest.mark.parametrize("fails", [False, True])
def test_a_torch_function_that_changes_its_input_is_refused(fails):
    torch = pytest.importorskip("torch")
    p = torch.linspace(0.5, 2.0, 6, dtype=torch.float64)

    def f(x):
        x.mul_(2.0)
        if fails:
            raise ArithmeticError
        return (x**3).sum()

    with pytest.raises(ImpureFunction, match="in place"):
        check_gradient(f, p, gradient=24 * p**2)
    assert torch.equal(p, torch.linspace(0.5, 2.0, 6, dtype=torch.float64))


def test_a_function_that_changes_its_input_is_refused():
    def f(x):
        x += 1.0
        return np.sum(x)

    x = np.ones(3)
    with pytest.raises(ImpureFunction):
        check_gradient(f, x, gradient=np.ones(3))
    assert (x == 1.0).all()


def test_a_function_may_make_tensors_of_numpy_s_arrays_alone(load_backend):
    load_backend("torch")
    import torch

    def f(p):
        return (torch.from_numpy(p.copy()) ** 3).sum()

    x = np.array([0.5, -2.0])
    assert check_gradient(f, x, gradient=3 * x**2).verdict == "agree"
    assert check_gradient(f, x, gradient=3.01 * x**2).verdict == "differ"


def test_a_torch_function_is_evaluated_as_it_is_in_float64(load_backend):
    load_backend("torch")
    import torch

    class Cube(torch.autograd.Function):
        factor = 3.0

        @staticmethod
        def forward(context, x):
            context.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(context, cotangent):
            (x,) = context.saved_tensors
            return cotangent * Cube.factor * x**2

    def gradient(x):
        leaf = x.detach().clone().requires_grad_()
        return torch.autograd.grad(Cube.apply(leaf).sum(), leaf)[0]

    x = torch.tensor([0.5, -1.5], dtype=torch.float32)
    assert check_gradient(lambda x: Cube.apply(x).sum(), x, gradient=gradient).verdict == "agree"
    Cube.factor = 2.0
    check = check_gradient(lambda x: Cube.apply(x).sum(), x, gradient=gradient)
    assert check.pattern == "constant factor 0.666667"


def test_a_jax_function_is_evaluated_in_float64_even_on_numpy_arrays(load_backend):
    load_backend("jax")
    import jax
    import jax.numpy as jnp

    @jax.custom_vjp
    def f(x):
        return jnp.sum(jnp.exp(x))

    f.defvjp(lambda x: (f(x), x), lambda x, cotangent: (-cotangent * jnp.exp(x),))
    x = np.array([0.1, 0.2])
    assert check_gradient(f, x, gradient=np.exp(x)).resolution < 1e-8
    assert check_gradient(f, x, gradient=jax.grad(f)).pattern == "sign"


def test_a_jax_function_that_branches_on_values_runs_eagerly(load_backend):
    load_backend("jax")
    import jax.numpy as jnp

    def f(x):
        return jnp.sum(x**2) if x[0] > 0 else jnp.sum(x)

    x = jnp.asarray([0.5, 2.0])
    assert check_gradient(f, x, gradient=2 * np.array([0.5, 2.0])).verdict is Verdict.AGREE


def test_the_same_seed_gives_the_same_check():
    f, params, gradient = network()
    gradient["W2"][1, 1] *= 1.001
    first, second, other = (
        check_gradient(f, params, gradient=gradient, seed=seed) for seed in (3, 3, 4)
    )
    assert first == second
    assert named(first) == named(other)
    assert (first.seed, other.seed) == (3, 4)


def test_a_second_candidate_does_not_inherit_the_faults_of_the_first():
    f, params, gradient = network()
    arbiter = Checker(Function(f, params))
    assert arbiter.check({**gradient, "b1": 2 * gradient["b1"]}).verdict is Verdict.DIFFER
    assert arbiter.check(gradient).verdict is Verdict.AGREE


def test_a_tolerance_replaces_the_round_off_that_is_granted():
    f, params, gradient = network()
    off = {name: leaf + 1e-6 for name, leaf in gradient.items()}
    tolerance = {name: np.full(leaf.shape, 1e-5) for name, leaf in gradient.items()}
    assert check_gradient(f, params, gradient=off).verdict is Verdict.DIFFER
    assert check_gradient(f, params, gradient=off, tolerance=tolerance).verdict is Verdict.AGREE


def test_the_report_is_short_and_begins_with_the_verdict():
    f, params, gradient = network()
    rng = np.random.default_rng(0)
    noise = {name: leaf + rng.normal(size=leaf.shape) for name, leaf in gradient.items()}
    noise["W1"][0, 0] = np.nan
    for candidate in (gradient, noise, {"W1": noise["W1"], "b1": None, "c": 1.0}):
        check = check_gradient(f, params, gradient=candidate)
        lines = str(check).splitlines()
        assert lines[0].startswith(check.verdict)
        assert len(lines) <= 25


def test_the_result_is_json_even_with_nan():
    f, params, gradient = network()
    gradient["b1"][3] = np.nan
    content = json.loads(
        json.dumps(check_gradient(f, params, gradient=gradient).to_dict(), allow_nan=False)
    )
    assert content["verdict"] == "differ"
    assert content["suspects"][0]["leaf"] == "b1"
    assert content["suspects"][0]["got"] == "nan"


def test_a_net_of_79510_parameters_is_cleared_in_16_calls_and_a_fault_named_in_60_more():
    rng = np.random.default_rng(0)
    net = TwoLayerNet(784, 100, 10)
    params, x, t = net.init(0), rng.random((100, 784)), rng.integers(0, 10, 100)
    gradient = two_layer_gradient(params, x, t)
    cleared = check_gradient(net.loss, params, x, t, gradient=gradient)
    assert cleared.verdict is Verdict.AGREE, str(cleared)
    # Two at the point, a gradient by an engine, six or seven along each of two directions; ten
    # where no engine says how far each leaf is to be moved.
    assert cleared.evaluations <= (16 if cleared.reference else 22)
    gradient["W1"][345, 67] += 1e-4 * np.sqrt(np.mean(gradient["W1"] ** 2))
    check = check_gradient(net.loss, params, x, t, gradient=gradient)
    assert named(check) == {("W1", (345, 67))}
    more = 60 if cleared.reference else 15 * math.log2(79_510)
    assert check.evaluations <= cleared.evaluations + more


@pytest.mark.parametrize("finer", [score.FINER, 1.0])
def test_a_million_entries_take_six_calls_along_each_direction_with_finer_steps(monkeypatch, finer):
    monkeypatch.setattr(score, "FINER", finer)
    p = np.random.default_rng(0).normal(size=2**20 + 1)
    right = 2 * np.tanh(p) * (1 - np.tanh(p) ** 2)
    check = check_gradient(lambda p: (np.tanh(p) ** 2).sum(), p, gradient=right)
    assert check.verdict is Verdict.AGREE, str(check)
    assert (check.evaluations <= 16) == (finer < 1), check.evaluations


@pytest.mark.parametrize("many", [score.MANY, 8])
def test_steps_are_not_finer_where_the_values_of_f_are_coarse(monkeypatch, many):
    monkeypatch.setattr(score, "MANY", many)
    p = np.random.default_rng(0).normal(size=9)
    check = check_gradient(lambda p: np.float32((p**2).sum()), p, gradient=2 * p)
    assert check.verdict is Verdict.AGREE, str(check)


@pytest.mark.parametrize("factor", [1.001, -1.0, 12.0])
@pytest.mark.parametrize("entries", [1, 1000])
def test_an_error_is_that_of_the_whole_leaf_or_says_that_it_is_a_lower_bound(factor, entries):
    p = np.random.default_rng(0).normal(size=1000)
    right = 1 / (1 + np.exp(-p))
    wrong = np.concatenate([factor * right[:entries], right[entries:]])
    check = check_gradient(lambda p: float(np.log1p(np.exp(p)).sum()), p, gradient=wrong)
    truth = np.linalg.norm(wrong - right) / np.linalg.norm(right)
    (leaf,) = check.leaves
    assert leaf.at_least == (entries > 1)
    assert leaf.error < truth / 2 if leaf.at_least else leaf.error == pytest.approx(truth)
    assert ("at least" in check.reason) == leaf.at_least


def test_an_error_is_a_lower_bound_where_the_rest_of_the_leaf_is_not_resolved():
    p = np.random.default_rng(0).normal(size=20)
    check = check_gradient(lambda p: np.float32((p**2).sum()), p, gradient=2.2 * p)
    assert check.verdict is Verdict.DIFFER
    assert check.leaves[0].error < 0.1
    assert "at least" in check.reason


def test_an_engine_that_cannot_follow_f_costs_one_call_of_it():
    pytest.importorskip("torch")
    p = np.linspace(0.5, 2.0, 6)
    check = check_gradient(lambda p: float((p**3).sum()), p, gradient=3 * p**2)
    assert check.verdict is Verdict.AGREE, str(check)
    assert check.evaluations <= 24


@pytest.mark.parametrize(("dtype", "constant"), [("float32", 1e9), ("float64", 1e12)])
def test_an_engine_that_slopes_contradict_is_no_measure_of_a_claim(dtype, constant):
    pytest.importorskip("torch")

    def straight_through(p):  # torch finds a slope of 1e6 in what is zero
        return 1e6 * (p[0] - float(p[0])) + (math.sin(p[0]) + constant) - constant

    right = np.cos([0.5])
    for factor in (1.001, 1.01):
        gradient = (factor * right).astype(dtype)
        check = check_gradient(straight_through, np.array([0.5]), gradient=gradient)
        assert check.verdict is not Verdict.AGREE or check.resolution > factor - 1


def test_the_typical_size_of_a_large_leaf_is_that_of_its_entries_that_are_not_zero():
    leaf = np.zeros(100_000)
    leaf[::50] = np.geomspace(1e-3, 8.0, 2000)
    assert 0.0625 <= typical_size(leaf) <= 0.25  # their median is 0.09


def two_layer_gradient(params, x, t):
    hidden = 1 / (1 + np.exp(-(x @ params["W1"] + params["b1"])))
    exponentials = np.exp(hidden @ params["W2"] + params["b2"])
    y = exponentials / exponentials.sum(axis=1, keepdims=True)
    outer = -np.eye(10)[t] / (y + 1e-7) / len(x)
    outer = y * (outer - np.sum(outer * y, axis=1, keepdims=True))
    inner = outer @ params["W2"].T * hidden * (1 - hidden)
    return {
        "W1": x.T @ inner,
        "b1": inner.sum(axis=0),
        "W2": hidden.T @ outer,
        "b2": outer.sum(axis=0),
    }


def waves(p):
    return np.sum(p**2) + 1e-6 * np.sum(np.sin(1e6 * p))


def fast_waves(p):
    return np.sum(np.sin(1e5 * p))


@pytest.mark.parametrize(
    ("f", "gradient"),
    [
        (waves, lambda p: 2 * p + np.cos(1e6 * p)),
        (fast_waves, lambda p: 1e5 * np.cos(1e5 * p)),
    ],
)
def test_steps_are_short_enough_for_a_function_that_waves_within_its_scale(f, gradient):
    p = np.random.default_rng(4).normal(size=3)
    right = gradient(p)
    check = check_gradient(f, p, gradient=right)
    assert check.verdict is Verdict.AGREE, str(check)
    check = check_gradient(f, p, gradient=right * [1, 1, 1.01])
    assert check.verdict is not Verdict.AGREE, str(check)


@pytest.mark.parametrize("slopes", [(0.0, 0.0), (0.0, 6.2e-320), (1.0, 1.0)])
def test_slopes_that_are_met_exactly_are_not_wrong_by_no_bar_at_all(slopes):
    at = np.array([-740.0, -735.0])  # of numbers so small, roundings round to 0
    given = np.array(slopes)
    check = check_gradient(lambda p: float(np.exp(p).sum()), at, gradient=given, seed=5)
    assert all(suspect.got != suspect.expected for suspect in check.suspects)
