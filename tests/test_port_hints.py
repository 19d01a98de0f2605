"""A port whose values differ is told in which layer first, and what would make it right."""

import numpy as np
import pytest

import gradparity as gp
from gradparity.compare.agreement.port_hints import hints
from gradparity.compare.engines.engines import entrants, point_for

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
nn = pytest.importorskip("flax.linen")

X = np.random.default_rng(0).normal(size=(2, 5, 5, 1))


class FlaxNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(2, (3, 3), strides=2, padding="SAME", name="conv")(x)
        x = nn.gelu(nn.LayerNorm(name="norm", epsilon=1e-5)(x))
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(2, name="hidden")(x)


class TorchNet(torch.nn.Module):
    def __init__(self, eps=1e-5, approximate="tanh", dropout=0.0):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.norm = torch.nn.LayerNorm(2, eps=eps)
        self.gelu = torch.nn.GELU(approximate)
        self.drop = torch.nn.Dropout(dropout)
        self.flatten = torch.nn.Flatten()
        self.hidden = torch.nn.Linear(18, 2)

    def forward(self, x):
        x = self.norm(self.conv(x.movedim(-1, 1)).movedim(1, -1))
        return self.hidden(self.flatten(self.drop(self.gelu(x))))


class ChannelsFirst(TorchNet):
    def forward(self, x):
        x = self.norm(self.conv(x.movedim(-1, 1)).movedim(1, -1)).movedim(-1, 1)
        return self.hidden(self.flatten(self.gelu(x)))


def hints_for(torch_net):
    """Return what is said of a port, without judging its gradients."""
    variables = FlaxNet().init(jax.random.key(0), X)
    losses = {
        "jax": gp.module_loss((FlaxNet(), variables), lambda y: (y**3).sum()),
        "torch": gp.module_loss(torch_net, lambda y: (y**3).sum()),
    }
    taking_part = entrants(losses, variables["params"], (), tuple(losses), "float64")
    point = point_for(taking_part.params, (X,), "float64")
    first, other = (engine.value(point) for engine in taking_part.engines)
    assert (first == pytest.approx(other, rel=1e-12)) == (type(torch_net) is Right)
    return "\n".join(hints(taking_part.engines, (), point))


class Right(TorchNet):
    pass


def test_a_right_port_parts_nowhere():
    assert hints_for(Right()).startswith("values differ only, after 'hidden' agreed")


@pytest.mark.parametrize(
    ("net", "layer", "repair"),
    [
        (TorchNet(eps=1e-3), "in 'norm', after 'conv' agreed", "eps is 1e-05 in norm"),
        (TorchNet(approximate="none"), "in 'hidden', after 'norm' agreed", "tanh approximation"),
        (TorchNet(dropout=0.5).train(), "in 'hidden', after 'norm' agreed", "in eval mode"),
        (ChannelsFirst(), "in 'hidden', after 'norm' agreed", "flatten takes channels last"),
    ],
    ids=["eps", "gelu", "train", "flatten"],
)
def test_the_layer_and_the_repair_are_named(net, layer, repair):
    torch.manual_seed(0)
    notes = hints_for(net)
    assert layer in notes
    assert repair in notes


def test_what_no_repair_mends_is_only_located():
    net = TorchNet()
    net.gelu = torch.nn.Sigmoid()
    notes = hints_for(net)
    assert "values differ first in 'hidden', after 'norm' agreed" in notes
    assert "the values agree if" not in notes


def test_padding_at_the_end_alone_is_tried():
    from gradparity.compare.ports.repairs import repaired

    conv = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False))
    x = torch.tensor(np.random.default_rng(1).normal(size=(1, 1, 4, 4)), dtype=torch.float32)
    (mended,) = [net for words, net in repaired(conv) if "SAME" in words]
    kernel = conv[0].weight.detach().numpy()
    expected = jax.lax.conv_general_dilated(np.asarray(x), kernel, (2, 2), "SAME")
    assert np.allclose(mended(x).detach(), expected, atol=1e-6)
    assert not np.allclose(conv(x).detach(), expected, atol=1e-3)
