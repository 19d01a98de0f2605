"""Parameters come as frameworks keep them: modules, registered classes, iterators."""

import dataclasses

import numpy as np
import pytest

import gradparity as gp
from gradparity.backends import get_backend
from gradparity.backends.errors import InvalidParameters
from gradparity.backends.framework_trees import settled
from gradparity.backends.pytrees import (
    flatten,
    leaf_names,
    named_leaves,
    tree_map,
    unflatten,
)


def registered_dataclass():
    jax = pytest.importorskip("jax")

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Layer:
        W: object
        steps: object  # an integer: not differentiated

    return Layer(jax.numpy.ones((2, 3)), jax.numpy.arange(3)), ("W",), lambda layer: layer.W


def equinox_module():
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    mlp = eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(0))
    names = ("layers[0].weight", "layers[0].bias", "layers[1].weight", "layers[1].bias")
    return mlp, names, lambda mlp: mlp(jax.numpy.ones(2))


def nnx_module():
    nnx, jax = pytest.importorskip("flax.nnx"), pytest.importorskip("jax")

    class Net(nnx.Module):
        def __init__(self):
            self.layers = nnx.List([nnx.Linear(2, 2, rngs=nnx.Rngs(0))])
            self.norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))  # its statistics are no parameters

        def __call__(self, x):
            return self.norm(self.layers[0](x))

    names = ("layers[0].bias", "layers[0].kernel", "norm.bias", "norm.scale")
    return Net(), names, lambda net: net(jax.numpy.ones((4, 2)))


def torch_module():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    net[0].bias.requires_grad_(False)
    return net, ("[0].weight", "[1].weight", "[1].bias"), lambda net: net(torch.ones(4, 2).double())


TREES = [registered_dataclass, equinox_module, nnx_module, torch_module]
KNOWN_TO_JAX = [registered_dataclass, equinox_module, nnx_module]


@pytest.mark.parametrize("make", TREES)
def test_the_leaves_are_what_can_be_differentiated(make):
    tree, names, _ = make()
    leaves, structure = flatten(tree)
    assert leaf_names(tree) == names
    assert type(unflatten(structure, leaves)) is type(tree)
    assert flatten(unflatten(structure, leaves))[1] == structure
    assert tuple(named_leaves(tree)) == names


@pytest.mark.parametrize("make", KNOWN_TO_JAX)
def test_jax_differentiates_by_them(make):
    tree, names, f = make()
    backend = get_backend("jax")
    tree = backend.asarray(tree)

    def loss(tree):
        return (f(tree) ** 2).sum() + sum((leaf**2).sum() for leaf in flatten(tree)[0])

    value, gradient = backend.value_and_gradient(loss)(tree)
    assert leaf_names(gradient) == names
    assert value.dtype == np.float64
    tangent = tree_map(lambda leaf: np.ones(leaf.shape), tree)
    _, pushed = backend.pushforward(loss)(tree, tangent)
    _, pulled = backend.pullback(loss)(tree, np.float64(1.0))
    for slopes in (gradient, pulled):
        leaves = flatten(backend.to_numpy(slopes))[0]
        assert sum(leaf.sum() for leaf in leaves) == pytest.approx(float(pushed))


def test_torch_differentiates_by_a_module_and_leaves_it_alone():
    module, names, f = torch_module()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    backend = get_backend("torch")
    value, gradient = backend.value_and_gradient(lambda m: (f(m) ** 3).sum())(
        backend.asarray(module)
    )
    assert leaf_names(gradient) == names
    slopes = dict(zip(names, flatten(gradient)[0], strict=True))
    assert float(abs(slopes["[1].bias"]).max()) > 0
    for name, tensor in module.state_dict().items():  # batch norm in train mode counts batches
        assert tensor.equal(before[name]), name
    assert module[0].weight.grad is None


def test_iterators_and_state_dicts_of_modules_become_trees():
    module, _, _ = torch_module()
    assert [leaf.shape for leaf in settled(module.parameters())] == [(3, 2), (3,), (3,)]
    assert sorted(settled(module.named_parameters())) == ["0.weight", "1.bias", "1.weight"]
    state = settled(module.state_dict())
    assert "1.running_mean" in state
    assert "1.num_batches_tracked" not in state
    same = {"w": 1.0}
    assert settled(same) is same


@pytest.mark.parametrize(
    ("unusable", "call"),
    [
        (dataclasses.make_dataclass("Plain", ["w"])(1.0), "register_dataclass"),
        (iter([1.0]), "list"),
        (lambda: 0, "function comes first"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_call_that_would_work(unusable, call):
    with pytest.raises(InvalidParameters, match=call):
        get_backend("numerical").asarray({"w": unusable})


def test_a_function_that_reads_a_model_from_outside_is_told_what_to_call():
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 1).double()
    x = torch.ones(2, 3, dtype=torch.float64)
    model(x).sum().backward()
    gradient = [p.grad for p in model.parameters()]

    def loss(params, x):
        return model(x).sum()

    check = gp.check_gradient(loss, model.parameters(), x, gradient=gradient)
    assert check.verdict == "differ"  # the slopes of this f are all zero
    assert "call check_module(model, loss, *batch)" in str(check)

    def right(params, x):
        names = [name for name, _ in model.named_parameters()]
        named = dict(zip(names, params, strict=True))
        return torch.func.functional_call(model, named, (x,)).sum()

    check = gp.check_gradient(right, model.parameters(), x, gradient=gradient)
    assert check.verdict == "agree"
    assert "check_module" not in str(check)


def test_the_gradient_of_a_tree_that_only_jax_knows_is_lined_up_by_name():
    jax, eqx = pytest.importorskip("jax"), pytest.importorskip("equinox")
    model, x = eqx.nn.Linear(3, 2, key=jax.random.key(0)), np.ones(3)

    def loss(model, x):
        return jax.numpy.sum(model(x) ** 2)

    gradient = eqx.filter_grad(loss)(model, x)
    assert gp.check_gradient(loss, model, x, gradient=gradient, rtol=1e-4).verdict == "agree"
    wrong = eqx.tree_at(lambda tree: tree.bias, gradient, replace_fn=lambda bias: 2 * bias)
    found = gp.check_gradient(loss, model, x, gradient=wrong)
    assert {suspect.leaf for suspect in found.suspects} == {"bias"}
