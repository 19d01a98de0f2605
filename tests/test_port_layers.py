"""Layers of nnx and Equinox are heard of, and functions are repaired wherever f calls them."""

import functools

import numpy as np
import pytest

import gradparity as gp
from gradparity.compare.agreement.port_hints import hints
from gradparity.compare.engines.engines import DEFAULT_BACKENDS, entrants, point_for
from gradparity.compare.ports.intermediates import layer_outputs
from gradparity.compare.ports.repairs import changed_functions

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
pytest.importorskip("flax")
eqx = pytest.importorskip("equinox")

import flax.linen as nn  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from flax import nnx  # noqa: E402

X = np.random.default_rng(0).normal(size=(2, 5, 5, 1))


class TorchNet(torch.nn.Module):
    """Takes channels last, as Flax does, and calls functions rather than layers."""

    def __init__(self, eps=1e-6, gelu="tanh", channels_last=True, activation=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.norm = torch.nn.LayerNorm(4, eps=eps)
        self.hidden = torch.nn.Linear(100, 2)
        self.gelu, self.channels_last, self.activation = gelu, channels_last, activation

    def forward(self, x):
        x = self.norm(self.conv(x.movedim(-1, 1)).movedim(1, -1))
        x = x if self.channels_last else x.movedim(-1, 1)
        if self.activation is None:
            x = torch.nn.functional.gelu(x, approximate=self.gelu)
        else:
            x = self.activation(x)
        return self.hidden(x.reshape(x.shape[0], -1))


class NnxNet(nnx.Module):
    def __init__(self, epsilon=1e-6, gelu=jax.nn.gelu):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(1, 4, (3, 3), padding="SAME", rngs=rngs)
        self.norm = nnx.LayerNorm(4, epsilon=epsilon, rngs=rngs)
        self.hidden = nnx.Linear(100, 2, rngs=rngs)
        self.gelu = gelu

    def __call__(self, x):
        x = self.gelu(self.norm(self.conv(x)))
        return self.hidden(x.reshape(x.shape[0], -1))


class EquinoxNet(eqx.Module):
    """Takes one image at a time, channels first, as Equinox's own layers do."""

    conv: eqx.nn.Conv2d
    norm: eqx.nn.LayerNorm
    hidden: eqx.nn.Linear
    channels_last: bool

    def __init__(self, eps=1e-6, channels_last=True):
        keys = jax.random.split(jax.random.key(0))
        self.conv = eqx.nn.Conv2d(1, 4, 3, padding=1, key=keys[0])
        self.norm = eqx.nn.LayerNorm(4, eps=eps)
        self.hidden = eqx.nn.Linear(100, 2, key=keys[1])
        self.channels_last = channels_last

    def __call__(self, x):
        x = jax.vmap(jax.vmap(self.norm))(jnp.moveaxis(self.conv(jnp.moveaxis(x, -1, 0)), 0, -1))
        x = jax.nn.gelu(x)
        return self.hidden((x if self.channels_last else jnp.moveaxis(x, -1, 0)).reshape(-1))


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (3, 3), padding="SAME", name="conv")(x)
        x = jax.nn.gelu(nn.LayerNorm(name="norm")(x))
        return nn.Dense(2, name="hidden")(x.reshape(x.shape[0], -1))


def cubes(y):
    return (y**3).sum()


def of_torch(net):
    return gp.module_loss(net, cubes)


def of_nnx(net):
    return gp.module_loss(net, lambda model, x: cubes(model(x)))


def of_equinox(net):
    return gp.module_loss(net, eqx.filter_jit(lambda model, x: cubes(jax.vmap(model)(x))))


def of_linen():
    return gp.module_loss((LinenNet(), LinenNet().init(jax.random.key(0), X)), cubes)


def said_of(first, other, params):
    """Return what is said of a port, without judging its gradients."""
    names = ("jax", "torch") if hasattr(other.model, "named_parameters") else ("jax", "jax:port")
    losses = dict(zip(names, (first, other), strict=True))
    taking_part = entrants(losses, params, (), DEFAULT_BACKENDS, "float64")
    point = point_for(taking_part.params, (X,), "float64")
    return "\n".join(hints(taking_part.engines, (), point))


@pytest.mark.parametrize("loss", [of_nnx, of_equinox], ids=["nnx", "Equinox"])
def test_a_right_port_parts_in_no_layer(loss):
    net = NnxNet() if loss is of_nnx else EquinoxNet()
    notes = said_of(loss(net), of_torch(TorchNet()), net)
    assert notes.startswith("values differ only, after 'hidden' agreed")


AT_NORM = "first in 'norm', after 'conv' agreed"
AT_HIDDEN = "first in 'hidden', after 'norm' agreed"
EPS, TANH, EXACT = "eps is 1e-06 in norm", "gelu is the tanh approximation", "gelu is exact"
LAST, FIRST = "flatten takes channels last", "flatten takes channels first"


def exact_gelu(x):
    return jax.nn.gelu(x, approximate=False)


