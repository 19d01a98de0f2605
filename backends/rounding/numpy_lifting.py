"""NumPy without casts to a lower precision: arrays of float64 that stay so."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..pytrees import PyTree, tree_map
from .instrument import LOW_PRECISION, Cast, Gradient, asking_line

Met = Counter[tuple[str, str]]


class NumpyInstrument:
    """Run functions of NumPy's arrays without their casts; it cannot differentiate them."""

    def native(self, leaf: Any, dtype: str | None) -> Any:
        array = np.array(leaf, copy=True)
        return array if dtype is None or array.dtype.kind in "iub" else array.astype(dtype)

    def doubles(self, array: Any) -> np.ndarray:
        return np.asarray(array, np.float64)

    def rounded(
        self,
        f: Callable[..., Any],
        params: PyTree,
        args: tuple[Any, ...],
        cotangent: PyTree,
        double: bool = False,
    ) -> Callable[[int | None], Gradient]:
        raise TypeError("got a gradient of NumPy's to round, expected torch's or JAX's")

    def lifted(
        self, f: Callable[..., Any], params: PyTree, args: tuple[Any, ...], cotangent: PyTree
    ) -> tuple[Gradient, tuple[Cast, ...]]:
        raise TypeError("got a gradient of NumPy's to lift, expected torch's or JAX's")

    def lifted_output(
        self, f: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Cast, ...], int]:
        met: Met = Counter()
        given = tree_map(lambda leaf: _wide(leaf, met), args)
        output = tree_map(_plain, f(*given))
        return output, tuple(Cast(to, where, count) for (to, where), count in met.items()), 0

    def lowers(self, f: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        return bool(self.lifted_output(f, args)[1])


class WideArray(np.ndarray):
    """An array of float64 for which a cast to a lower precision is a copy.

    What NumPy computes from one is one, too. The way out is `np.asarray`, which nothing can follow.

    met: the casts that were ignored, shared by all arrays of a run
    """

    met: Met = Counter()

    def __array_finalize__(self, parent: Any) -> None:
        if isinstance(parent, WideArray):
            self.met = parent.met

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        if _note(dtype, self.met):
            return self.copy()
        return _wide(_plain(self).astype(dtype, *args, **kwargs), self.met)

    def __getitem__(self, index: Any) -> Any:
        return _wide(super().__getitem__(index), self.met)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        out = settings.get("out", ())
        met = _met_by((*inputs, *out))
        if _note(settings.get("dtype"), met):
            del settings["dtype"]
        if out:
            settings["out"] = tuple(_plain(one) for one in out)
        found = getattr(ufunc, method)(*map(_plain, inputs), **settings)
        if out:
            return out[0] if len(out) == 1 else out
        return (
            tuple(_wide(one, met) for one in found) if type(found) is tuple else _wide(found, met)
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if _note(kwargs.get("dtype"), self.met):
            kwargs = {**kwargs, "dtype": np.float64}
        found = super().__array_function__(function, types, args, kwargs)
        return tree_map(lambda one: _wide(one, self.met), found)


def _wide(value: Any, met: Met) -> Any:
    """Return a wide array of what is float64, a number as an array without axes."""
    if not (isinstance(value, np.ndarray | np.generic) and value.dtype == np.float64):
        return _plain(value)
    wide = np.asarray(value).view(WideArray)
    wide.met = met
    return wide


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, WideArray) else value


def _note(dtype: Any, met: Met) -> bool:
    """Tell whether a dtype is a lower precision, and note the cast to it if it is."""
    if dtype is None:
        return False
    name = np.dtype(dtype).name
    if name not in LOW_PRECISION:
        return False
    met[name, asking_line("numpy", "array_api_compat")] += 1
    return True


def _met_by(values: Iterable[Any]) -> Met:
    return next(value.met for value in values if isinstance(value, WideArray))
