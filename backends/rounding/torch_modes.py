"""PyTorch under a dispatch mode: random rounding after each operation, or none of f's casts."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import optree
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..precision import UNIT_ROUNDOFF
from ..pytrees import PyTree, flatten, tree_map, unflatten
from .instrument import LOW_PRECISION, SMALLEST_SUBNORMAL, Cast, Gradient, asking_line

aten = torch.ops.aten
LOW = frozenset({torch.float32, torch.bfloat16, torch.float16})
NAMES = {getattr(torch, name): name for name in ("float64", *LOW_PRECISION)}

# Operations that pick, place or order values without computing with them, and those whose result
# is exact whatever the values.
MOVES = frozenset(
    """
    _local_scalar_dense _reshape_alias _unique2 _unsafe_view abs adaptive_max_pool2d
    adaptive_max_pool3d alias amax amin aminmax arange argmax
    argmin argsort as_strided bernoulli bucketize cat ceil clamp clamp_max clamp_min clone
    constant_pad_nd cummax cummin detach diag_embed diagonal_backward diagonal_scatter embedding
    empty empty_like empty_strided equal eye fill flip floor full full_like gather hardtanh
    heaviside index index_copy index_fill index_select kthvalue lift lift_fresh logical_not
    masked_fill masked_scatter masked_select max max_pool2d_with_indices max_pool3d_with_indices
    maximum median min nanmedian
    minimum mode nan_to_num neg new_empty new_empty_strided new_full new_ones new_zeros nonzero
    normal ones ones_like permute_copy rand rand_like randint randn randn_like reflection_pad1d
    reflection_pad2d relu repeat repeat_interleave replication_pad1d replication_pad2d roll round
    scalar_tensor scatter searchsorted select_backward select_scatter sgn sign slice_backward
    slice_scatter sort stack threshold threshold_backward topk tril triu trunc unfold uniform
    upsample_nearest2d where zero zeros zeros_like
    """.split()
)
INF = float("inf")
# Of the others, those whose exact result can be known from float64: 24 + 24 bits make 48.
OFTEN_EXACT = frozenset({"add", "sub", "rsub", "mul", "div"})
# Sums over an axis of the operands, by which one: their order is drawn anew for each run.
PRODUCTS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2), "mv": (0, 1)}
SUMS = frozenset({"sum", "mean"})


class TorchInstrument:
    """Run functions of tensors under one of the two modes."""

    def native(self, leaf: Any, dtype: str | None) -> torch.Tensor:
        if isinstance(leaf, torch.Tensor):
            tensor = leaf.detach().clone()
        else:
            array = np.asarray(leaf)
            if array.dtype.name not in ("float64", "float32") and "float" in array.dtype.name:
                # PyTorch takes no bfloat16 from NumPy; float32 holds it, and float16, exactly.
                tensor = torch.from_numpy(array.astype(np.float32)).to(_torch_dtype(array.dtype))
            else:
                tensor = torch.from_numpy(np.array(array, order="C", copy=True))
        if dtype is not None and tensor.is_floating_point():
            tensor = tensor.to(getattr(torch, dtype))
        return tensor

    def doubles(self, array: Any) -> np.ndarray:
        return _numpy(array)

    def rounded(
        self,
        f: Callable[..., Any],
        params: PyTree,
        args: tuple[Any, ...],
        cotangent: PyTree,
        double: bool = False,
    ) -> Callable[[int | None], Gradient]:
        def run(seed: int | None) -> Gradient:
            if seed is None:
                return _gradient(f, params, args, cotangent, nullcontext())
            mode = RandomRounding(seed, double)
            gradient = _gradient(f, params, args, cotangent, mode)
            return gradient._replace(rounded_to=frozenset(mode.rounded_to))

        return run

    def lifted(
        self, f: Callable[..., Any], params: PyTree, args: tuple[Any, ...], cotangent: PyTree
    ) -> tuple[Gradient, tuple[Cast, ...]]:
        mode = WithoutCasts()
        return _gradient(f, params, args, cotangent, mode), mode.casts

    def lifted_output(
        self, f: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Cast, ...], int]:
        mode = WithoutCasts()
        with mode:
            return f(*args), mode.casts, mode.widened

    def lowers(self, f: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        mode = WithoutCasts()
        with mode:
            f(*args)
        return bool(mode.casts) or mode.widened > 0


def _gradient(
    f: Callable[..., Any],
    params: PyTree,
    args: tuple[Any, ...],
    cotangent: PyTree,
    mode: AbstractContextManager[Any],
) -> Gradient:
    leaves, structure = flatten(params)
    primals = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    args = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, args)
    with torch.enable_grad(), mode:
        outputs = flatten(f(unflatten(structure, primals), *args))[0]
        for output in outputs:
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"f returned {type(output).__name__}, expected tensors: it is no function "
                    "of PyTorch"
                )
        followed = [output for output in outputs if output.requires_grad]
        weights: Sequence[Any] | None = None
        if cotangent is not None:
            pairs = zip(outputs, flatten(cotangent)[0], strict=True)
            weights = [weight.to(out.dtype) for out, weight in pairs if out.requires_grad]
        gradients: Sequence[Any] = [None] * len(primals)
        if followed:
            gradients = torch.autograd.grad(followed, primals, weights, allow_unused=True)
    return Gradient(
        [_numpy(output) for output in outputs],
        [
            np.zeros(tuple(leaf.shape)) if gradient is None else _numpy(gradient)
            for leaf, gradient in zip(leaves, gradients, strict=True)
        ],
    )


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to(torch.float64).cpu().numpy()


def _torch_dtype(dtype: np.dtype) -> torch.dtype:
    found: torch.dtype = getattr(torch, dtype.name)
    return found


class RandomRounding(TorchDispatchMode):
    """Multiply what each operation rounds by 1 + d, d even in one rounding either way.

    Sums and products of matrices, which PyTorch accumulates in an order of its own (in float32 for
    the lower dtypes), run on terms in random order: their accumulators round as they do. Of other
    operations that reduce, operands of float32, or of float64, are perturbed too.

    double: whether float64 is rounded at random as well, to a neighbour up to its whole spacing
        away: half of it would mostly be rounded off again
    """

    def __init__(self, seed: int, double: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._dtypes = LOW | {torch.float64} if double else LOW
        self._accumulated = self._dtypes & {torch.float32, torch.float64}
        self._complex = {torch.complex64, torch.complex128} if double else {torch.complex64}
        self.rounded_to: set[str] = set()
        self._generators: dict[torch.device, torch.Generator] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch._dynamo would be loaded, for over a second

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = operation._schema.name.partition("::")[2]
        in_place = operation._schema.is_mutable
        name = name.rstrip("_") if in_place else name
        if name in MOVES or _gives_views(operation) or _picks(name, args):
            return operation(*args, **kwargs)
        if name in ("_to_copy", "copy"):
            source = args[1] if name == "copy" else args[0]
            result = operation(*args, **kwargs)
            self._round_a_cast(source, result, in_place)
            return result if in_place else self._cast(source, result)
        if name in ("index_put", "_index_put_impl") and not (len(args) > 3 and args[3]):
            return operation(*args, **kwargs)
        if not in_place:
            args = self._reordered(name, operation, args)
        exact = None
        if name in OFTEN_EXACT and not in_place:
            exact = _in_float64(operation, args, kwargs)
        results = operation(*args, **kwargs)
        leaves, structure = tree_flatten(results)
        rounded = [self._after(leaf, in_place, exact) for leaf in leaves]
        return tree_unflatten(rounded, structure)

    def _after(self, result: Any, in_place: bool, exact: torch.Tensor | None) -> Any:
        if not (isinstance(result, torch.Tensor) and result.numel()):
            return result
        if result.dtype in self._complex and not in_place:
            parts = self._perturbed(torch.view_as_real(result))
            return torch.view_as_complex(parts)
        if result.dtype not in self._dtypes:
            return result
        perturbed = self._perturbed(result)
        if exact is not None and result.dtype is not torch.float64:
            perturbed = torch.where(exact == result, result, perturbed)
        return result.copy_(perturbed) if in_place else perturbed

    def _cast(self, source: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
        if not _loses_bits(source, result):
            return result
        return torch.where(result.to(source.dtype) == source, result, self._perturbed(result))

    def _round_a_cast(self, source: Any, result: torch.Tensor, in_place: bool) -> None:
        if in_place and isinstance(source, torch.Tensor) and _loses_bits(source, result):
            result.copy_(self._perturbed(result))

    def _perturbed(self, tensor: torch.Tensor) -> torch.Tensor:
        unit = UNIT_ROUNDOFF[NAMES[tensor.dtype]]
        self.rounded_to.add(NAMES[tensor.dtype])
        # float32 holds a few roundings of the lower dtypes, but not of its own.
        wide = torch.float64 if tensor.dtype in (torch.float32, torch.float64) else torch.float32
        unit *= 2 if tensor.dtype is torch.float64 else 1
        noise = torch.rand(
            tensor.shape, generator=self._generator(tensor.device), dtype=wide, device=tensor.device
        )
        noise.mul_(2).sub_(1)
        moved = tensor.to(wide)
        if tensor.dtype is torch.float16:  # half of it is where roundings are absolute
            size = (moved.abs() * unit).clamp_min_(SMALLEST_SUBNORMAL["float16"])
            size.mul_(moved != 0)
        else:
            size = moved.abs() * unit
        moved = moved.addcmul(size, noise).to(tensor.dtype)
        return torch.where(moved.isfinite(), moved, tensor)

    def _reordered(self, name: str, operation: Any, args: Any) -> Any:
        """Return the operands with the terms of each sum in random order."""
        changed = list(args)
        if name in PRODUCTS:
            left, right = PRODUCTS[name]
            order = self._order(args[left].shape[-1], args[left].device)
            axis = 0 if args[right].dim() == 1 else -2
            changed[left] = args[left].index_select(-1, order)
            changed[right] = args[right].index_select(axis, order)
            return changed
        if name in SUMS:
            tensor = args[0]
            axes = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else None
            for axis in axes or range(tensor.dim()):
                if tensor.dim() and tensor.shape[axis] > 2:
                    order = self._order(tensor.shape[axis], tensor.device)
                    tensor = tensor.index_select(axis, order)
            changed[0] = tensor
            return changed
        if torch.Tag.pointwise in operation.tags:
            return args
        leaves, structure = tree_flatten(changed)
        return tree_unflatten(
            [
                self._perturbed(leaf)
                if isinstance(leaf, torch.Tensor)
                and leaf.dtype in self._accumulated
                and leaf.numel()
                else leaf
                for leaf in leaves
            ],
            structure,
        )

    def _order(self, length: int, device: torch.device) -> torch.Tensor:
        return torch.randperm(length, generator=self._generator(device), device=device)

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def _picks(name: str, args: Any) -> bool:
    """Return whether a norm is that of one entry, which its backward pass looks for again."""
    return name in ("linalg_vector_norm", "norm") and len(args) > 1 and args[1] in (INF, -INF)


def _gives_views(operation: Any) -> bool:
    returns = operation._schema.returns
    return bool(returns) and all(
        given.alias_info is not None and not given.alias_info.is_write for given in returns
    )


def _loses_bits(source: torch.Tensor, result: torch.Tensor) -> bool:
    if result.dtype not in LOW or not source.is_floating_point() or not result.numel():
        return False
    return torch.finfo(result.dtype).eps > torch.finfo(source.dtype).eps or (
        source.dtype is torch.bfloat16 and result.dtype is torch.float16
    )


def _in_float64(operation: Any, args: Any, kwargs: Any) -> torch.Tensor:
    leaves, structure = tree_flatten((args, kwargs))
    doubles = [
        leaf.to(torch.float64) if isinstance(leaf, torch.Tensor) and leaf.dtype in LOW else leaf
        for leaf in leaves
    ]
    args, kwargs = tree_unflatten(doubles, structure)
    result: torch.Tensor = operation(*args, **kwargs)
    return result


class WithoutCasts(TorchDispatchMode):
    """Run every operation in float64: tensors of a lower precision and casts to one are widened."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._met: Counter[tuple[str, str]] = Counter()
        self.widened = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    @property
    def casts(self) -> tuple[Cast, ...]:
        return tuple(Cast(to, where, count) for (to, where), count in self._met.items())

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given: Any = (args, kwargs or {})
        leaves: list[Any] = optree.tree_leaves(given)
        if operation is aten.view.dtype:  # reads the bits as another dtype
            return operation(*args, **(kwargs or {}))
        low = [leaf for leaf in leaves if isinstance(leaf, torch.dtype) and leaf in LOW]
        kinds = {leaf.dtype for leaf in leaves if isinstance(leaf, torch.Tensor)}
        if kinds and not low and kinds.isdisjoint(LOW):  # nothing to widen, as a rule
            result = operation(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.dtype not in LOW:
                return result
            return self._widened_outputs(result, {})
        if low and operation is aten._to_copy.default and args[0].dtype is torch.float64:
            self._met[NAMES[low[0]], asking_line("torch")] += 1
        leaves, structure = tree_flatten(given)
        written = _written(operation, args, kwargs or {})
        widened = {
            id(leaf): leaf.to(torch.float64)
            for leaf in leaves
            if isinstance(leaf, torch.Tensor) and leaf.dtype in LOW
        }
        self.widened += len(widened)
        inputs = [
            torch.float64
            if isinstance(leaf, torch.dtype) and leaf in LOW
            else widened.get(id(leaf), leaf)
            for leaf in leaves
        ]
        wide_args, wide_kwargs = tree_unflatten(inputs, structure)
        tensors = any(isinstance(leaf, torch.Tensor) for leaf in leaves)
        random = torch.Tag.nondeterministic_seeded in operation.tags
        if random:  # in float64, other numbers would be drawn
            wide_args, wide_kwargs = tree_unflatten(
                [widened.get(id(leaf), leaf) for leaf in leaves], structure
            )
        results = operation(*wide_args, **wide_kwargs)
        if not (tensors or random) and isinstance(results, torch.Tensor) and results.dtype in LOW:
            results = operation(*wide_args, **(wide_kwargs | {"dtype": torch.float64}))
            self.widened += 1
        for leaf in written:
            if id(leaf) in widened:
                leaf.copy_(widened[id(leaf)])
        given_back = {id(wide): leaf for leaf in written for wide in [widened.get(id(leaf))]}
        return self._widened_outputs(results, given_back)

    def _widened_outputs(self, results: Any, given_back: dict[int, torch.Tensor]) -> Any:
        outputs, structure = tree_flatten(results)
        # Of whole numbers alone, PyTorch makes float32.
        self.widened += sum(
            isinstance(output, torch.Tensor) and output.dtype in LOW for output in outputs
        )
        return tree_unflatten(
            [
                given_back[id(output)]
                if id(output) in given_back
                else output.to(torch.float64)
                if isinstance(output, torch.Tensor) and output.dtype in LOW
                else output
                for output in outputs
            ],
            structure,
        )


def _written(operation: Any, args: Any, kwargs: Any) -> list[torch.Tensor]:
    if not operation._schema.is_mutable:
        return []
    written = []
    for position, argument in enumerate(operation._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[position] if position < len(args) else kwargs.get(argument.name)
            written += [leaf for leaf in tree_flatten(given)[0] if isinstance(leaf, torch.Tensor)]
    return written
