"""A check of a layer of one's own: whether it keeps what layers promise."""
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chainrule import activations, constraints, initializers, regularizers
from chainrule.configuration import deserialize, serialize
from chainrule.errors import ChainruleError, SettingError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.binding import apply, infer_outputs, initialise, seed_words, walk
from chainrule.layers.symbol import Symbol
from chainrule.precision import precision

ROWS = 4


@dataclass(frozen=True)
class Finding:
    """One promise of a layer.

    Attributes:
        promise: what was looked at: `"it builds"`.
        kept: whether it holds; `None` where it was not looked at, because an earlier one does not.
        detail: what was seen, and the likely fix where it does not hold.
    """

    promise: str
    kept: bool | None
    detail: str


@dataclass(frozen=True)
class LayerReport:
    """What `check_layer` found; printed, a table.

    Attributes:
        layer: the layer as text.
        findings: one for each promise.
    """

    layer: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every promise is kept."""
        return all(finding.kept for finding in self.findings)

    @property
    def failed(self) -> list[Finding]:
        """The promises that are not kept."""
        return [finding for finding in self.findings if finding.kept is False]

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        marks = {True: "kept", False: "BROKEN", None: "skipped"}
        width = max(len(finding.promise) for finding in self.findings)
        lines = [f"{finding.promise.ljust(width)}  {marks[finding.kept].ljust(7)}  {finding.detail}".rstrip()
                 for finding in self.findings]
        return "\n".join([self.layer, *lines])


def check_layer(layer: Layer, input_shape, *, dtype: str = "float32", seed: int = 0) -> LayerReport:
    """Try a layer on random rows and tell which promises it keeps.

    It builds; declared shapes are the computed ones for any number of rows; the precision is kept; the same input, key
    and weights give the same output, compiled or not; the gradient is that of differences (in 64 bits, along random
    directions of each array); its settings make an equal layer, as loading a file does.

    Args:
        layer: the layer; it is built by this, its weights stay as they are.
        input_shape: the shape of one row, `None` for open axes; a list of shapes for several inputs.
        dtype: of the input: `"float32"`, or `"int32"` for a layer that takes small integers.
        seed: of weights, rows and directions.

    Returns:
        A `LayerReport`: `report.passed`, `report.failed`, and a table when printed.

    Example:
        >>> class Scale(Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight((input_shape[-1],), "ones")
        ...     def call(self, x):
        ...         return x * self.factor
        >>> check_layer(Scale(), (3,)).passed
        True
    """
    if not isinstance(layer, Layer):
        raise SettingError(
            f"check_layer takes a layer and the shape of a row: check_layer(Dense(3), (4,)); got {layer!r}.")
    trial = _Trial(layer, input_shape, np.dtype(dtype), seed)
    promises: list[tuple[str, Callable[[], str]]] = [
        ("it builds", trial.builds), ("declared shape is computed shape", trial.shapes),
        ("precision is kept", trial.precision_is_kept), ("same input, same output", trial.is_deterministic),
        ("gradient is that of differences", trial.differentiates), ("settings make an equal layer", trial.saves)]
    findings: list[Finding] = []
    for promise, look in promises:
        if findings and findings[0].kept is False:
            findings.append(Finding(promise, None, ""))
            continue
        try:
            findings.append(Finding(promise, True, look()))
        except _Broken as broken:
            findings.append(Finding(promise, False, str(broken)))
        except Exception as error:  # a user's code may raise anything, and the report says what
            hint = "" if isinstance(error, ChainruleError) else _HINTS.get(promise, "")
            said = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "no message"
            findings.append(Finding(promise, False, f"{type(error).__name__}: {said}.{hint}"))
    return LayerReport(repr(layer), tuple(findings))


_HINTS = {
    "it builds": " `build` takes the input's shape, batch axis included (None); `call` takes arrays and uses jnp.",
    "settings make an equal layer": " Every setting must be an argument of __init__, kept as it was given.",
}


class _Broken(Exception):
    """A promise that is not kept."""


class _Trial:
    """A layer, random rows for it, and what is computed with them."""

    def __init__(self, layer: Layer, input_shape, dtype, seed: int):
        several = isinstance(input_shape, list) or (
            isinstance(input_shape, tuple) and any(isinstance(size, (tuple, list)) for size in input_shape))
        self.layer, self.dtype, self.seed = layer, dtype, seed
        self.shapes_of_rows = [tuple(shape) for shape in input_shape] if several else [tuple(input_shape)]
        self.pack = (lambda items: list(items)) if several else (lambda items: items[0])
        self.key = seed_words(seed)

    def rows(self, count: int = ROWS, wide: bool = False):
        """Random rows, open axes with 5 entries."""
        draw = np.random.default_rng(self.seed)
        shapes = [(count, *(size or 5 for size in shape)) for shape in self.shapes_of_rows]
        if self.dtype.kind in "iu":
            return self.pack([draw.integers(0, 2, shape).astype(self.dtype) for shape in shapes])
        return self.pack([draw.normal(size=shape).astype("float64" if wide else self.dtype) for shape in shapes])

    def evaluate(self, layer, weights, state, x, training=False, dtype="float32"):
        outputs, call = apply(layer, weights, state, (x,), key=self.key, training=training, dtype=dtype)
        return outputs, call.new_state

    def builds(self) -> str:
        dtype = None if self.dtype.kind == "f" else str(self.dtype)
        symbols = self.pack([Symbol((None, *shape), dtype) for shape in self.shapes_of_rows])
        self.declared = infer_outputs(self.layer, (symbols,), {})
        self.weights, self.state = initialise(self.layer, self.key)
        declared = [f"{path}/{name}".lstrip("/") + f" {format_shape(weight.shape)}"
                    for path, inner in walk(self.layer) for name, weight in inner.own_weights().items()]
        return ", ".join(declared) or "no weights"

    def shapes(self) -> str:
        specs = jax.tree.leaves(self.declared)
        for count in (ROWS, 1):
            outputs, _ = self.evaluate(self.layer, self.weights, self.state, self.rows(count))
            for spec, output in zip(specs, jax.tree.leaves(outputs), strict=True):
                if len(spec.shape) != output.ndim or output.shape[0] != count or any(
                        size not in (None, got) for size, got in zip(spec.shape, output.shape, strict=True)):
                    raise _Broken(f"declared {format_shape(spec.shape)}, computed {format_shape(output.shape)} for "
                                  f"{count} rows: `call` must keep the batch axis first and whole.")
        own = type(self.layer).compute_output_shape
        if own is not Layer.compute_output_shape:
            said = own(self.layer, self.pack([(None, *shape) for shape in self.shapes_of_rows]))
            if len(specs) == 1 and tuple(said) != specs[0].shape:
                raise _Broken(f"compute_output_shape says {format_shape(said)}, `call` gives "
                              f"{format_shape(specs[0].shape)}. It may be left out: shapes are found by themselves.")
        return ", ".join(format_shape(spec.shape) for spec in specs)

    def precision_is_kept(self) -> str:
        for dtype in ("float32", "float64"):
            with precision(dtype):
                weights, state = initialise(self.layer, self.key, dtype)
                x = self.rows(wide=dtype == "float64")
                outputs, new_state = self.evaluate(self.layer, weights, state, x, dtype=dtype)
                for leaf in jax.tree.leaves(outputs):
                    if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype != dtype:
                        raise _Broken(f"{dtype} comes out as {leaf.dtype}. Constants of `call` must be plain numbers, "
                                      f"or arrays of x.dtype.")
        return "float32, float64"

    def is_deterministic(self) -> str:
        for training in (False, True):
            run = lambda weights, state, x, training=training: self.evaluate(self.layer, weights, state, x, training)
            x = self.rows()
            first, second, compiled = (jax.tree.leaves(function(self.weights, self.state, x))
                                       for function in (run, run, jax.jit(run)))
            mode = "in training" if training else "outside training"
            for one, two, three in zip(first, second, compiled, strict=True):
                if not np.array_equal(one, two, equal_nan=True):
                    raise _Broken(f"two calls differ {mode}. Draw random numbers from the `key` that `call` may take.")
                if not np.allclose(one, three, rtol=1e-4, atol=1e-5, equal_nan=True):
                    raise _Broken(f"compiled and uncompiled differ {mode}. `call` must use jnp, not NumPy, and no "
                                  f"values that change from call to call.")
        return "compiled or not"

    def differentiates(self) -> str:
        with precision("float64"):
            wide = lambda leaf: jnp.asarray(leaf, "float64") if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
            weights, state = jax.tree.map(wide, (self.weights, self.state))
            x = self.rows(wide=True)
            draw = np.random.default_rng(self.seed + 1)
            outputs = self.evaluate(self.layer, weights, state, x, True, "float64")[0]
            factors = [jnp.asarray(draw.normal(size=leaf.shape)) for leaf in jax.tree.leaves(outputs)]

            def total(moved):
                weights, x = moved
                leaves = jax.tree.leaves(self.evaluate(self.layer, weights, state, x, True, "float64")[0])
                return sum(jnp.sum(leaf * factor) for leaf, factor in zip(leaves, factors, strict=True))

            moved = (weights, x if self.dtype.kind == "f" else {})
            value = jax.jit(total if self.dtype.kind == "f" else lambda moved: total((moved[0], x)))
            if not jnp.issubdtype(jax.tree.leaves(outputs)[0].dtype, jnp.floating) or not jax.tree.leaves(moved):
                return "nothing to differentiate"
            worst = self._compare(value, moved, draw)
        return f"largest error {worst:.0e}"

    def _compare(self, value, moved, draw) -> float:
        """The gradient along a random direction of each array, against differences."""
        gradient, worst = jax.grad(value)(moved), 0.0
        paths, leaves = zip(*jax.tree_util.tree_flatten_with_path(moved)[0], strict=True)
        slopes, structure = jax.tree.leaves(gradient), jax.tree.structure(moved)
        for index, (path, leaf, slope) in enumerate(zip(paths, leaves, slopes, strict=True)):
            direction = draw.normal(size=leaf.shape)
            at = lambda step, index=index, leaf=leaf, direction=direction: value(structure.unflatten(
                [*leaves[:index], leaf + step * direction, *leaves[index + 1:]]))
            difference = float(at(1e-6) - at(-1e-6)) / 2e-6
            derivative = float(jnp.sum(slope * direction))
            error = abs(difference - derivative) / max(1e-3, abs(difference), abs(derivative))
            label = "the input" if path[0].idx == 1 else "/".join(str(step.key) for step in path[1:])
            if not error < 1e-4:
                raise _Broken(f"along {label} the derivative is {derivative:.6g}, differences say {difference:.6g}. "
                              f"Look for rounding, stop_gradient or a custom derivative in `call`.")
            worst = max(worst, error)
        return worst

    def saves(self) -> str:
        from chainrule import layers as catalogue  # here, because the catalogue lists this function

        listed = [activations, catalogue, constraints, initializers, regularizers]
        registries = {module.registry.kind: module.registry for module in listed}
        custom = {type(inner).__name__: type(inner) for _, inner in walk(self.layer)
                  if type(inner) not in catalogue.registry}
        text = json.dumps(serialize(self.layer, registries))
        again: Any = deserialize(json.loads(text), registries, custom)
        if json.dumps(serialize(again, registries)) != text:
            raise _Broken("the layer made of its settings has other settings. Keep each argument of __init__ as given.")
        infer_outputs(again, (self.pack([Symbol((None, *shape)) for shape in self.shapes_of_rows]),), {})
        x = self.rows()
        first, second = (jax.tree.leaves(self.evaluate(layer, self.weights, self.state, x)[0])
                         for layer in (self.layer, again))
        if any(not np.array_equal(one, two, equal_nan=True) for one, two in zip(first, second, strict=True)):
            raise _Broken("the layer made of its settings computes something else with the same weights. What `call` "
                          "uses must follow from arguments of __init__ and from weights.")
        return ", ".join(sorted(custom) and [f"custom_objects: {', '.join(sorted(custom))}"]) or "built in"
