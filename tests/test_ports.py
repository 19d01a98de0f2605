"""A small convolutional net, once for JAX and once for torch, and mistakes in porting it."""

import dataclasses

import numpy as np
import pytest

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

import jax.numpy as jnp  # noqa: E402
from torch import nn  # noqa: E402

from gradparity.backends.errors import InvalidSetting, ShapeMismatch  # noqa: E402
from gradparity.compare import Verdict, compare_gradients, module_loss  # noqa: E402

CHANNELS, CLASSES = 4, 3

RENAME = {
    "torch": {
        "conv.kernel": "conv.weight",
        "norm.scale": "norm.weight",
        "hidden.kernel": "hidden.weight",
        "output.kernel": "output.weight",
    }
}
TRANSPOSE = {
    "torch": {"conv.kernel": (3, 2, 0, 1), "hidden.kernel": (1, 0), "output.kernel": (1, 0)}
}


@dataclasses.dataclass(frozen=True)
class JaxNet:
    """Images (batch, height, width, 1); kernels (height, width, in, out) as Flax keeps them."""

    epsilon: float = 1e-5
    ddof: int = 0
    approximate: bool = False

    def __call__(self, params, images, labels):
        layers = {}
        x = (
            jax.lax.conv_general_dilated(
                images,
                params["conv"]["kernel"],
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            + params["conv"]["bias"]
        )
        layers["conv"] = x
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2), ddof=self.ddof)
        x = (x - mean) / jnp.sqrt(variance + self.epsilon)
        x = x * params["norm"]["scale"] + params["norm"]["bias"]
        layers["norm"] = x
        x = jax.nn.gelu(x, approximate=self.approximate).mean((1, 2))
        layers["gelu"] = x
        x = jnp.tanh(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
        layers["hidden"] = x
        logits = x @ params["output"]["kernel"] + params["output"]["bias"]
        loss = -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))
        return loss, layers


class TorchNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.hidden = nn.Linear(CHANNELS, CHANNELS)
        self.output = nn.Linear(CHANNELS, CLASSES)

    def forward(self, images, labels):
        layers = {}
        x = layers["conv"] = self.conv(images.permute(0, 3, 1, 2))
        x = layers["norm"] = self.norm(x)
        x = layers["gelu"] = nn.functional.gelu(x).mean((2, 3))
        x = layers["hidden"] = torch.tanh(self.hidden(x))
        loss = nn.functional.cross_entropy(self.output(x), labels)
        for name in ("conv", "norm"):
            layers[name] = layers[name].permute(0, 2, 3, 1)
        return loss, layers


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    return {
        "conv": {"kernel": rng.normal(size=(3, 3, 1, CHANNELS)), "bias": rng.normal(size=CHANNELS)},
        "norm": {"scale": rng.uniform(0.5, 2, CHANNELS), "bias": rng.normal(size=CHANNELS)},
        "hidden": {
            "kernel": rng.normal(size=(CHANNELS, CHANNELS)),
            "bias": rng.normal(size=CHANNELS),
        },
        "output": {
            "kernel": rng.normal(size=(CHANNELS, CLASSES)),
            "bias": rng.normal(size=CLASSES),
        },
    }


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    return rng.normal(size=(5, 6, 6, 1)), rng.integers(0, CLASSES, 5)


def compare(params, batch, jax_net=None, torch_net=None, rename=RENAME, transpose=TRANSPOSE):
    implementations = {"jax": jax_net or JaxNet(), "torch": torch_net or TorchNet()}
    return compare_gradients(implementations, params, *batch, rename=rename, transpose=transpose)


def test_a_right_port_agrees(params, batch):
    comparison = compare(params, batch)
    assert comparison.verdict == Verdict.AGREE, str(comparison)
    assert comparison.blamed == ()
    assert {difference.leaf for difference in comparison.differences} == {
        "conv.kernel",
        "conv.bias",
        "norm.scale",
        "norm.bias",
        "hidden.kernel",
        "hidden.bias",
        "output.kernel",
        "output.bias",
    }


