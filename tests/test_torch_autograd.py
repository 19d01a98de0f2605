"""What holds for PyTorch alone: nesting, graphs that are not kept, tensors that want gradients."""

import numpy as np
import pytest

from gradparity.backends import get_backend

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
