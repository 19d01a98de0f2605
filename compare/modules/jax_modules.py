"""Flax linen and nnx, and Equinox: models that JAX differentiates."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from gradparity.backends.errors import InvalidParameters
from gradparity.backends.pytrees import PyTree, flatten, is_array, leaf_names, tree_map

from .float64_flax import follows_its_parameters
from .layers import named_layers
from .subject import Subject, in_float64

KEY = 0  # of the masks that dropout draws, the same in every call


def tree_subject(model: Any, loss: Callable[..., Any], batch: tuple[PyTree, ...]) -> Subject:
    """Return an nnx or Equinox module as a pure function of its parameters, by their names."""
    leaves, structure = flatten(model)
    names = leaf_names(model)

    def f(params: dict[str, jax.Array], *batch: Any) -> Any:
        with follows_its_parameters(params):
            return loss(structure.unflatten([params[name] for name in names]), *batch)

    params = dict(zip(names, leaves, strict=True))
    notes = (*_train_modes(model), OWN)
    return Subject(f, in_float64(params), batch, "jax", jax.grad(f), notes)


OWN = "judged is JAX's own gradient, taken in float64"


def _train_modes(model: Any) -> list[str]:
    """Tell what is drawn or averaged in train mode, by the names that nnx and Equinox use."""
    notes = []
    kinds = {type(layer).__name__: layer for _, layer in named_layers(model)}
    dropout, norm = kinds.get("Dropout"), kinds.get("BatchNorm")
    if dropout is not None and not _off(dropout, ("deterministic", "inference")):
        notes.append("dropout is in train mode: it draws the same mask in every call")
    if norm is not None and not _off(norm, ("use_running_average", "inference")):
        notes.append("batch norm is in train mode, and takes the batch's own statistics")
    return notes


def _off(layer: Any, switches: tuple[str, ...]) -> bool:
    return any(getattr(layer, switch, None) is True for switch in switches)


def linen_subject(
    module: Any, variables: Mapping[str, Any], loss: Callable[..., Any], batch: tuple[PyTree, ...]
) -> Subject:
    """Return a linen module as a pure function of `variables["params"]`.

    Other collections, batch statistics for one, are constants, and what is written into them is
    dropped.
    raises: InvalidParameters for variables without params
    """
    if "params" not in variables:
        raise InvalidParameters(
            f"got variables with the collections {sorted(variables)}; expected 'params' among "
            "them: variables = module.init(key, x)"
        )
    others = {name: tree for name, tree in variables.items() if name != "params"}

    def run(params: PyTree, x: Any, rngs: dict[str, Any]) -> Any:
        dtype = flatten(params)[0][0].dtype
        state = tree_map(lambda leaf: leaf.astype(dtype) if _floats(leaf) else leaf, others)
        with follows_its_parameters(params):
            if not others:
                return module.apply({"params": params}, x, rngs=rngs)
            return module.apply({"params": params, **state}, x, rngs=rngs, mutable=list(others))[0]

    rngs, notes = _needed_keys(run, variables["params"], batch[0])

    def f(params: PyTree, *batch: Any) -> Any:
        return loss(run(params, batch[0], rngs), *batch[1:])

    if others:
        notes.append(f"constants, of which none is written to: {', '.join(sorted(others))}")
    notes.append(OWN)
    params = in_float64(variables["params"])
    return Subject(f, params, batch, "jax", jax.grad(f), tuple(notes))


def _floats(leaf: Any) -> bool:
    return is_array(leaf) and "float" in str(leaf.dtype)


def _needed_keys(
    run: Callable[..., Any], params: PyTree, x: Any
) -> tuple[dict[str, Any], list[str]]:
    """Return the random keys that the module asks for, and say so."""
    from flax.errors import InvalidRngError

    try:
        jax.eval_shape(lambda params, x: run(params, x, {}), params, x)
    except InvalidRngError:
        key = jax.random.key(KEY)
        return (
            {name: key for name in ("dropout", "params", "noise")},
            ["random layers are in train mode: they draw from the same key in every call"],
        )
    return {}, []
