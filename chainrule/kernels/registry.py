"""What a kernel is to JAX: a primitive with C++ code on the CPU and a twin, written in `jnp`, everywhere else.

The twin decides what is right: it gives the shapes of the results, runs where the C++ code cannot (another device, no
compiler at installation, `kernels=False`), and is what the tests hold the code against. Derivatives of any order and
mode exist: reverse mode runs the kernel's own gradient, everything else differentiates the twin.
"""
import ctypes
import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# Whether kernels may be used where they can be. JAX compiles anew where this changes.
_allowed = jax.make_user_context(True)


class Report(NamedTuple):
    """Which kernels there are.

    Attributes:
        available: whether the C++ code is there.
        reason: why not; empty where it is.
        instruction_set: the set of instructions in use.
        instruction_sets: those that this machine runs, the widest first.
        names: the kernels.
        bfloat16: the set of instructions in use for bfloat16; empty where there are none.
        unused_amx: why this machine's AMX is not used; empty where it is, or where there is none.
    """

    available: bool
    reason: str
    instruction_set: str
    instruction_sets: list[str]
    names: list[str]
    bfloat16: str = ""
    unused_amx: str = ""


def allowed(on: bool):
    """A block within which kernels are used, or are not: `with allowed(False): ...`.

    Example:
        >>> with allowed(False):
        ...     active()
        False
    """
    return _allowed(bool(on))


def active() -> bool:
    """Whether operations traced here may use kernels."""
    return _allowed.value and library() is not None


def active_in_bfloat16() -> bool:
    """Whether operations traced here may use kernels that compute in bfloat16: not every machine has them."""
    return active() and bool(instruction_sets_in_bfloat16())


def serve(*arrays) -> bool:
    """Whether kernels of float32 may be used, and all arrays are of that type."""
    return active() and all(jnp.result_type(array) == jnp.float32 for array in arrays)


