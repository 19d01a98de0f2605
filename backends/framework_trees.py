"""Parameters that only their own framework can take apart: JAX pytrees, torch and nnx modules."""

import contextlib
import copy
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidParameters

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class FrameworkStructure:
    """What is left of such a tree without its floating arrays; `unflatten` puts others in.

    kind: what tells two structures apart; paths: of the floating arrays, as Python reaches them
    """

    kind: Any
    paths: tuple[Path, ...]

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        raise TypeError(f"{type(self).__name__} holds no tree")

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """Return the leaves of a tree of this structure.

        raises: InvalidParameters for another structure
        """
        found = framework_flatten(tree, [tree])
        if found is None or found[1].paths != self.paths:
            raise InvalidParameters(
                f"got a {type(tree).__name__}, expected a tree with the leaves of the parameters"
            )
        return found[0]


@dataclass(frozen=True)
class JaxStructure(FrameworkStructure):
    """A tree that JAX knows; of what is not differentiated in it, floats follow in dtype.

    whole: every leaf; kept: positions of the floating arrays to be differentiated
    """

    whole: tuple[Any, ...] = field(compare=False, repr=False)
    kept: tuple[int, ...]

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        given = dict(zip(self.kept, leaves, strict=True))
        dtypes = {_dtype_name(leaf.dtype) for leaf in given.values() if _is_floating_array(leaf)}
        dtype = dtypes.pop() if len(dtypes) == 1 else None
        return self.kind.unflatten(
            given[position] if position in given else _follows(leaf, dtype)
            for position, leaf in enumerate(self.whole)
        )


def _follows(leaf: Any, dtype: str | None) -> Any:
    if dtype is None or not _is_floating_array(leaf) or "torch" in dtype:
        return leaf
    with sys.modules["jax"].enable_x64(True):  # else JAX has no float64 to turn it into
        return leaf.astype(dtype)


@dataclass(frozen=True)
class ModuleStructure(FrameworkStructure):
    """A torch module; only its trainable parameters are differentiated.

    `unflatten` returns another module, with its own buffers in the dtype of the leaves, so that
    this one never changes.
    """

    module: Any = field(compare=False, repr=False)

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        given = list(leaves)
        trained = list(_trained(self.module).values())
        dtype = getattr(given[0], "dtype", None) if given else None
        memo: dict[int, Any] = {id(old): new for old, new in zip(trained, given, strict=True)}
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            if id(tensor) not in memo:
                floating = tensor.is_floating_point() and "torch" in str(dtype)
                memo[id(tensor)] = tensor.detach().to(dtype if floating else None, copy=True)
        other = _rebuilt(self.module, memo)
        vars(other)[TRAINED] = tuple(_trained(self.module))
        return other


TRAINED = "_trained_for_gradparity"  # plain arrays do not say which of them were trainable


def _trained(module: Any) -> dict[str, Any]:
    names = vars(module).get(TRAINED)
    return {
        name: parameter
        for name, parameter in module.named_parameters()
        if (parameter.requires_grad if names is None else name in names)
    }