def test_a_square_weight_that_was_not_transposed_is_named(params, batch):
    transpose = {"torch": {k: v for k, v in TRANSPOSE["torch"].items() if k != "hidden.kernel"}}
    comparison = compare(params, batch, transpose=transpose)
    assert comparison.verdict == Verdict.DIFFER
    assert "hidden.weight is transposed" in str(comparison)
    assert "values differ first in 'hidden'" in str(comparison)
    assert comparison.blamed == ()  # nobody differentiates wrongly


@pytest.mark.parametrize(
    ("mistake", "layer"),
    [
        ({"epsilon": 1e-3}, "norm"),
        ({"ddof": 1}, "norm"),
        ({"approximate": True}, "gelu"),
    ],
    ids=["batch-norm epsilon", "biased variance", "tanh-approximate gelu"],
)
def test_a_mistake_is_found_at_the_first_value_that_differs(params, batch, mistake, layer):
    comparison = compare(params, batch, jax_net=JaxNet(**mistake))
    assert comparison.verdict == Verdict.DIFFER
    assert f"values differ first in {layer!r}" in str(comparison)
    assert comparison.blamed == ()


def test_kernels_in_another_order_of_axes_are_recognised(params, batch):
    transpose = {"torch": TRANSPOSE["torch"] | {"conv.kernel": (3, 2, 1, 0)}}
    comparison = compare(params, batch, transpose=transpose)
    assert comparison.verdict == Verdict.DIFFER
    assert "the axes of conv.weight are taken in the order (0, 1, 3, 2)" in str(comparison)


def test_a_weight_whose_shape_tells_that_it_was_not_transposed_is_named(params, batch):
    transpose = {"torch": {k: v for k, v in TRANSPOSE["torch"].items() if k != "output.kernel"}}
    with pytest.raises(ShapeMismatch, match=r"output\.kernel \(torch: output\.weight\)"):
        compare(params, batch, transpose=transpose)


def test_a_failing_implementation_is_reported_with_what_would_make_it_run():
    params = {"W": np.random.default_rng(0).normal(size=(3, 2))}
    x = np.random.default_rng(1).normal(size=(4, 3))
    comparison = compare_gradients(
        {
            "jax": lambda params, x: jnp.sum(jnp.tanh(x @ params["W"])),
            "torch": lambda params, x: torch.tanh(nn.functional.linear(x, params["W"])).sum(),
        },
        params,
        x,
    )
    assert comparison.verdict == Verdict.CANNOT_TELL
    assert "torch raised RuntimeError" in str(comparison)
    assert "the values agree if in torch W is transposed" in str(comparison)


def jax_linear(params, x, t):
    return jnp.mean((x @ params["W"] + params["b"] - t) ** 2)


def linear_case():
    rng = np.random.default_rng(0)
    params = {"W": rng.normal(size=(3, 2)), "b": rng.normal(size=2)}
    return params, rng.normal(size=(5, 3)), rng.normal(size=(5, 2))


LINEAR = {"rename": {"torch": {"W": "weight", "b": "bias"}}, "transpose": {"torch": ["W"]}}


def mean_squared(output, t):
    return ((output - t) ** 2).mean()


def test_a_module_that_returns_predictions_is_given_a_loss():
    params, x, t = linear_case()
    module = module_loss(nn.Linear(3, 2), mean_squared)
    comparison = compare_gradients({"jax": jax_linear, "torch": module}, params, x, t, **LINEAR)
    assert comparison.verdict == Verdict.AGREE, str(comparison)


def test_each_implementation_may_bring_its_own_parameters():
    params, x, t = linear_case()
    own = {
        "weight": torch.tensor(params["W"].T, dtype=torch.float32),
        "bias": torch.tensor(params["b"]),
    }
    trees = {"jax": params, "torch": own}
    implementations = {"jax": jax_linear, "torch": module_loss(nn.Linear(3, 2), mean_squared)}
    comparison = compare_gradients(implementations, trees, x, t, **LINEAR)
    assert comparison.verdict == Verdict.AGREE, str(comparison)
    own["bias"] = own["bias"] + 1e-3
    comparison = compare_gradients(implementations, trees, x, t, **LINEAR)
    assert comparison.verdict == Verdict.DIFFER
    assert "leaf b (torch: bias) holds other numbers than jax's" in str(comparison)


