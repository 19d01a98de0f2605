"""What holds for JAX alone: its configuration stays the process's own."""

import numpy as np
import pytest

from gradparity.backends import get_backend
from gradparity.backends.errors import InvalidParameters

jax = pytest.importorskip("jax")


def cube(x):
    return x**3


@pytest.mark.parametrize("process_wide", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_the_backends_whatever_the_process_has_set(process_wide, dtype):
    backend = get_backend("jax", dtype=dtype)
    with jax.enable_x64(process_wide):
        for f in (
            backend.value_and_gradient(cube),
            backend.compile(backend.value_and_gradient(cube)),
        ):
            value, gradient = f(backend.asarray(1.1))
            assert value.dtype == gradient.dtype == dtype
        assert jax.config.jax_enable_x64 is process_wide


def test_the_configuration_survives_an_exception():
    def fails(x):
        raise LookupError("planted")

    with pytest.raises(LookupError, match="planted"):
        get_backend("jax", dtype="float64").value_and_gradient(fails)(1.0)
    assert not jax.config.jax_enable_x64


def test_a_training_loop_is_traced_once_for_all_its_epochs():
    backend, traces = get_backend("jax", dtype="float32"), []

    def step(carry, batch):
        traces.append(1)
        return carry + batch, carry

    batches = backend.asarray(np.ones(5))
    carry = backend.asarray(0.0)
    for _ in range(3):
        carry, _ = backend.scan(step, carry, batches)
    assert float(carry) == 15.0
    assert len(traces) == 1


def test_compiled_functions_run_as_one_program():
    backend, traces = get_backend("jax"), []

    def f(x):
        traces.append(1)
        return x**2

    compiled = backend.compile(backend.value_and_gradient(f))
    for number in (1.0, 2.0, 3.0):
        assert float(compiled(backend.asarray(number))[1]) == 2 * number
    assert len(traces) == 1


def test_integers_of_float32_have_32_bits_or_are_refused():
    backend = get_backend("jax", dtype="float32")
    assert backend.asarray(np.array([1, -(2**31)])).dtype == np.int32
    assert backend.asarray(np.array([2**32 - 1], np.uint64)).dtype == np.uint32
    with pytest.raises(InvalidParameters, match="got int64 values beyond int32"):
        backend.asarray(np.array([2**31]))
    assert get_backend("jax").asarray(np.array([2**31])).dtype == np.int64
