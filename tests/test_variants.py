"""The same mathematics run in another way has the same gradient, and a fault in it is seen."""

import math

import numpy as np
import pytest

import gradparity as gp
from gradparity.backends.errors import InvalidSetting, ShapeMismatch

RNG = np.random.default_rng(0)
PARAMS = {"W": RNG.normal(size=(3, 2)), "b": RNG.normal(size=2)}
X, T = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 2))


def terms(params, x, t):
    y = x @ params["W"] + params["b"]
    return (y / (1 + y * y) - t) ** 2


def loss(params, x, t):
    return terms(params, x, t).mean()


def gradient_of(backend, variant):
    return lambda params, *batch: gp.get_backend(backend).value_and_gradient(variant)(
        params, *batch
    )[1]


@pytest.fixture(params=["jax", "torch"])
def framework(request):
    pytest.importorskip(request.param)
    return request.param


def check(framework, variant, f=loss, args=(X, T)):
    native = gp.get_backend(framework).asarray(PARAMS)
    return gp.check_gradient(
        f, native, *args, gradient=gradient_of(framework, variant), backend=framework
    )


VARIANTS = {
    "micro-batches that divide": lambda loss: gp.variants.micro_batches(loss, 7),
    "micro-batches that do not": lambda loss: gp.variants.micro_batches(loss, 3),
    "checkpointed": gp.variants.checkpointed,
    "both": lambda loss: gp.variants.micro_batches(gp.variants.checkpointed(loss), 2),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_the_value_and_gradient_of_the_loss(framework, variant):
    assert check(framework, VARIANTS[variant](loss)).verdict == "agree"
    backend = gp.get_backend(framework)
    value, _ = backend.value_and_gradient(VARIANTS[variant](loss))(PARAMS, X, T)
    assert float(value) == pytest.approx(float(loss(PARAMS, X, T)), rel=1e-14)


def test_a_compiled_loss_has_the_gradient_of_the_loss(framework):
    options = {"backend": "aot_eager"} if framework == "torch" else {}
    assert check(framework, gp.variants.compiled(loss, **options)).verdict == "agree"


def mean_of_means(params, x, t):
    """What several training libraries did until 2024: unequal parts count alike."""
    return sum(loss(params, x[part], t[part]) for part in (slice(0, 2), slice(2, 7))) / 2


def a_dropped_term(params, x, t):
    return loss(params, x[:6], t[:6]) * 6 / 7


def no_gradient_at_all(params, x, t):
    return (0.0 * params["W"]).sum() + (0.0 * params["b"]).sum()


def a_stale_checkpoint(params, x, t):
    """Recomputes from parameters of before the last step."""
    like = getattr(x, "new_tensor", lambda array: array)
    y = x @ like(1.001 * PARAMS["W"]) + like(1.001 * PARAMS["b"])
    slope = 2 * (y / (1 + y * y) - t) * (1 - y * y) / (1 + y * y) ** 2 / math.prod(y.shape)
    return (slope * (x @ params["W"] + params["b"])).sum()


@pytest.mark.parametrize(
    "fault", [mean_of_means, a_dropped_term, no_gradient_at_all, a_stale_checkpoint]
)
def test_a_historical_fault_is_found(framework, fault):
    found = check(framework, fault)
    assert found.verdict == "differ"
    assert {suspect.leaf for suspect in found.suspects} == {"W", "b"}


def test_parts_are_weighted_by_what_they_average_over(framework):
    mask = np.asarray([1.0, 1, 0, 1, 0, 0, 1])

    def masked(params, x, t, mask):
        return (terms(params, x, t).sum(-1) * mask).sum() / mask.sum()

    args = (X, T, mask)
    by_length = gp.variants.micro_batches(masked, 2)
    by_terms = gp.variants.micro_batches(masked, 2, weight=lambda x, t, mask: mask.sum())
    assert check(framework, by_terms, masked, args).verdict == "agree"
    assert check(framework, by_length, masked, args).verdict == "differ"


def test_a_sum_is_added_up(framework):
    def total(params, x, t):
        return terms(params, x, t).sum()

    assert check(
        framework, gp.variants.micro_batches(total, 3, reduction="sum"), total
    ).verdict == ("agree")


def test_what_cannot_be_cut_or_compiled_is_refused():
    with pytest.raises(InvalidSetting, match="expected n <= 7"):
        gp.variants.micro_batches(loss, 8)(PARAMS, X, T)
    with pytest.raises(InvalidSetting, match="at least 1"):
        gp.variants.micro_batches(loss, 0)
    with pytest.raises(ShapeMismatch, match="without an array"):
        gp.variants.micro_batches(loss, 2)(PARAMS, 1.0, 2.0)
    for variant in (gp.variants.compiled, gp.variants.checkpointed):
        with pytest.raises(InvalidSetting, match="neither JAX nor torch"):
            variant(loss)(PARAMS, X, T)


def test_compiled_against_eager_takes_one_line():
    pytest.importorskip("jax")
    eager_and_compiled = {"jax": loss, "jax:compiled": gp.variants.compiled(loss)}
    assert gp.compare_gradients(eager_and_compiled, PARAMS, X, T).verdict == "agree"


def test_the_wrong_variant_is_named():
    pytest.importorskip("jax")
    all_three = {"jax": loss, "jax:parts": gp.variants.micro_batches(loss, 3)}
    comparison = gp.compare_gradients(all_three | {"jax:means": mean_of_means}, PARAMS, X, T)
    assert comparison.verdict == "differ"
    assert "jax:means against the others" in comparison.reason