def test_parameters_that_were_copied_untransposed_are_named():
    params = {"W": np.random.default_rng(0).normal(size=(3, 3))}
    trees = {"jax": params, "torch": {"W": torch.tensor(params["W"])}}
    comparison = compare_gradients(
        {"jax": lambda p: jnp.sum(p["W"][0] ** 2), "torch": lambda p: (p["W"][:, 0] ** 2).sum()},
        trees,
        transpose={"torch": ["W"]},
    )
    assert comparison.verdict == Verdict.DIFFER
    assert "they are equal when its axes are taken as (0, 1)" in str(comparison)


def test_a_pytree_that_only_jax_knows_is_understood():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Layer:
        weight: jax.Array
        bias: jax.Array
        activation: str = dataclasses.field(default="tanh", metadata={"static": True})

    params, x, t = linear_case()
    layer = Layer(jnp.asarray(params["W"]), jnp.asarray(params["b"]))
    trees = {"jax": layer, "torch": {"weight": layer.weight.T, "bias": layer.bias}}

    def jax_layer(layer, x, t):
        assert layer.activation == "tanh"
        return jnp.mean((x @ layer.weight + layer.bias - t) ** 2)

    implementations = {"jax": jax_layer, "torch": module_loss(nn.Linear(3, 2), mean_squared)}
    comparison = compare_gradients(implementations, trees, x, t, transpose={"torch": ["weight"]})
    assert comparison.verdict == Verdict.AGREE, str(comparison)


def test_a_module_is_never_changed(params, batch):
    net = TorchNet()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    compare(params, batch, torch_net=net)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name
        assert tensor.dtype == before[name].dtype


def test_frozen_parameters_are_left_alone():
    module = nn.Linear(3, 2)
    module.bias.requires_grad_(False)
    params, x, t = linear_case()
    bias = module.bias.detach().double().numpy()

    def frozen(params, x, t):
        return jnp.mean((x @ params["weight"].T + bias - t) ** 2)

    comparison = compare_gradients(
        {"torch": module_loss(module, mean_squared), "jax": frozen}, {"weight": params["W"].T}, x, t
    )
    assert comparison.verdict == Verdict.AGREE, str(comparison)


def test_a_wrong_rule_in_one_port_is_blamed_under_both_names():
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, cotangent: (3 * x * cotangent,))

    def wrong(params, x, t):
        return jnp.mean(square(x @ params["W"] + params["b"] - t))

    params, x, t = linear_case()
    module = module_loss(nn.Linear(3, 2), mean_squared)
    comparison = compare_gradients({"jax": wrong, "torch": module}, params, x, t, **LINEAR)
    assert comparison.blamed == ("jax",)
    assert "leaf W[" in str(comparison)
    assert "(torch: weight)" in str(comparison)
    assert "constant factor 1.5" in comparison.pattern
    # The other implementation's gradient is certified by slopes of this one's values.
    alone = compare_gradients({"jax": wrong}, params, x, t)
    assert alone.blamed == ("jax",)
    assert comparison.evaluations < 2 * alone.evaluations / 3


def test_functions_that_only_meet_at_the_point_are_told_apart():
    comparison = compare_gradients(
        {"jax": lambda x: jnp.sum(x), "torch": lambda x: (x**2).sum()}, np.ones(3)
    )
    assert comparison.verdict == Verdict.DIFFER
    assert comparison.blamed == ()
    assert "each gradient is right for its own implementation" in str(comparison)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rename": {"torch": {"V": "weight"}}}, "'V' and 'weight'"),
        ({"rename": {"flax": {"W": "weight"}}}, "'flax'"),
        ({"transpose": {"torch": ["V"]}}, "'V'"),
        ({"transpose": {"torch": {"W": (0, 2)}}}, r"axes \(0, 2\)"),
        ({"backends": ["jax", "numerical"]}, "'numerical'"),
    ],
)
def test_names_that_nobody_has_are_refused(settings, message):
    params, x, t = linear_case()
    implementations = {"jax": jax_linear, "torch": jax_linear}
    with pytest.raises(InvalidSetting, match=message):
        compare_gradients(implementations, params, x, t, **settings)


def test_a_module_with_other_parameters_is_refused():
    params, x, t = linear_case()
    with pytest.raises(InvalidSetting, match="'0.bias', .*'1.weight' without a counterpart"):
        compare_gradients(
            {"jax": jax_linear, "torch": nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))},
            params,
            x,
            t,
        )
