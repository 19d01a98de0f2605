import json
from typing import ClassVar

import numpy as np
import pytest
from array_api_compat import array_namespace
from liars import Liar, Replaced, Scaled, Shifted, Transposed, WrongValue

from gradparity.backends import BackendUnavailable, get_backend
from gradparity.backends.errors import InvalidParameters, InvalidSetting
from gradparity.compare import (
    Disagreement,
    Verdict,
    assert_gradients_agree,
    check_gradient,
    compare_gradients,
)
from gradparity.compare.agreement import agreement
from gradparity.compare.engines import engines, evaluations
from gradparity.compare.scenarios.functions import SCENARIOS

NETWORK = next(scenario for scenario in SCENARIOS if scenario.name == "network")
ENGINES = ("jax", "torch")


def network(backends, **settings):
    return compare_gradients(
        NETWORK.f, NETWORK.params, *NETWORK.args, backends=backends, **settings
    )


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.usefixtures("every_framework")
def test_a_blame_costs_what_a_check_of_the_wrong_gradient_costs(honest, position):
    liar = Scaled(honest, factor=1.01, leaf="W2")
    lie = liar.value_and_gradient(NETWORK.f)(NETWORK.params, *NETWORK.args)[1]
    check = check_gradient(NETWORK.f, NETWORK.params, *NETWORK.args, gradient=liar.to_numpy(lie))
    backends = [*ENGINES]
    backends.insert(position, liar)
    comparison = network(backends)
    assert comparison.blamed == ("liar",)
    assert comparison.evaluations <= check.evaluations
    alone = network([liar])
    assert alone.blamed == ("liar",)
    # One more direction shows that the liar is no reference.
    assert check.evaluations < alone.evaluations <= check.evaluations + 40


def square_matrix(params):
    xp = array_namespace(params["A"])
    return xp.sum(xp.tanh(params["A"] @ params["A"][0, :]) * params["b"])


SQUARE = {
    "A": np.random.default_rng(0).normal(size=(4, 4)),
    "b": np.random.default_rng(1).normal(size=4),
}


@pytest.fixture(params=ENGINES)
def honest(request, load_backend):
    return load_backend(request.param)