def serve_bfloat16(*arrays) -> bool:
    """Whether kernels that compute in bfloat16 may be used, and all arrays are of that type."""
    return active_in_bfloat16() and all(jnp.result_type(array) == jnp.bfloat16 for array in arrays)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The C++ code, with all that it offers made known to XLA; `None` where it was not built."""
    found = importlib.util.find_spec("chainrule.kernels._native")
    if found is None or found.origin is None:
        return None
    native = ctypes.CDLL(found.origin)
    for name in ("chainrule_instruction_set", "chainrule_instruction_set_bf16", "chainrule_unused_amx"):
        getattr(native, name).restype = ctypes.c_char_p
    return native


def instruction_sets() -> list[str]:
    """Those that this machine runs and the code was compiled for, the widest first."""
    return _named_by("chainrule_instruction_set")


def instruction_sets_in_bfloat16() -> list[str]:
    """The same of the kernels that compute in bfloat16, the fastest first; the last one emulates AMX, for tests."""
    return _named_by("chainrule_instruction_set_bf16")


@functools.cache
def _named_by(function: str) -> list[str]:
    """What a function of the library gives for 0, 1 and so on, until it gives nothing."""
    found = []
    while library() is not None and (name := getattr(library(), function)(len(found))) is not None:
        found.append(name.decode())
    return found


def use_instruction_set(name: str) -> None:
    """All further calls of kernels, also from programs that are compiled already, use these instructions.

    The kernels that compute in bfloat16 have instructions of their own, chosen apart from the others.
    """
    if name in instruction_sets():
        library().chainrule_use_instruction_set(instruction_sets().index(name))
    else:
        library().chainrule_use_instruction_set_bf16(instruction_sets_in_bfloat16().index(name))


@functools.cache
def _register(target: str) -> None:
    """Make a function of the library known to XLA under its own name."""
    jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library(), target)), platform="cpu")


class Kernel:
    """An operation on arrays with C++ code for it.

    Calling it is what an operation does once it has found that the kernel serves its arrays (their type, their ranks).

    Args:
        target: the name of the function in the library.
        twin: the same in `jnp`: arrays and settings to a tuple of arrays.
        gradient: `(arrays, results, cotangents, wanted, **settings)` to a gradient for each array, `None` where
            `wanted` is `False`; made of kernels itself. Results of integers have no cotangent. Without a gradient, the
            twin is differentiated.
        attributes: from settings to what the C++ code takes; the settings themselves by default.
        aliases: results written over arrays, `{array: result}`, or a function of `members` and the settings to that.
    """

    def __init__(self, target: str, twin: Callable, gradient: Callable | None = None,
                 attributes: Callable = dict, aliases: dict[int, int] | Callable | None = None):
        self.target, self.twin, self.gradient, self.attributes = target, twin, gradient, attributes
        self.aliases = aliases or {}
        self._primitive = self._make_primitive()
        self._tangent = self._make_tangent() if gradient else None

    def __call__(self, *arrays, **settings) -> list[jax.Array]:
        return self._primitive.bind(*arrays, members=(False,) * len(arrays), **settings)

    def _run_twin(self, *arrays, members, **settings):
        """The twin, mapped over the members of a population where there are any."""
        function = functools.partial(self.twin, **settings)
        if any(members):
            function = jax.vmap(function, in_axes=[0 if member else None for member in members])
        return list(function(*arrays))

    def _make_primitive(self) -> Primitive:
        primitive = Primitive(self.target)
        primitive.multiple_results = True

        @primitive.def_impl
        def run(*arrays, **settings):
            return _run_alone(primitive, tuple(sorted(settings.items())))(*arrays)

        @primitive.def_abstract_eval
        def shapes(*arrays, **settings):
            results = jax.eval_shape(functools.partial(self._run_twin, **settings),
                                     *[jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays])
            return [jax.core.ShapedArray(result.shape, result.dtype) for result in results]

        def lower(context, *arrays, members, **settings):
            if not active():
                return mlir.lower_fun(self._run_twin, multiple_results=True)(
                    context, *arrays, members=members, **settings)
            _register(self.target)
            aliases = self.aliases(members, **settings) if callable(self.aliases) else self.aliases
            shapes_in, shapes_out = ([aval.shape for aval in avals] for avals in (context.avals_in, context.avals_out))
            aliases = {array: result for array, result in aliases.items()
                       if shapes_in[array] == shapes_out[result]}  # not where all members share the array
            rule = jax.ffi.ffi_lowering(self.target, operand_output_aliases=aliases)
            return rule(context, *arrays, **_plain(self.attributes(settings)))

        mlir.register_lowering(primitive, mlir.lower_fun(self._run_twin, multiple_results=True))
        mlir.register_lowering(primitive, lower, platform="cpu")
        ad.primitive_jvps[primitive] = self._jvp
        batching.primitive_batchers[primitive] = self._batch
        return primitive

    def _batch(self, arrays, axes, *, members, **settings):
        """One axis more: that of a population, which the C++ code takes in front, or one around it."""
        if any(members):
            function = functools.partial(self._run_twin, members=members, **settings)
            results = jax.vmap(function, in_axes=list(axes))(*arrays)
        else:
            arrays = [array if axis is None else jnp.moveaxis(array, axis, 0)
                      for array, axis in zip(arrays, axes, strict=True)]
            results = self._primitive.bind(*arrays, members=tuple(axis is not None for axis in axes), **settings)
        return results, [0] * len(results)

    def _jvp(self, arrays, tangents, *, members, **settings):
        """The results, and a linear function of the tangents that are there."""
        results = self._primitive.bind(*arrays, members=members, **settings)
        moved = tuple(not isinstance(tangent, ad.Zero) for tangent in tangents)
        present = [tangent for tangent in tangents if not isinstance(tangent, ad.Zero)]
        if self._tangent is None:
            found = _tangents(self._run_twin, arrays, present, moved, members=members, **settings)
        else:
            found = self._tangent.bind(*arrays, *results, *present, moved=moved, members=members,
                                       settings=tuple(sorted(settings.items())))
        found = iter(found)
        return results, [next(found) if _moves(result) else ad.Zero(jax.typeof(result).to_tangent_aval())
                         for result in results]

    def _make_tangent(self) -> Primitive:
        """The derivative as a linear primitive: its transpose is the kernel's own gradient."""
        primitive = Primitive(f"{self.target}_tangent")
        primitive.multiple_results = True

        def run(*operands, moved, members, settings):
            arrays, present = operands[:len(moved)], operands[len(operands) - sum(moved):]
            return _tangents(self._run_twin, arrays, present, moved, members=members, **dict(settings))

        @primitive.def_impl
        def run_alone(*operands, **parameters):
            return jax.jit(functools.partial(run, **parameters))(*operands)

        @primitive.def_abstract_eval
        def shapes(*operands, moved, members, settings):
            return [result.to_tangent_aval() for result in operands[len(moved):len(operands) - sum(moved)]
                    if _moves(result)]

        def transpose(cotangents, *operands, moved, members, settings):
            arrays, results = operands[:len(moved)], operands[len(moved):len(operands) - sum(moved)]
            cotangents = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
            gradient = self._gradient_of_members if any(members) else self._gradient_of_one
            gradients = gradient(arrays, results, cotangents, moved, members, dict(settings))
            found = [gradient for gradient, wanted in zip(gradients, moved, strict=True) if wanted]
            return [None] * (len(arrays) + len(results)) + found

        def batch(operands, axes, **parameters):
            results = jax.vmap(functools.partial(run, **parameters), in_axes=list(axes))(*operands)
            return results, [0] * len(results)

        mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=True))
        ad.primitive_jvps[primitive] = functools.partial(_jvp_through, run)
        ad.primitive_transposes[primitive] = transpose
        batching.primitive_batchers[primitive] = batch
        return primitive

    def _gradient_of_one(self, arrays, results, cotangents, wanted, members, settings):
        return self.gradient(arrays, results, cotangents, wanted, **settings)

    def _gradient_of_members(self, arrays, results, cotangents, wanted, members, settings):
        """The gradient of each member; of an array that all share, the sum of them."""
        def one(arrays, results, cotangents):
            gradients = self.gradient(arrays, results, cotangents, wanted, **settings)
            return [gradient for gradient, is_wanted in zip(gradients, wanted, strict=True) if is_wanted]

        axes = [0 if member else None for member in members]
        found = iter(jax.vmap(one, in_axes=(axes, 0, 0))(list(arrays), list(results), list(cotangents)))
        gradients = [next(found) if is_wanted else None for is_wanted in wanted]
        return [gradient if gradient is None or member else gradient.sum(0)
                for gradient, member in zip(gradients, members, strict=True)]


