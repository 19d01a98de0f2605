"""Flax layers that compute in the precision of their parameters, whatever they were written in."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from gradparity.backends.pytrees import PyTree, flatten

PRECISIONS = ("dtype", "param_dtype", "carry_dtype")


@contextlib.contextmanager
def follows_its_parameters(params: PyTree) -> Iterator[None]:
    """Let linen layers make carries and casts in the dtype of the parameters.

    A layer's `dtype` and `param_dtype` are float32 unless its author said otherwise, and so are
    the carries of recurrent cells, which a scan then refuses beside float64 parameters.
    """
    linen = sys.modules.get("flax.linen")
    leaves = flatten(params)[0]
    if linen is None or not leaves:
        yield
        return
    dtype = leaves[0].dtype

    def in_that_dtype(
        run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any
    ) -> Any:
        _set_precision(linen, context.module, dtype)
        return run(*args, **kwargs)

    with linen.intercept_methods(in_that_dtype):
        yield


def _set_precision(linen: Any, module: Any, dtype: Any) -> None:
    for name in getattr(module, "__dataclass_fields__", ()):
        value = getattr(module, name, None)
        if name in PRECISIONS and value is not None and "float" in str(value):
            object.__setattr__(module, name, dtype)
        elif isinstance(value, linen.Module) and name != "parent":
            _set_precision(linen, value, dtype)