@pytest.fixture
def every_framework(load_backend):
    for name in ENGINES:
        load_backend(name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.usefixtures("every_framework")
def test_right_gradients_agree_and_nobody_is_blamed(scenario, dtype):
    comparison = compare_gradients(scenario.f, scenario.params, *scenario.args, dtype=dtype)
    assert comparison.verdict == Verdict.AGREE, str(comparison)
    assert comparison.blamed == ()
    assert comparison.suspects == ()
    assert comparison.backends == ("numerical", "jax", "torch")


LIES = [
    (Scaled, {"factor": 1.001}, "constant factor 1.001"),
    (Scaled, {"factor": -1.0}, "sign"),
    (Scaled, {"factor": 2.0, "leaf": "W1"}, "factor 2"),
    (Replaced, {"number": 0.0, "leaf": "b1"}, "detached (zero)"),
    (Replaced, {"number": float("nan"), "leaf": "W2"}, ""),
    (Shifted, {"leaf": "W2", "index": (3, 1), "shift": 1e-6}, "one entry"),
]


@pytest.mark.parametrize(("kind", "lie", "pattern"), LIES, ids=lambda case: str(case))
def test_a_liar_is_blamed_and_the_pattern_named(honest, kind, lie, pattern):
    liar = kind(honest, **lie)
    comparison = network([honest, liar])
    assert comparison.verdict == Verdict.DIFFER
    assert comparison.blamed == ("liar",)
    assert {suspect.backend for suspect in comparison.suspects} == {"liar"}
    if "leaf" in lie:
        assert {suspect.leaf for suspect in comparison.suspects} == {lie["leaf"]}
    assert pattern in comparison.pattern
    assert str(comparison).startswith("differ: liar is wrong in ")


def test_one_wrong_entry_is_named_with_both_values_and_the_bar(honest):
    comparison = network([honest, Shifted(honest, leaf="W2", index=(3, 1), shift=1e-6)])
    (suspect,) = comparison.suspects
    assert (suspect.leaf, suspect.index, suspect.backend) == ("W2", (3, 1), "liar")
    assert suspect.got - suspect.expected == pytest.approx(1e-6, rel=1e-3)
    assert 0 < suspect.error_bar < 1e-9
    assert "leaf W2[3, 1]: liar" in str(comparison)


def test_a_transposed_gradient_is_called_so(honest):
    comparison = compare_gradients(square_matrix, SQUARE, backends=[Transposed(honest), honest])
    assert comparison.blamed == ("liar",)
    assert "transposed" in comparison.pattern


def test_a_wrong_answer_that_all_share_is_found(honest):
    class Other(Scaled):
        name: ClassVar[str] = "accomplice"

    comparison = network([Scaled(honest, factor=3.0), Other(honest, factor=3.0)])
    assert comparison.blamed == ("liar", "accomplice")
    assert all(not difference.beyond_round_off for difference in comparison.differences)


@pytest.mark.parametrize("factor", [1.001, 1 + 1e-5])
def test_a_rule_that_is_wrong_shows_in_float32_too(honest, factor):
    liar = Scaled(honest, factor=factor)
    single = get_backend(honest.name, dtype="float32")
    liar = Scaled(single, dtype="float32", factor=factor)
    comparison = network([single, liar], dtype="float32")
    assert comparison.blamed == ("liar",), str(comparison)


def test_a_fault_of_float32_alone_is_found(honest):
    class OnlyInFloat32(Liar):
        def lie(self, leaf, gradient):
            return gradient * (1.01 if self.dtype == "float32" else 1.0)

    single = get_backend(honest.name, dtype="float32")
    comparison = network([single, OnlyInFloat32(single, dtype="float32")], dtype="float32")
    assert comparison.blamed == ("liar",)
    assert "only float32 is at fault" in str(comparison)


def test_different_values_are_no_dispute_about_gradients(honest):
    comparison = network([honest, WrongValue(honest, shift=1e-9)])
    assert comparison.verdict == Verdict.DIFFER
    assert "the values differ" in comparison.reason
    assert comparison.blamed == ()  # one against one
    assert comparison.suspects == ()


def test_of_three_values_the_odd_one_out_is_blamed(honest):
    comparison = network(["numerical", WrongValue(honest, shift=1e-9), honest])
    assert comparison.blamed == ("liar",)
    assert "liar against the others" in str(comparison)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("every_framework")
def test_values_that_differ_by_round_off_agree(seed, dtype):
    def cancelling(x):
        xp = array_namespace(x)
        waves = 1e10 * xp.sin(x)
        return xp.sum(xp.exp(x)) + xp.sum(waves) - x.shape[0] * xp.mean(waves)

    x = np.random.default_rng(seed).normal(size=200)
    comparison = compare_gradients(cancelling, x, dtype=dtype)
    assert "values" not in comparison.reason
    assert comparison.blamed == (), str(comparison)
    if (seed, dtype) == (0, "float64"):
        assert len(set(dict(comparison.values).values())) > 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_agree_where_data_alone_cancels(dtype, every_framework):
    def cancelling(p, x):
        xp = array_namespace(p)
        waves = 1e9 * xp.sin(x)
        return xp.sum(p**2) + xp.sum(waves) - xp.sum(xp.flip(waves))

    x = np.random.default_rng(3).normal(size=3001)
    comparison = compare_gradients(cancelling, np.ones(2), x, backends=ENGINES, dtype=dtype)
    assert "values" not in comparison.reason
    assert comparison.blamed == (), str(comparison)
    assert dtype == "float32" or len(set(dict(comparison.values).values())) == 2


def test_a_value_that_is_not_finite_leaves_nothing_to_compare(every_framework):
    comparison = compare_gradients(lambda x: array_namespace(x).log(x), np.asarray(0.0))
    assert comparison.verdict == Verdict.CANNOT_TELL
    assert "not finite" in comparison.reason


def test_differences_by_the_numerical_backend_are_judged_as_quotients(honest):
    book = get_backend("numerical", step_size=1e-4)
    comparison = network([book, honest])
    assert comparison.verdict == Verdict.AGREE, str(comparison)
    comparison = network([Scaled(book, factor=1.001), honest])
    assert comparison.blamed == ("liar",)


def test_a_quotient_across_a_kink_is_reported_and_neither_blamed_nor_called_right(honest):
    book = get_backend("numerical", step_size=1e-4)

    def rectified(x):
        xp = array_namespace(x)
        return xp.sum(xp.maximum(x, 0 * x))

    comparison = compare_gradients(rectified, np.asarray([3e-5, 1.0]), backends=[book, honest])
    assert comparison.verdict == Verdict.CANNOT_TELL, str(comparison)
    assert comparison.blamed == ()
    assert "numerical differences f across a kink" in comparison.reason


class DifferencingLiar(Scaled):
    differences: ClassVar[bool] = True
    step_size = 1e-4


@pytest.mark.parametrize(("size", "apart"), [(900.0, 1e-5), (1.0, 1e-6), (0.02, 5e-9)])
def test_a_quotient_across_a_jump_is_no_fault_of_who_took_it(size, apart):
    def jumping(x):
        return float(np.sum(np.tanh(x / size)) + (x[0] > size + apart))

    book, x = get_backend("numerical", step_size=1e-4), np.array([size, size / 3])
    comparison = compare_gradients(jumping, x, backends=[book])
    assert (comparison.verdict, comparison.blamed) == (Verdict.CANNOT_TELL, ()), str(comparison)
    liar = DifferencingLiar(book, factor=1.01)
    assert compare_gradients(jumping, x, backends=[liar]).blamed == ("liar",)
    automatic = compare_gradients(jumping, x, backends=["numerical"])
    assert automatic.blamed == (), str(automatic)


def large_net():
    rng = np.random.default_rng(0)
    params = {"W1": rng.normal(size=(60, 50)) / 8, "W2": rng.normal(size=(50, 1)) / 7}

    def loss(params, x):
        xp = array_namespace(params["W1"])
        return xp.mean((xp.tanh(x @ params["W1"]) @ params["W2"]) ** 2)

    return loss, params, rng.normal(size=(20, 60))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_differences_that_take_too_long_are_taken_of_a_sample(honest, dtype, monkeypatch):
    monkeypatch.setattr(engines, "AFFORDABLE_SECONDS", 0.0)
    monkeypatch.setattr(evaluations, "SAMPLE_SECONDS", 0.0)
    loop = get_backend("numerical", method="loop", dtype=dtype)
    comparison = compare_gradients(*large_net(), backends=[loop, honest.name], dtype=dtype)
    assert comparison.verdict == Verdict.AGREE, str(comparison)
    assert "numerical was asked for" in str(comparison)
    entries = {difference.leaf: difference.entries for difference in comparison.differences}
    assert 0 < entries["W1"] < 3000


def test_a_wrong_entry_of_a_large_net_is_named(honest):
    liar = Shifted(honest, leaf="W1", index=(59, 7), shift=1e-5)
    comparison = compare_gradients(*large_net(), backends=["numerical", honest, liar])
    assert comparison.blamed == ("liar",)
    assert [(s.leaf, s.index) for s in comparison.suspects] == [("W1", (59, 7))]
    entries = {difference.leaf: difference.entries for difference in comparison.differences}
    assert entries["W1"] == 3000


def test_jax_and_torch_agree_on_the_gradient_of_a_poor_loss(every_framework):
    def poor(logits):
        xp = array_namespace(logits)
        y = xp.exp(logits - xp.max(logits))
        return -xp.log((y / xp.sum(y))[1] + 1e-7)

    assert compare_gradients(poor, np.asarray([20.0, 0.0])).verdict == Verdict.AGREE


def test_backends_of_one_name_get_labels_of_their_own():
    comparison = network(
        [get_backend("numerical"), get_backend("numerical", step_size=1e-5), "numerical"]
    )
    assert len(set(comparison.backends)) == 3
    assert comparison.backends[1] == "numerical[1e-05]"


def test_a_backend_that_is_missing_is_left_out_of_the_default_only(monkeypatch):
    def without_torch(name, **settings):
        if name == "torch":
            raise BackendUnavailable("backend 'torch' needs torch, which is not installed")
        return get_backend(name, **settings)

    monkeypatch.setattr(engines, "get_backend", without_torch)
    comparison = compare_gradients(NETWORK.f, NETWORK.params, *NETWORK.args)
    assert "torch" not in comparison.backends
    reason = dict(comparison.left_out)["torch"]
    assert reason == "backend 'torch' needs torch, which is not installed"
    with pytest.raises(BackendUnavailable):
        network(["numerical", "torch"])


def test_a_framework_that_cannot_run_f_does_not_hide_the_others(every_framework):
    def only_with_torch_or_numpy(x):
        if type(x).__module__.startswith("jax"):
            raise RuntimeError("no rule for this")
        return array_namespace(x).sum(x**2)

    comparison = compare_gradients(only_with_torch_or_numpy, np.ones(3))
    assert comparison.verdict == Verdict.AGREE
    assert dict(comparison.left_out)["jax"] == "it raised RuntimeError: no rule for this"
    assert dict(comparison.values).keys() == {"numerical", "torch"}
    asked = compare_gradients(only_with_torch_or_numpy, np.ones(3), backends=("jax", "torch"))
    assert asked.verdict == Verdict.CANNOT_TELL
    assert "jax raised RuntimeError: no rule for this" in asked.reason


def test_mistakes_of_the_user_are_raised():
    with pytest.raises(InvalidParameters):
        compare_gradients(lambda x: x**2, np.asarray(3))
    with pytest.raises(InvalidSetting, match="no backends"):
        network([])
    with pytest.raises(InvalidSetting, match="mapping"):
        network(["numerical"], rename={"torch": {"W1": "a"}})


def test_asserting_agreement_raises_the_report(honest):
    arguments = (NETWORK.f, NETWORK.params, *NETWORK.args)
    assert_gradients_agree(*arguments, backends=["numerical", honest])
    with pytest.raises(Disagreement, match="differ: liar is wrong in") as failure:
        assert_gradients_agree(*arguments, backends=[honest, Scaled(honest)])
    assert isinstance(failure.value, AssertionError)
    assert failure.value.comparison.blamed == ("liar",)
    assert str(failure.value) == str(failure.value.comparison)


def test_a_report_is_short_whatever_is_wrong(honest):
    params = [np.random.default_rng(k).normal(size=3) for k in range(40)]

    def many_leaves(params):
        xp = array_namespace(params[0])
        return sum((xp.sum(xp.sin(leaf)) for leaf in params[1:]), start=xp.sum(params[0]))

    report = str(compare_gradients(many_leaves, params, backends=[honest, Scaled(honest)]))
    assert report.startswith("differ: ")
    assert len(report.splitlines()) <= 30


def test_a_comparison_is_json(honest):
    comparison = network([honest, Replaced(honest, number=float("nan"))])
    content = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert content["verdict"] == "differ"
    assert content["blamed"] == ["liar"]
    assert content["suspects"][0]["got"] == "nan"
    assert content["seed"] == 0
    assert content["dtype"] == "float64"
    assert set(content["values"]) == {honest.name, "liar"}


def test_the_same_seed_gives_the_same_comparison(honest):
    assert network(["numerical", honest], seed=3) == network(["numerical", honest], seed=3)


def test_public_names_are_all_there():
    from gradparity import compare

    for name in ("compare_gradients", "assert_gradients_agree", "Comparison", "Disagreement"):
        assert name in dir(compare)
        assert getattr(compare, name) is not None
    assert compare.compare_gradients is agreement.compare_gradients
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = compare.nothing


def test_a_function_that_reads_other_numbers_than_before_is_compiled_anew(load_backend):
    load_backend("jax")
    factor = [1.0]

    class Weighted:
        def __call__(self, x):
            return factor[0] * (x**3).sum()

        def method(self, x):
            return self(x)

    weighted = Weighted()
    for factor[0] in (1.0, 2.0, -3.0):
        for f in (weighted, weighted.method):
            comparison = compare_gradients(f, np.ones(3), backends=["numerical", "jax"])
            assert comparison.verdict == "agree", str(comparison)
            assert {opinion.agrees for opinion in comparison.second_opinions} == {True}
