"""A function of PyTorch, followed in balls through the operations that `make_fx` records.

Rules that somebody wrote (`autograd.Function`) are not used: what f computes is followed. Where
entries only move, PyTorch itself moves their numbers, and the balls go where those went.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree

from gradparity.backends.pytrees import PyTree, flatten, unflatten

from . import operations as arrays
from .elementwise import operand, smooth
from .enclosed import (
    Enclosed,
    IsRandom,
    NotProved,
    check_value,
    constant,
    following,
    of_shape,
    whole_numbers,
)
from .named import astype, of_numbers, unknown
from .torch_operations import OPERATIONS, cast

aten = torch.ops.aten

# PyTorch's own definitions of functions by simpler ones.
DEFINED = (
    "_log_softmax _softmax addmm addmv baddbmm binary_cross_entropy "
    "binary_cross_entropy_with_logits cosine_embedding_loss elu gelu glu group_norm hardsigmoid "
    "hardswish hardtanh huber_loss l1_loss leaky_relu log_sigmoid_forward logsumexp mish mse_loss "
    "native_batch_norm native_group_norm native_layer_norm nll_loss_forward native_dropout norm "
    "rms_norm silu smooth_l1_loss soft_margin_loss softplus softshrink std std_mean threshold "
    "_safe_softmax trace var_mean xlogy diagonal_copy addcmul addcdiv lerp frac logit dot mv"
).split()

SAME_AS = {
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "neg": "negative",
    "pow": "power",
    "abs": "absolute",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "sigmoid": "logistic",
    "special_erfinv": "erf_inv",
    "erfinv": "erf_inv",
    "special_xlogy": "xlogy",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "bitwise_not": "logical_not",
    "__and__": "logical_and",
    "__or__": "logical_or",
    "sgn": "sign",
    "arctan2": "atan2",
    "special_log_ndtr": "log_ndtr",
    "real": "positive",
    "fmax": "maximum",
    "fmin": "minimum",
}
UNCHANGED = frozenset(
    "alias alias_copy clone detach detach_copy lift_fresh lift_fresh_copy contiguous".split()
)
# Functions that move the entries of tensors, and compute nothing.
MOVING = frozenset(
    "_reshape_alias _unsafe_view as_strided as_strided_copy block_diag broadcast_in_dim cat "
    "channel_shuffle constant_pad_nd diag_embed diagonal diagonal_copy diagonal_scatter "
    "embedding expand expand_copy flip gather im2col index index_copy index_put index_select "
    "masked_scatter masked_select permute permute_copy pixel_shuffle pixel_unshuffle put "
    "reflection_pad1d reflection_pad2d reflection_pad3d repeat replication_pad1d "
    "replication_pad2d replication_pad3d reshape roll rot90 scatter select select_copy "
    "select_scatter slice slice_copy slice_scatter split split_copy split_with_sizes "
    "split_with_sizes_copy squeeze squeeze_copy stack t t_copy take transpose transpose_copy "
    "tril triu unbind unbind_copy unfold_copy unsqueeze unsqueeze_copy upsample_nearest1d "
    "upsample_nearest2d view view_copy".split()
)


class TorchProgram:
    """The operations of one run of a function of tensors."""

    def __init__(self, f: Callable[..., Any], params: PyTree, args: tuple[PyTree, ...]) -> None:
        leaves, structure = flatten(params)
        others, others_structure = flatten(args)
        given = [_tensor(leaf) for leaf in (*leaves, *others)]
        count = len(leaves)

        def flat(*tensors: torch.Tensor) -> Any:
            return f(
                unflatten(structure, tensors[:count]),
                *unflatten(others_structure, tensors[count:]),
            )

        table: Any = core_aten_decompositions() | get_decompositions(
            [getattr(aten, name) for name in DEFINED if hasattr(aten, name)]
        )
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            functional = torch.func.functionalize(flat, remove="mutations_and_views")
            try:
                self._graph = make_fx(functional, decomposition_table=table)(*_own(given))
            except RuntimeError:  # an autograd.Function of the old kind, inside functionalize
                self._graph = _recorded(flat, table, _own(given))
        value, again = (_numbers(_run(flat, given)) for _ in range(2))
        self._args = [constant(_numbers(tensor)) for tensor in given[count:]]
        (output,) = [node for node in self._graph.graph.nodes if node.op == "output"]
        result = output.args[0]
        if not isinstance(result, Node):
            raise NotProved("f returns a number that it has taken out of a tensor, or a structure")
        if not np.array_equal(value, again, equal_nan=True):
            raise IsRandom(
                f"f is random: it gave {value} and {again} at the same point: fix its seed"
            )
        self._result, self.value = result, value
        with torch.no_grad():
            check_value(_numbers(self._graph(*_own(given))), value)
        self._needed = _needed(self._graph.graph, result)

    def follow(self, leaves: Sequence[Enclosed]) -> Enclosed:
        inputs = iter([*leaves, *self._args])
        known: dict[Node, Any] = {}
        for node in self._graph.graph.nodes:
            if node.op != "placeholder" and node not in self._needed:
                continue
            if node.op == "placeholder":
                known[node] = next(inputs)
            elif node.op == "get_attr":
                known[node] = constant(_numbers(getattr(self._graph, node.target)))
            elif node.op == "call_function":
                args = torch.fx.map_arg(list(node.args), known.__getitem__)
                settings = torch.fx.map_arg(dict(node.kwargs), known.__getitem__)
                with following(node.name):
                    if _writes(node):
                        _check_own(node)
                    found = _follow(node.target, args, settings)
                    value = node.meta.get("val")
                    if isinstance(value, torch.Tensor):
                        of_shape(node.name, found, value.shape)
                        if value.is_floating_point() and isinstance(found, Enclosed):
                            found = astype(found, np.dtype(np.float64))
                    known[node] = found
                    if _writes(node):
                        known[node.args[0]] = found
        found = known[self._result]
        return found if isinstance(found, Enclosed) else constant(found)


def _recorded(flat: Callable[..., Any], table: Any, given: Sequence[Any]) -> torch.fx.GraphModule:
    try:
        return make_fx(flat, decomposition_table=table)(*given)
    except RuntimeError as error:
        flat(*given)  # raises what f itself raises
        first = str(error).partition(". ")[0]
        raise NotProved(f"its operations cannot be recorded: {first}") from error


def _needed(graph: torch.fx.Graph, result: Node) -> set[Node]:
    """Return the nodes that the result needs, those that write into what is read later included."""
    order = {node: position for position, node in enumerate(graph.nodes)}
    found, waiting = {result}, [result]
    while True:
        while waiting:
            for node in waiting.pop().all_input_nodes:
                if node not in found:
                    found.add(node)
                    waiting.append(node)
        for node in graph.nodes:
            if node not in found and _writes(node):
                later = {user for one in _seen_through(node.args[0]) for user in one.users}
                if any(order[user] > order[node] and user in found for user in later):
                    found.add(node)
                    waiting.append(node)
        if not waiting:
            return found


def _writes(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable and isinstance(node.args[0], Node)


def _is_view(node: Node) -> bool:
    packet = getattr(node.target, "overloadpacket", None)
    return packet is not None and packet.__name__ in MOVING | UNCHANGED


def _seen_through(node: Any) -> list[Node]:
    """Return a tensor and those that it is a view of."""
    chain = [node]
    while _is_view(chain[-1]) and isinstance(chain[-1].args[0], Node):
        chain.append(chain[-1].args[0])
    return chain


def _check_own(node: Node) -> None:
    """Refuse to follow what writes into memory that others see too."""
    (base, *others) = _seen_through(node.args[0])
    views = [user for user in base.users if _is_view(user)]
    if others or views or base.op == "placeholder":
        raise NotProved(f"{node.name} writes into an array that f has other views of")


def _own(given: Sequence[Any]) -> list[Any]:
    """Return copies, which f may write into."""
    return [x.clone() if isinstance(x, torch.Tensor) else x for x in given]


def _run(flat: Callable[..., Any], given: Sequence[Any]) -> Any:
    leaves = flatten(flat(*_own(given)))[0]
    return leaves[0] if len(leaves) == 1 else None


def _tensor(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return torch.from_numpy(np.array(leaf))
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf


def _numbers(tensor: Any) -> np.ndarray:
    if not isinstance(tensor, torch.Tensor):
        return np.asarray(tensor)
    tensor = tensor.detach().cpu()
    return np.asarray((tensor.double() if tensor.is_floating_point() else tensor).numpy())


def _follow(target: Any, args: list[Any], settings: dict[str, Any]) -> Any:
    if not hasattr(target, "overloadpacket"):  # operator.getitem, of several results
        return target(*args, **settings)
    given = target.overloadpacket.__name__
    given = given.removesuffix("_") if target._schema.is_mutable else given
    if torch.Tag.nondeterministic_seeded in target.tags:
        raise NotProved(f"f draws random numbers, with {given}: call model.eval(), or pass them")
    name = SAME_AS.get(given, given)
    enclosed = [x for x in _pytree.tree_leaves((args, settings)) if isinstance(x, Enclosed)]
    if given in UNCHANGED:
        return args[0]
    if all(x.value.dtype.kind in "biu" and x.ties is None for x in enclosed):
        found = target(
            *_pytree.tree_map(_as_tensor, args), **_pytree.tree_map(_as_tensor, settings)
        )
        if not enclosed or not _has_floats(found):
            return _pytree.tree_map(lambda x: constant(_numbers(x)), found)
    if name in OPERATIONS:
        if name in CASTING and settings.get("dtype") is not None:
            settings = dict(settings)
            args = [cast(args[0], dtype=settings.pop("dtype")), *args[1:]]
        try:
            return OPERATIONS[name](*args, **settings)
        except TypeError as error:
            raise unknown(given) from error
    if given in MOVING and target._overloadname != "dtype":  # view.dtype reads bits
        return _move(target, args, settings)
    settings = {key: x for key, x in settings.items() if key == "alpha"}
    if settings.get("alpha", 1) != 1:
        args = [args[0], smooth("multiply", operand(args[1]), constant(settings["alpha"]))]
    return of_numbers(name, given, [operand(x) for x in args])


# What takes a dtype, and casts to it first.
CASTING = frozenset("sum mean prod cumsum cumprod".split())


def _has_floats(found: Any) -> bool:
    return any(
        isinstance(x, torch.Tensor) and x.is_floating_point() for x in _pytree.tree_leaves(found)
    )


def _as_tensor(x: Any) -> Any:
    return torch.from_numpy(np.array(whole_numbers(x))) if isinstance(x, Enclosed) else x


def _move(target: Any, args: list[Any], settings: dict[str, Any]) -> Any:
    """Let PyTorch move the numbers of entries, and follow them; numbers of its own are put in.

    raises: NotProved where it computes with them: then other numbers come out another way
    """
    given, rest = _pytree.tree_flatten(args[0])[0], _pytree.tree_leaves(args[1:])
    sources = [x for x in given if isinstance(x, Enclosed)]
    sources += [x for x in rest if isinstance(x, Enclosed) and x.value.dtype.kind not in "biu"]
    if target.overloadpacket is aten.constant_pad_nd and len(args) > 2 and args[2]:
        raise unknown("padding with other numbers than 0")
    # What is put in from nowhere (padding, the triangle that is cut off) is 0, the first entry;
    # entries have numbers that f itself does not put in.
    ends = np.cumsum([1, *(math.prod(x.shape) for x in sources)])
    count, first = int(ends[-1]), 2**40

    def moved(numbers: np.ndarray) -> list[Any]:
        parts = np.split(numbers, ends)[1:-1]

        def of_kind(dtype: Any) -> Any:
            numbered = {
                id(x): torch.from_numpy(part.reshape(x.shape)).to(dtype)
                for x, part in zip(sources, parts, strict=True)
            }

            def native(x: Any) -> Any:
                return numbered[id(x)] if id(x) in numbered else _as_tensor(x)

            return target(*_pytree.tree_map(native, args), **settings)

        try:
            found = of_kind(torch.int64)
        except NotImplementedError:  # some functions take floats alone, which hold these numbers
            found = of_kind(torch.float64)
        return [_numbers(x).astype(np.int64) for x in _pytree.tree_leaves(found)]

    forwards = moved(np.arange(first, first + count))
    backwards = moved(np.arange(first + count, first, -1))
    places = [np.where(one == 0, 0, one - first) for one in forwards]
    for one, place, other in zip(forwards, places, backwards, strict=True):
        entries = (place > 0) & (place < count) & (other == first + count - place)
        if not np.all(entries | (one == 0) & (other == 0)):
            raise unknown(f"{target}, which computes")
    parts = [constant(np.zeros(1)), *(arrays.reshape(x, (-1,)) for x in sources)]
    flat = arrays.concat(parts, 0) if _not_bool(sources) else _plain(parts)
    results = [arrays.index(flat, place) for place in places]
    return results if isinstance(_first_return(target), torch.ListType) else results[0]


def _first_return(target: Any) -> Any:
    return target._schema.returns[0].type


def _not_bool(sources: Sequence[Enclosed]) -> bool:
    return any(x.value.dtype.kind not in "biu" for x in sources)


def _plain(parts: Sequence[Enclosed]) -> Enclosed:
    kind = parts[1].value.dtype
    return constant(np.concatenate([whole_numbers(x).astype(kind) for x in parts]))