def _rebuilt(module: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of a torch module with its tensors replaced, hooks and all else shared."""
    if id(module) in memo:
        return memo[id(module)]
    other = memo[id(module)] = copy.copy(module)
    for group in ("_parameters", "_buffers"):
        replaced = {
            name: None if tensor is None else memo[id(tensor)]
            for name, tensor in vars(module)[group].items()
        }
        vars(other)[group] = replaced
    vars(other)["_modules"] = {
        name: None if child is None else _rebuilt(child, memo)
        for name, child in vars(module)["_modules"].items()
    }
    return other


def is_torch_module(tree: Any) -> bool:
    """Tell a torch.nn.Module from other objects, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(tree, torch.nn.Module)


def is_nnx_module(tree: Any) -> bool:
    """Tell a flax.nnx.Module from other objects, without importing flax."""
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(tree, nnx.Module)


def is_equinox_module(tree: Any) -> bool:
    """Tell an equinox.Module from other objects, without importing equinox."""
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(tree, equinox.Module)


def is_model(tree: Any) -> bool:
    """Tell a module, which is callable and yet a tree of arrays, from a function."""
    return is_torch_module(tree) or is_nnx_module(tree) or is_equinox_module(tree)


def framework_flatten(
    tree: Any, strangers: Sequence[Any]
) -> tuple[list[Any], FrameworkStructure] | None:
    """Return the floating arrays of a tree and its structure; None where no framework knows it.

    strangers: its leaves for optree that are no arrays
    """
    if is_torch_module(tree):
        trained = _trained(tree)
        paths = tuple(map(_torch_path, trained))
        return list(trained.values()), ModuleStructure(type(tree), paths, tree)
    jax = sys.modules.get("jax")
    if jax is None or not any(_is_opened_by(jax, leaf) for leaf in strangers):
        return None
    pairs, structure = jax.tree_util.tree_flatten_with_path(tree)
    parameters = _nnx_parameters(jax, tree)
    kept = tuple(
        position
        for position, (path, leaf) in enumerate(pairs)
        if _is_floating_array(leaf) and (parameters is None or _steps(path) in parameters)
    )
    paths = tuple(_steps(pairs[position][0]) for position in kept)
    whole = tuple(leaf for _, leaf in pairs)
    return [whole[k] for k in kept], JaxStructure(structure, paths, whole, kept)


def _is_opened_by(jax: Any, leaf: Any) -> bool:
    return not isinstance(leaf, Iterator) and not jax.tree_util.all_leaves([leaf])


def _nnx_parameters(jax: Any, tree: Any) -> set[Path] | None:
    """Return the paths of nnx parameters among a module's variables; None for other trees."""
    if not is_nnx_module(tree):
        return None
    nnx = sys.modules["flax.nnx"]
    pairs, _ = jax.tree_util.tree_flatten_with_path(
        tree, is_leaf=lambda node: isinstance(node, nnx.Variable)
    )
    return {_steps(path) for path, leaf in pairs if isinstance(leaf, nnx.Param)}


def _steps(path: Sequence[Any]) -> Path:
    steps = [_step(step) for step in path]
    if len(steps) > 1 and steps[-1] == "value" and "flax.nnx" in sys.modules:
        steps.pop()  # an nnx variable's own array
    return tuple(steps)


def _step(step: Any) -> str | int:
    for attribute in ("key", "name", "idx"):
        if hasattr(step, attribute):
            value = getattr(step, attribute)
            return value if isinstance(value, str | int) else str(value)
    return str(step)


def _torch_path(name: str) -> Path:
    return tuple(int(step) if step.isdigit() else step for step in name.split("."))


def _is_floating_array(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and hasattr(leaf, "shape") and "float" in _dtype_name(dtype)


def _dtype_name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype))


def models_from_outside(f: Any) -> tuple[str, ...]:
    """Return the names under which a function reaches models that it was not given."""
    code, cells = getattr(f, "__code__", None), getattr(f, "__closure__", None) or ()
    if code is None:
        return ()
    seen = {name: getattr(f, "__globals__", {}).get(name) for name in code.co_names}
    for name, cell in zip(code.co_freevars, cells, strict=True):
        with contextlib.suppress(ValueError):  # a name without a value as yet
            seen[name] = cell.cell_contents
    if seen.keys() & {"functional_call", "tree_at", "merge"}:  # it puts the parameters in
        return ()
    return tuple(name for name, value in seen.items() if is_model(value))


def hint_at_models(f: Any) -> str:
    """Say which call is meant where f reads a model from outside, "" where it does not."""
    models = models_from_outside(f)
    if not models:
        return ""
    return (
        f"f reads {' and '.join(models)} from outside, where no change of params reaches it: "
        f"call check_module({models[0]}, loss, *batch)"
    )


def settled(params: Any) -> Any:
    """Return params that can be walked through more than once, as they come from modules.

    `model.parameters()` becomes a list, `model.named_parameters()` and a state dict a dict of what
    can be differentiated; everything else stays as it is.
    """
    if isinstance(params, Iterator):
        items = list(params)
        if items and all(_is_named(item) for item in items):
            return {name: leaf for name, leaf in items if getattr(leaf, "requires_grad", True)}
        return [leaf for leaf in items if getattr(leaf, "requires_grad", True)]
    if isinstance(params, Mapping) and type(params) is not dict and hasattr(params, "_metadata"):
        return {name: leaf for name, leaf in params.items() if _is_floating_array(leaf)}
    return params


def _is_named(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def remedy(leaf: Any) -> str:
    """Say which call would work for an object that is no array, "" where nothing is known."""
    name = type(leaf).__name__
    kind = {base.__module__.partition(".")[0] for base in type(leaf).__mro__}
    if "keras" in kind or is_torch_module(leaf):
        return f"; for a model call check_module({name.lower()}, loss, *batch)"
    if "flax" in kind:
        return "; for a Flax model call check_module((module, variables), loss, *batch)"
    if isinstance(leaf, Iterator):
        return "; an iterator can be walked through only once: pass list(...) or dict(...) of it"
    if hasattr(leaf, "__dataclass_fields__"):
        return f"; register it with jax.tree_util.register_dataclass({name}), or pass vars(...)"
    if callable(leaf):
        return "; it is callable: the function comes first, then its parameters"
    return ""
