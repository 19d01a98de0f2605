"""Keras 3 models, on JAX or on torch."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.backend.common import dtypes

from gradparity.backends import get_backend
from gradparity.backends.errors import InvalidSetting
from gradparity.backends.pytrees import PyTree, is_array

from .subject import Subject, in_float64, some


def keras_subject(model: Any, loss: Callable[..., Any], batch: tuple[PyTree, ...]) -> Subject:
    """Return a Keras model as a pure function of its trainable variables, by their paths.

    It runs as `model(x)` does, so that dropout is off and batch norm takes its averages.
    raises: InvalidSetting for Keras on other frameworks than JAX and torch
    """
    backend = keras.backend.backend()
    if backend not in ("jax", "torch"):
        raise InvalidSetting(
            f"Keras runs on {backend!r} here; expected 'jax' or 'torch': set KERAS_BACKEND before "
            "keras is imported"
        )
    names = [variable.path for variable in model.trainable_variables]
    frozen = [layer.name for layer in model._flatten_layers() if not layer.trainable]
    constants = [variable.value for variable in model.non_trainable_variables]

    def f(params: dict[str, Any], *batch: Any) -> Any:
        trained = [params[name] for name in names]
        dtype = keras.backend.standardize_dtype(trained[0].dtype)
        state = [_cast(value, dtype) for value in constants]
        with _computing_in(model, dtype):
            output, _ = model.stateless_call(trained, state, batch[0])
            return loss(output, *batch[1:])

    params = {
        variable.path: keras.ops.convert_to_numpy(variable.value)
        for variable in model.trainable_variables
    }
    notes = [f"frozen, and left out: {some(frozen)}"] if frozen else []
    notes.append(f"judged is the gradient of Keras on {backend}, taken in float64")
    engine = get_backend(backend)
    gradient = engine.value_and_gradient(f)
    return Subject(
        f,
        in_float64(params),
        batch,
        backend,
        lambda params, *batch: gradient(params, *batch)[1],
        tuple(notes),
    )


def _cast(value: Any, dtype: str) -> Any:
    floating = is_array(value) and "float" in str(value.dtype)
    return keras.ops.cast(value, dtype) if floating else value


@contextlib.contextmanager
def _computing_in(model: Any, dtype: str) -> Iterator[None]:
    """Let every layer and operation compute, and every variable be held, in this dtype.

    Else a layer casts its inputs to its own float32, a variable what it is given, and a mean all.
    """
    floatx, halved = keras.config.floatx(), dict(dtypes.BIT64_TO_BIT32_DTYPE)
    layers = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    variables = [(variable, variable._dtype) for variable in model.variables]
    try:
        keras.config.set_floatx(dtype)
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = dtype  # by which operations halve what they get
        for layer, _ in layers:
            layer.dtype_policy = dtype
        for variable, held in variables:
            variable._dtype = dtype if "float" in held else held
        yield
    finally:
        keras.config.set_floatx(floatx)
        dtypes.BIT64_TO_BIT32_DTYPE.update(halved)
        for layer, policy in layers:
            layer.dtype_policy = policy
        for variable, held in variables:
            variable._dtype = held
