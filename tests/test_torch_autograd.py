"""What holds for PyTorch alone: nesting, graphs that are not kept, tensors that want gradients."""

import gc
import weakref

import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.errors import InvalidData
from gradparity.backends.pytrees import flatten, tree_map

torch = pytest.importorskip("torch")


@pytest.fixture
def torch_backend():
    return get_backend("torch")


def quartic(x):
    return (x**4).sum()


def test_gradients_keep_no_graph(torch_backend):
    value, gradient = torch_backend.value_and_gradient(quartic)(np.arange(3.0))
    assert not value.requires_grad
    assert not gradient.requires_grad


def test_the_callers_tensors_are_not_marked(torch_backend):
    x = torch.arange(3.0, dtype=torch.float64)
    torch_backend.value_and_gradient(quartic)(x)
    assert not x.requires_grad
    assert x.grad is None


def test_gradients_nest(torch_backend):
    inner = torch_backend.value_and_gradient(quartic)
    outer = torch_backend.value_and_gradient(lambda x: (inner(x)[1] ** 2).sum())
    x = torch.arange(1.0, 4.0, dtype=torch.float64)
    torch.testing.assert_close(outer(x)[1], 96 * x**5)


@pytest.mark.parametrize(
    "f",
    [
        torch.linalg.det,
        lambda matrix: torch.linalg.slogdet(matrix)[1],
        lambda matrix: torch.sin(torch.linalg.inv(matrix)).sum(),
    ],
    ids=["det", "slogdet", "inv"],
)
def test_forward_over_reverse_follows_what_linear_algebra_keeps(torch_backend, f):
    generator = torch.Generator().manual_seed(0)
    matrix, tangent = (
        torch.randn(3, 3, dtype=torch.float64, generator=generator) for _ in range(2)
    )
    expected = torch.autograd.functional.hvp(f, matrix, tangent)[1]
    found = torch_backend.hessian_vector_product(f)(matrix, tangent)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_the_curvature_along_a_tangent_is_its_product_with_the_hessian(torch_backend):
    x, tangent = torch.arange(1.0, 4.0, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    found = torch_backend.curvature(quartic)(x, tangent)
    assert float(found) == pytest.approx(float((12 * x**2).sum()))


def test_an_inner_gradient_sees_only_its_own_variable(torch_backend):
    def outer(x):
        _, slope = torch_backend.value_and_gradient(lambda y: (x * y).sum())(x)
        return slope.sum()  # d(x y)/dy = x at y = x, not 2 x

    _, gradient = torch_backend.value_and_gradient(outer)(np.arange(3.0))
    torch.testing.assert_close(gradient, torch.ones(3, dtype=torch.float64))


def test_gradients_work_inside_torch_func_transforms(torch_backend):
    import warnings

    with warnings.catch_warnings():  # torch's own first use of a deprecated part of torch
        warnings.simplefilter("ignore", DeprecationWarning)
        slopes = torch.func.vmap(lambda x: torch_backend.value_and_gradient(quartic)(x)[1])(
            torch.arange(3.0, dtype=torch.float64)
        )
    torch.testing.assert_close(slopes, 4 * torch.arange(3.0, dtype=torch.float64) ** 3)


def test_autograd_functions_of_the_old_style_are_differentiated(torch_backend):
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, cotangent):
            return 2 * cotangent

    _, gradient = torch_backend.value_and_gradient(lambda x: Doubled.apply(x).sum())(np.ones(2))
    torch.testing.assert_close(gradient, torch.full((2,), 2.0, dtype=torch.float64))


def test_no_grad_around_the_call_does_not_matter(torch_backend):
    with torch.no_grad():
        _, gradient = torch_backend.value_and_gradient(quartic)(np.ones(2))
    torch.testing.assert_close(gradient, torch.full((2,), 4.0, dtype=torch.float64))


def momentum(carry, batch, rate):
    params, velocity = carry
    velocity = 0.9 * velocity - rate * params * batch
    return (params + velocity, velocity), {"norm": (params**2).sum()}


def in_another_dtype(carry, batch, rate):
    return (carry * batch).to(torch.float32) * rate, carry.sum()


def first_element_decides(carry, batch, rate):
    return carry * (rate if batch > 0 else 0.5), carry.sum()


@pytest.mark.parametrize("step", [momentum, in_another_dtype, first_element_decides])
def test_a_scan_is_the_loop_in_every_bit(torch_backend, step):
    start = torch.arange(1.0, 4.0, dtype=torch.float64)
    carry = (start, torch.zeros_like(start)) if step is momentum else start
    batches, rate = torch.linspace(-1.0, 2.0, 9, dtype=torch.float64), torch.tensor(0.1)
    scanned = torch_backend.scan(step, carry, batches, rate)
    expected = []
    for batch in batches:
        carry, output = step(carry, batch, rate)
        expected.append(output)
    stacked = tree_map(lambda *leaves: torch.stack(leaves), *expected)
    pairs = zip(flatten(scanned)[0], flatten((carry, stacked))[0], strict=True)
    assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)
    assert start.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["numerical", "torch"])
def test_a_scan_of_no_batches_says_so(name):
    backend = get_backend(name)
    with pytest.raises(InvalidData, match="got no batches"):
        backend.scan(lambda c, b: (c, b), *backend.asarray((np.ones(2), np.ones((0, 2)))))


def test_a_descent_takes_the_memory_of_its_parameters(torch_backend):
    params = {"W": torch.ones(2, 3), "b": torch.zeros(3)}
    gradient = {name: torch.full_like(leaf, 2.0) for name, leaf in params.items()}
    lower = torch_backend.descend(params, gradient, 0.25)
    assert lower["W"] is params["W"]
    assert lower["W"].unique().tolist() == [0.5]
    assert lower["b"].unique().tolist() == [-0.5]
    assert not any(leaf.requires_grad for leaf in lower.values())


class Batch:
    """Something large that a loss holds."""


def test_a_model_and_its_batch_are_freed_after_their_gradients(torch_backend):
    def compiled_and_used():
        batch = Batch()
        batch.x = torch.ones(3)

        def loss(params):
            return (params * batch.x).sum() ** 2

        params = torch.ones(3)
        for function in (loss, torch_backend.value_and_gradient(loss)):
            compiled = torch_backend.compile(function)
            for _ in range(6):
                compiled(params)
        torch_backend.scan(lambda p, _: (p * 0.5, loss(p)), params, torch.ones(6))
        return [weakref.ref(thing) for thing in (batch, loss, batch.x)]

    kept = compiled_and_used()
    gc.collect()
    assert [reference() for reference in kept] == [None, None, None]
