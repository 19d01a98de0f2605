"""Who takes part in a comparison: backends by name or value, each with its function."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from gradparity.backends import Backend, BackendUnavailable, get_backend
from gradparity.backends.base import ModelFunction
from gradparity.backends.errors import InvalidSetting
from gradparity.backends.framework_trees import FrameworkStructure
from gradparity.backends.pytrees import PyTree, flatten, is_array, private_numpy, tree_map

from ..ports.layouts import Rename, Transpose, layout_of
from ..ports.native_trees import OWN_PARAMETERS, NativeTree, is_module, module_loss, native_tree
from .engines import Engine

DEFAULT_BACKENDS = ("numerical", "jax", "torch")


@dataclass(frozen=True)
class Entrants:
    """The engines of a comparison, and the parameters that they share.

    params: common to all; left_out: default backends that are not installed, with the reason
    own: for a native implementation that came with parameters of its own, those
    by_name: whether somebody asked for these backends, who wants to know if one fails
    """

    engines: tuple[Engine, ...]
    params: PyTree
    left_out: tuple[tuple[str, str], ...] = ()
    own: Mapping[str, NativeTree] = field(default_factory=dict)
    by_name: bool = True


def entrants(
    f: ModelFunction | Mapping[str, Any],
    params: PyTree,
    backends: Sequence[str | Backend],
    dtype: str,
    rename: Mapping[str, Rename] | None = None,
    transpose: Mapping[str, Transpose] | None = None,
) -> Entrants:
    """Return an engine for each backend, or for each native implementation in a mapping.

    raises: BackendUnavailable for a backend named explicitly, InvalidSetting for names that do not
        fit together, ShapeMismatch
    """
    if not isinstance(f, Mapping):
        if rename or transpose:
            raise InvalidSetting(
                "got rename or transpose with one function; expected a mapping of native "
                "implementations such as {'jax': f_jax, 'torch': f_torch}"
            )
        chosen, missing = _load(backends, dtype)
        shared = tuple(Engine(label, backend, f) for label, backend in _labelled(chosen))
        return Entrants(shared, params, missing, by_name=backends is not DEFAULT_BACKENDS)
    left_out: tuple[tuple[str, str], ...] = ()
    if backends is DEFAULT_BACKENDS:
        # What stands before a colon is the backend; the whole is the implementation's name.
        labelled = [(name, get_backend(name.partition(":")[0], dtype=dtype)) for name in f]
    else:
        chosen, left_out = _load(backends, dtype)
        labelled = _labelled(chosen)
    _check_names("backends", [label for label, _ in labelled], f)
    for what, named in (("rename", rename), ("transpose", transpose)):
        _check_names(what, named or {}, f)
    trees = params if isinstance(params, Mapping) and set(params) == set(f) else {}
    own = {label: native_tree(trees[label]) for label, _ in labelled if label in trees}
    common = _common(trees[labelled[0][0]]) if own else _plain(params)
    engines = []
    for label, backend in labelled:
        tree = own.get(label) or _known_tree(f[label])
        layout = layout_of(
            label, common, tree, (rename or {}).get(label), (transpose or {}).get(label, ())
        )
        function = module_loss(f[label]) if is_module(f[label]) else f[label]
        engines.append(Engine(label, backend, function, layout))
    return Entrants(tuple(engines), common, left_out, own)


def _known_tree(f: Any) -> NativeTree | None:
    """Return the parameters of a module, or of the model that a function was made of."""
    if is_module(f):
        return native_tree(f)
    model = getattr(f, OWN_PARAMETERS, None)
    return None if model is None else native_tree(model)


def _plain(params: PyTree) -> PyTree:
    """Return params that came as a model as a dict by the names of its leaves."""
    model = isinstance(flatten(params)[1], FrameworkStructure)
    return _common(params) if model else params


def _load(
    backends: Sequence[str | Backend], dtype: str
) -> tuple[list[Backend], tuple[tuple[str, str], ...]]:
    chosen, left_out = [], []
    for backend in backends:
        if isinstance(backend, Backend):
            chosen.append(backend)
            continue
        try:
            chosen.append(get_backend(backend, dtype=dtype))
        except BackendUnavailable as error:
            # The very tuple of the signature: nobody asked for this backend by its name.
            if backends is not DEFAULT_BACKENDS:
                raise
            left_out.append((backend, str(error)))
    if not chosen:
        raise InvalidSetting("got no backends; expected at least one, such as 'jax' or 'torch'")
    return chosen, tuple(left_out)


def _labelled(backends: Sequence[Backend]) -> list[tuple[str, Backend]]:
    """Name each backend; where two have one name, by what their settings differ in."""
    labels: list[str] = []
    for backend in backends:
        alike = [other for other in backends if other.name == backend.name]
        label = backend.name if len(alike) == 1 else f"{backend.name}[{_settings(backend, alike)}]"
        taken = sum(other.partition(" #")[0] == label for other in labels)
        labels.append(f"{label} #{taken + 1}" if taken else label)
    return list(zip(labels, backends, strict=True))


def _settings(backend: Backend, alike: Sequence[Backend]) -> str:
    differing = [
        field.name
        for field in fields(backend)
        if len({str(getattr(other, field.name, None)) for other in alike}) > 1
    ]
    return ", ".join(str(getattr(backend, name)) for name in differing) or backend.dtype


def _check_names(what: str, names: Iterable[str], f: Mapping[str, Any]) -> None:
    for name in names:
        if name not in f:
            raise InvalidSetting(
                f"{what}: got {name!r}, expected a key of the mapping of native implementations: "
                f"{', '.join(map(repr, f))}"
            )


def _common(own: PyTree) -> PyTree:
    """Return the first implementation's parameters as NumPy arrays, a dict for a module's own."""
    leaves, structure = flatten(own)
    if not isinstance(structure, FrameworkStructure) and all(map(is_array, leaves)):
        return tree_map(private_numpy, own)
    tree = native_tree(own)
    return {n: private_numpy(leaf) for n, leaf in zip(tree.names, tree.leaves, strict=True)}
