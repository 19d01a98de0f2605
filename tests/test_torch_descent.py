"""Steps of gradient descent in PyTorch: fused where f allows it, the same steps in any case."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gradparity.backends import get_backend  # noqa: E402
from gradparity.backends.torch_descent import FusedDescent, NotFused  # noqa: E402
from gradparity.models import TwoLayerNet  # noqa: E402

NET = TwoLayerNet(6, 5, 3, weight_init_std=1.0)
RATE = 0.1
BACKEND = get_backend("torch")


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return BACKEND.asarray(rng.normal(size=(7, 6))), BACKEND.asarray(rng.integers(0, 3, 7))


def decayed(params, x, t):
    return NET.loss(params, x, t) + 0.1 * (params["W1"] ** 2).sum()


def tied(params, x, t):
    hidden = torch.sigmoid(torch.addmm(params["b1"], x, params["W1"]))
    again = torch.tanh(torch.addmm(params["b1"], x + 1, params["W1"]))
    return NET.loss(params, x, t) + (hidden * again).mean()


def rectified_in_place(params, x, t):
    hidden = torch.addmm(params["b1"], x, params["W1"])
    logits = torch.addmm(params["b2"], hidden.sin(), params["W2"])
    return logits.relu_().square().sum()


def uses_one_of_them(params, x, t):
    return torch.addmm(params["b1"], x, params["W1"]).sin().sum()


FUNCTIONS = {
    "a network": (NET.loss, True),
    "a weight decay": (decayed, False),
    "shared weights": (tied, True),
    "an operation in place": (rectified_in_place, False),
    "two parameters unused": (uses_one_of_them, True),
}


@pytest.mark.parametrize(("f", "is_fused"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_every_step_is_that_along_the_gradient(f, is_fused):
    step = BACKEND.descent(f, RATE)
    gradient = BACKEND.value_and_gradient(f)
    params = BACKEND.asarray(NET.init(0))
    for seed in range(3):
        x, t = batch(seed)
        expected, slopes = gradient(params, x, t)
        moved = {name: leaf - RATE * slopes[name] for name, leaf in params.items()}
        params, value = step(params, x, t)
        assert float(value) == pytest.approx(float(expected), rel=1e-14)
        for name, leaf in params.items():
            np.testing.assert_allclose(leaf, moved[name], rtol=0, atol=1e-14)
            assert not leaf.requires_grad
            assert type(leaf) is torch.Tensor
    fused = FusedDescent(f, RATE)
    assert fused.agrees(gradient(params, x, t)[1], params, x, t) is is_fused


def test_another_gradient_is_noticed():
    params, (x, t) = BACKEND.asarray(NET.init(0)), batch()
    gradient = BACKEND.value_and_gradient(NET.loss)(params, x, t)[1]
    fused = FusedDescent(NET.loss, RATE)
    assert fused.agrees(gradient, params, x, t)
    gradient["b2"] = gradient["b2"] * 1.001
    assert not fused.agrees(gradient, params, x, t)


def test_a_step_that_goes_another_way_is_taken_plainly():
    def f(params, x, t):
        return decayed(params, x, t) if x[0, 0] > 100 else NET.loss(params, x, t)

    step, (x, t) = BACKEND.descent(f, RATE), batch()
    params, _ = step(BACKEND.asarray(NET.init(0)), x, t)
    far = x.clone()
    far[0, 0] = 101.0
    with pytest.raises(NotFused):
        FusedDescent(f, RATE)(params, far, t)
    _, slopes = BACKEND.value_and_gradient(f)(params, far, t)
    moved = {name: leaf - RATE * slopes[name] for name, leaf in params.items()}
    params, _ = step(params, far, t)
    for name, leaf in params.items():
        np.testing.assert_allclose(leaf, moved[name], rtol=0, atol=1e-14)


def test_what_was_changed_after_its_use_is_not_multiplied():
    params, (x, t) = BACKEND.asarray(NET.init(0)), batch()

    def f(params, x, t):
        own = x * 1
        loss = torch.addmm(params["b1"], own, params["W1"]).sin().sum()
        own.mul_(2)
        return loss

    with pytest.raises(NotFused):
        FusedDescent(f, RATE)(params, x, t)