PARTS = {
    "nnx, eps": (of_nnx, NnxNet(), TorchNet(eps=1e-3), AT_NORM, EPS),
    "Equinox, eps": (of_equinox, EquinoxNet(), TorchNet(eps=1e-3), AT_NORM, EPS),
    "F.gelu": (of_nnx, NnxNet(), TorchNet(gelu="none"), AT_HIDDEN, TANH),
    "exact gelu": (of_nnx, NnxNet(gelu=exact_gelu), TorchNet(), AT_HIDDEN, EXACT),
    "reshape": (of_equinox, EquinoxNet(), TorchNet(channels_last=False), AT_HIDDEN, LAST),
    "JAX's reshape": (of_equinox, EquinoxNet(channels_last=False), TorchNet(), AT_HIDDEN, FIRST),
}


@pytest.mark.parametrize("case", PARTS)
def test_the_layer_and_the_repair_are_named(case):
    loss, net, torch_net, layer, repair = PARTS[case]
    notes = said_of(loss(net), of_torch(torch_net), net)
    assert f"values differ {layer}" in notes
    assert f"the values agree if in torch {repair}" in notes


@pytest.mark.parametrize("loss", [of_nnx, of_equinox], ids=["nnx", "Equinox"])
def test_what_no_repair_mends_is_only_located(loss):
    net = NnxNet() if loss is of_nnx else EquinoxNet()
    notes = said_of(loss(net), of_torch(TorchNet(activation=torch.sigmoid)), net)
    assert "values differ first in 'hidden', after 'norm' agreed" in notes
    assert "the values agree if" not in notes


def test_a_port_from_one_jax_library_to_another_is_repaired_in_jax():
    linen = of_linen()
    notes = said_of(linen, of_equinox(EquinoxNet(channels_last=False)), linen.own_parameters)
    assert "values differ first in 'hidden', after 'norm' agreed" in notes
    assert "the values agree if in jax:port flatten takes channels last" in notes
    notes = said_of(linen, of_nnx(NnxNet(gelu=exact_gelu)), linen.own_parameters)
    assert "the values agree if in jax:port gelu is the tanh approximation" in notes


def test_the_classes_of_layers_are_as_before():
    before = nnx.Linear.__call__, eqx.nn.Linear.__call__, "__call__" in vars(nnx.Dropout)
    net = NnxNet()
    outputs = layer_outputs(lambda model, x: model(x) / 0 if x is None else model(x), net, (X,))
    assert list(outputs) == ["conv", "norm", "hidden"]
    failing = layer_outputs(lambda model, x: model.norm(model.conv(x)) @ model, net, (X,))
    assert list(failing) == ["conv", "norm"]
    after = nnx.Linear.__call__, eqx.nn.Linear.__call__, "__call__" in vars(nnx.Dropout)
    assert after == before


def test_layers_inside_jit_vmap_and_scan_give_out_whole_batches():
    net = eqx.nn.MLP(2, 2, 3, 1, key=jax.random.key(0))

    @eqx.filter_jit
    def twice(model, x):
        return jax.lax.scan(lambda c, _: (jax.vmap(jax.vmap(model))(c), None), x, None, length=2)

    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    outputs = layer_outputs(twice, net, (x,))
    assert {name: array.shape for name, array in outputs.items()} == {
        "layers.0": (4, 5, 3), "layers.1": (4, 5, 2),
    }  # fmt: skip
    expected = x @ np.asarray(net.layers[0].weight).T + np.asarray(net.layers[0].bias)
    assert np.allclose(outputs["layers.0"], expected, atol=1e-6)


def squares_of_gelu(x, approximate):
    return (jax.nn.gelu(x, approximate=approximate) ** 2).sum() + jnp.tanh(x).sum()


@pytest.mark.parametrize(("wanted", "approximate"), [(EXACT, False), (TANH, True)])
def test_either_gelu_becomes_the_other_and_no_other_tanh_does(wanted, approximate):
    with jax.enable_x64(True):
        x = jnp.linspace(-8.0, 8.5, 401)
        expected = float(squares_of_gelu(x, approximate))
        assert float(squares_of_gelu(x, not approximate)) != pytest.approx(expected, rel=1e-6)
        for written in (True, False):
            f = functools.partial(squares_of_gelu, approximate=written)
            (changed,) = [g for words, g in changed_functions("jax", f) if words == wanted]
            assert float(changed(x)) == pytest.approx(expected, rel=1e-14)


def test_a_convolutions_bias_of_equinox_is_matched_both_ways():
    net, port = EquinoxNet(), TorchNet()
    losses = {"jax": of_equinox(net), "torch": of_torch(port)}
    assert gp.compare_gradients(losses, net, X).verdict == "agree"
    losses = {"torch": of_torch(port), "jax": of_equinox(net)}
    params = dict(port.named_parameters())
    assert gp.compare_gradients(losses, params, X).verdict == "agree"
    halved = {**losses, "jax": gp.module_loss(net, lambda m, x: 0.5 * cubes(jax.vmap(m)(x)))}
    assert gp.compare_gradients(halved, params, X).verdict == "differ"
