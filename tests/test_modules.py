"""The gradients of whole models, as each framework's users write them."""

import os

import numpy as np
import pytest

import gradparity as gp
from gradparity.backends.errors import InvalidParameters

RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))


def torch_case(*layers):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = layers or (torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    model = torch.nn.Sequential(*layers)
    batch = torch.tensor(X, dtype=torch.float32), torch.tensor(T, dtype=torch.float32)
    return model, torch.nn.functional.mse_loss, batch


def linen_case():
    jax, nn = pytest.importorskip("jax"), pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.tanh(nn.Dense(4)(x)))

    net = Net()
    variables = net.init(jax.random.key(0), X)
    return (net, variables), lambda y, t: jax.numpy.mean((y - t) ** 2), (X, T)


def nnx_case():
    jax, nnx = pytest.importorskip("jax"), pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.first, self.last = nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)
            self.norm = nnx.BatchNorm(4, rngs=rngs)

        def __call__(self, x):
            return self.last(nnx.tanh(self.norm(self.first(x))))

    return Net(), lambda model, x, t: jax.numpy.mean((model(x) - t) ** 2), (X, T)


def equinox_case():
    jax, eqx = pytest.importorskip("jax"), pytest.importorskip("equinox")
    model = eqx.nn.MLP(3, 2, 4, 1, activation=jax.numpy.tanh, key=jax.random.key(0))
    return model, lambda model, x, t: jax.numpy.mean((jax.vmap(model)(x) - t) ** 2), (X, T)


def keras_case():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    pytest.importorskip("jax")
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)]
    )
    return model, lambda y, t: keras.ops.mean((y - t) ** 2), (X, T)


CASES = [torch_case, linen_case, nnx_case, equinox_case, keras_case]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", CASES)
def test_a_model_is_checked_in_one_line_and_stays_as_it_is(make):
    model, loss, batch = make()
    check = gp.check_module(model, loss, *batch)
    assert check.verdict == "agree", str(check)
    assert len(check.leaves) >= 4
    again = gp.check_module(model, loss, *batch)
    assert again.leaves == check.leaves


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [torch_case, linen_case, keras_case])
def test_a_gradient_that_is_wrong_in_one_leaf_is_named(make):
    from gradparity.compare.modules.check import read_module

    model, loss, batch = make()
    subject = read_module(model, loss, batch)
    backend = gp.get_backend(subject.backend)
    names = gp.backends.pytrees.leaf_names(subject.params)
    wrong = names[-1]

    def gradient(params, *batch):
        slopes = backend.to_numpy(backend.value_and_gradient(subject.f)(params, *batch)[1])
        leaves, structure = gp.backends.pytrees.flatten(slopes)
        leaves = [1.01 * x if n == wrong else x for n, x in zip(names, leaves, strict=True)]
        return gp.backends.pytrees.unflatten(structure, leaves)

    check = gp.check_module(model, loss, *batch, gradient=gradient)
    assert check.verdict == "differ"
    assert {suspect.leaf for suspect in check.suspects} == {wrong}


def test_what_a_torch_module_holds_is_judged_and_told_apart():
    model, loss, (x, t) = torch_case()
    loss(model(x), t).backward()
    assert gp.check_module(model, loss, x, t).verdict == "agree"
    loss(model(x), t).backward()  # without zero_grad
    assert gp.check_module(model, loss, x, t).verdict == "differ"


def test_frozen_parameters_are_left_out_and_buffers_untouched():
    torch = pytest.importorskip("torch")
    model, loss, batch = torch_case(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )
    model[0].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    check = gp.check_module(model, loss, *batch)
    assert check.verdict == "agree", str(check)
    assert len(check.leaves) == 4
    for name, tensor in model.state_dict().items():
        assert tensor.equal(before[name]), name
    assert all(p.grad is None for p in model.parameters())


def test_dropout_in_train_mode_draws_one_mask():
    torch = pytest.importorskip("torch")
    model, loss, batch = torch_case(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5))
    state = torch.random.get_rng_state()
    assert gp.check_module(model, loss, *batch).verdict == "agree"
    assert torch.random.get_rng_state().equal(state)


def test_a_held_gradient_of_another_mask_is_not_agreed_with():
    torch = pytest.importorskip("torch")
    model, loss, (x, t) = torch_case(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5))
    loss(model(x), t).backward()
    assert gp.check_module(model, loss, x, t).verdict != "agree"


def test_linen_statistics_carries_and_dropout_work_in_float64():
    jax, nn = pytest.importorskip("jax"), pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.BatchNorm(use_running_average=False)(x)
            x = nn.RNN(nn.OptimizedLSTMCell(3))(x)
            return nn.Dense(2)(nn.Dropout(0.3, deterministic=False)(x[:, -1]))

    net, x = Net(), RNG.normal(size=(4, 5, 3)).astype(np.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = net.init(keys, x)
    check = gp.check_module((net, variables), lambda y: jax.numpy.mean(y**2), x)
    assert check.verdict == "agree", str(check)


@pytest.mark.parametrize(
    ("model", "call"), [(np.tanh, "check_gradient"), ({"w": 1.0}, "check_gradient")]
)
def test_what_is_no_model_is_refused_with_the_call_that_would_work(model, call):
    with pytest.raises(InvalidParameters, match=call):
        gp.check_module(model, lambda y: y, X)


def test_a_linen_module_without_its_variables_is_told_to_bring_them():
    (net, _), loss, batch = linen_case()
    with pytest.raises(InvalidParameters, match="variables"):
        gp.check_module(net, loss, *batch)


def test_a_module_whose_parameters_are_all_frozen_is_refused():
    model, loss, batch = torch_case()
    with pytest.raises(InvalidParameters, match="no trained parameters"):
        gp.check_module(model.requires_grad_(False), loss, *batch)


def test_the_fixture_passes_a_right_module_and_fails_a_wrong_one(module_gradients_agree):
    torch = pytest.importorskip("torch")
    model, loss, (x, t) = torch_case(torch.nn.Linear(3, 2))
    assert module_gradients_agree(model, loss, x, t).verdict == "agree"
    loss(model(2 * x), t).backward()  # the gradient of another batch
    with pytest.raises(AssertionError, match="to repeat: pytest"):
        module_gradients_agree(model, loss, x, t)