def _tangents(function: Callable, arrays, present, moved, **settings):
    """The derivative of a function at `arrays` along the tangents of those that move, of its results that can."""
    fixed = list(arrays)
    places = [place for place, moves in enumerate(moved) if moves]

    def of_moved(*values):
        for place, value in zip(places, values, strict=True):
            fixed[place] = value
        return function(*fixed, **settings)

    found = jax.jvp(of_moved, [arrays[place] for place in places], list(present))[1]
    return [tangent for tangent in found if tangent.dtype != jax.dtypes.float0]


def _moves(result) -> bool:
    """Whether it has a derivative: integers have none."""
    return jnp.issubdtype(result.dtype, jnp.inexact)


def _jvp_through(function: Callable, operands, tangents, **parameters):
    """The derivative of a primitive that is an ordinary function."""
    filled = [ad.instantiate_zeros(tangent) for tangent in tangents]
    return jax.jvp(functools.partial(function, **parameters), operands, filled)


@functools.cache
def _run_alone(primitive: Primitive, settings: tuple):
    """A primitive outside any compiled function."""
    return jax.jit(lambda *arrays: primitive.bind(*arrays, **dict(settings)))


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes in the types that C++ reads: 64-bit integers, booleans, floats and arrays of integers."""
    def plain(value):
        if isinstance(value, tuple):
            return np.asarray(value, np.int64)
        if isinstance(value, (bool, np.bool_, str)):
            return value
        return np.int64(value) if isinstance(value, (int, np.integer)) else np.float32(value)

    return {name: plain(value) for name, value in attributes.items()}


def report() -> Report:
    """Which kernels there are, and in which instructions.

    Example:
        >>> report().available == bool(report().instruction_set)
        True
    """
    from chainrule.kernels import convolution, dense, dense_bf16, normalisation, optimizer, order, pooling, recurrence
    if library() is None:
        return Report(False, "they were not built: no C++ compiler was found when chainrule was installed", "", [], [])
    modules = (convolution, dense, dense_bf16, normalisation, optimizer, order, pooling, recurrence)
    names = sorted(kernel.target.removeprefix("chainrule_") for module in modules
                   for kernel in vars(module).values() if isinstance(kernel, Kernel))
    return Report(True, "", instruction_sets()[0], instruction_sets(), names,
                  next(iter(instruction_sets_in_bfloat16()), ""), library().chainrule_unused_amx().decode())
