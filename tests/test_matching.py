"""Leaves of two frameworks are matched by themselves where one way is left, else not at all."""

import numpy as np
import pytest

import gradparity as gp
from gradparity.backends.errors import InvalidSetting
from gradparity.compare.ports.matching import matched

LINEAR = {"kernel": (3, 4), "bias": (4,)}
FLAX_MLP = {
    **{f"Dense_{k}.kernel": (8, 8) for k in range(12)},
    **{f"Dense_{k}.bias": (8,) for k in range(12)},
}
TORCH_MLP = {
    name: shape
    for k in range(12)
    for name, shape in ((f"{2 * k}.weight", (8, 8)), (f"{2 * k}.bias", (8,)))
}


def test_layers_alike_are_matched_in_the_order_of_their_numbers():
    found = matched(FLAX_MLP, TORCH_MLP)
    for k in range(12):  # "Dense_10" comes after "Dense_9", not after "Dense_1"
        assert found[f"Dense_{k}.kernel"] == (f"{2 * k}.weight", (1, 0))
        assert found[f"Dense_{k}.bias"] == (f"{2 * k}.bias", (0,))


@pytest.mark.parametrize(
    ("common", "own", "axes"),
    [
        (("kernel", (3, 3, 1, 4)), ("weight", (4, 1, 3, 3)), (3, 2, 0, 1)),
        (("weight", (4, 4, 3, 3)), ("kernel", (3, 3, 4, 4)), (2, 3, 1, 0)),
        (("kernel", (5, 2, 4)), ("weight", (4, 2, 5)), (2, 1, 0)),
        (("kernel", (4, 4)), ("weight", (4, 4)), (1, 0)),
        (("weight", (4, 4)), ("weight", (4, 4)), (0, 1)),
        (("embedding", (7, 7)), ("weight", (7, 7)), (0, 1)),
        (("scale", (4,)), ("weight", (4,)), (0,)),
        (("gamma", (4,)), ("scale", (4,)), (0,)),
        (("W", (2, 3)), ("weight", (3, 2)), (1, 0)),
    ],
)
def test_axes_follow_the_conventions_of_layers(common, own, axes):
    found = matched({f"a.{common[0]}": common[1]}, {f"b.{own[0]}": own[1]})
    assert found == {f"a.{common[0]}": (f"b.{own[0]}", axes)}


@pytest.mark.parametrize(
    ("common", "own"),
    [
        ({"left.kernel": (3, 3), "right.kernel": (3, 3)}, {"a.weight": (3, 3), "b.weight": (3, 3)}),
        ({"a.kernel": (3, 4)}, {"a.weight": (3, 4), "b.weight": (4, 3)}),
        ({"a.kernel": (3, 4)}, {"a.weight": (5, 3)}),
        ({"a.kernel": (3, 4)}, {"a.bias": (3, 4)}),
    ],
    ids=["two ways", "too many", "no shape fits", "another role"],
)
def test_what_leaves_more_than_one_way_or_none_is_not_guessed(common, own):
    assert matched(common, own) is None


def test_names_tell_layers_of_one_shape_apart():
    common = {"q_proj.kernel": (4, 4), "k_proj.kernel": (4, 4), "out.kernel": (4, 4)}
    own = {"out.weight": (4, 4), "kProj.weight": (4, 4), "qProj.weight": (4, 4)}
    found = matched(common, own)
    assert {name: other for name, (other, _) in found.items()} == {
        "q_proj.kernel": "qProj.weight",
        "k_proj.kernel": "kProj.weight",
        "out.kernel": "out.weight",
    }


RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2))


def torch_and_flax():
    torch, nn = pytest.importorskip("torch"), pytest.importorskip("flax.linen")
    jax = pytest.importorskip("jax")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.tanh(nn.Dense(3)(x)))

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    variables = Net().init(jax.random.key(0), X)
    return net, (Net(), variables), torch.nn.functional.mse_loss


def test_a_port_from_torch_to_flax_takes_two_lines():
    net, flax_net, mse = torch_and_flax()
    losses = {
        "torch": gp.module_loss(net, mse),
        "jax": gp.module_loss(flax_net, lambda y, t: ((y - t) ** 2).mean()),
    }
    comparison = gp.compare_gradients(losses, net, X, T)
    assert comparison.verdict == "agree", str(comparison)


def test_a_port_with_another_activation_is_not_agreed_with():
    net, flax_net, mse = torch_and_flax()
    net[1] = pytest.importorskip("torch").nn.Sigmoid()
    losses = {
        "torch": gp.module_loss(net, mse),
        "jax": gp.module_loss(flax_net, lambda y, t: ((y - t) ** 2).mean()),
    }
    assert gp.compare_gradients(losses, net, X, T).verdict != "agree"


def attention(xp_like, q, k, v, x):
    scores = (x @ q) @ (x @ k).T
    return ((scores / (1 + scores**2)) @ (x @ v) ** 2).sum() + xp_like


def test_fused_split_and_summed_leaves_are_declared():
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    del jax
    params = {
        **{name: {"kernel": RNG.normal(size=(3, 2))} for name in ("query", "key", "value")},
        "bias": RNG.normal(size=2),
        "gates": RNG.normal(size=(4, 3)),
    }

    def jax_f(p, x):
        q, k, v = (p[name]["kernel"] for name in ("query", "key", "value"))
        return attention((p["bias"] ** 3).sum() + (p["gates"][2:] ** 3).sum(), q, k, v, x)

    class Packed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = torch.nn.Parameter(torch.zeros(6, 3))
            self.bias_ih = torch.nn.Parameter(torch.zeros(2))
            self.bias_hh = torch.nn.Parameter(torch.zeros(2))
            self.forget = torch.nn.Parameter(torch.zeros(2, 3))
            self.cell = torch.nn.Parameter(torch.zeros(3, 2))

        def forward(self, x):
            q, k, v = (leaf.T for leaf in self.qkv.split(2))
            more = ((self.bias_ih + self.bias_hh) ** 3).sum() + (self.cell**3).sum()
            return attention(more + 0 * self.forget.sum(), q, k, v, x)

    names = ("query.kernel", "key.kernel", "value.kernel")
    rename = {
        "qkv": gp.transforms.fused(*names, transpose=True),
        "bias_ih": gp.transforms.made("bias", by=lambda xp, bias: 1.0 * bias),
        "bias_hh": gp.transforms.zeros("bias"),
        "forget": gp.transforms.piece("gates", 0, 2),
        "cell": gp.transforms.piece("gates", 1, 2, transpose=True),
    }
    both = {"jax": jax_f, "torch": Packed()}
    right = gp.compare_gradients(both, params, X, rename={"torch": rename})
    assert right.verdict == "agree", str(right)
    rename["qkv"] = gp.transforms.fused("key.kernel", *names[::2], transpose=True)
    assert gp.compare_gradients(both, params, X, rename={"torch": rename}).verdict != "agree"


def test_a_leaf_made_of_what_is_not_there_is_refused():
    torch = pytest.importorskip("torch")
    pytest.importorskip("jax")
    rename = {"torch": {"weight": gp.transforms.summed("V", "W")}}
    with pytest.raises(InvalidSetting, match="'weight' is made of 'V'"):
        gp.compare_gradients(
            {"jax": lambda p, x: 0.0, "torch": torch.nn.Linear(3, 2, bias=False)},
            {"W": np.ones((2, 3))},
            X,
            rename=rename,
        )
