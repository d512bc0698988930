"""How arrays meet a layer: a layer and all it contains become one pure function of weights, state and input.

`Call` is one evaluation. It makes a copy of each layer with arrays where the declarations of weights stood, so that
`call` reads `self.kernel` and finds numbers; it hands out keys and masks, and collects what comes out beside the
output: new state, penalties on activities, masks. Nothing here outlives the evaluation.
"""
import copy
import functools
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chainrule import initializers
from chainrule.errors import NotReadyError, SettingError, ShapeError, format_shape
from chainrule.ops import random
from chainrule.precision import compute_dtype, variable_dtype

Tree = dict[str, Any]  # arrays in nested dicts, keyed by layer and weight names

# Sizes that stand in for open axes while a network is described: the batch axis, any other. What changes between the
# first and the second is open in the output too. They are unlikely as real sizes, large enough for deep stacks of
# windows, and so far apart that strides, however many, do not bring both to one size.
_PROBES = ((7907, 211), (7919, 499))


@dataclass(frozen=True)
class ArraySpec:
    """The shape (open axes `None`) and dtype of an array that is not there."""

    shape: tuple[int | None, ...]
    dtype: str


class Call:
    """One evaluation of a layer and all it contains.

    Args:
        root: the layer that is evaluated.
        weights, state: its arrays, nested dicts by layer and weight name.
        key: where random numbers come from; `None` where nothing may be random.
        training: whether layers behave as in training.
        rows: which rows of the batch are real, `(batch,)` booleans; `None` for all. A short last batch is padded, and
            layers that take statistics over the batch receive this.
        settings: values that replace plain numbers among the settings, by path: `{"dropout/rate": 0.3}`.
        dtype: the precision of the network; the attribute is the type of numbers in which its layers compute.
        declaring: whether sublayers that are not built yet are built on the way, their weights standing in as zeros.
    """

    def __init__(self, root, weights: Tree, state: Tree, *, key=None, training: bool = False, rows=None,
                 settings: Mapping[str, Any] | None = None, dtype: str = "float32", declaring: bool = False):
        self.root, self.weights, self.state = root, weights, state
        self.key, self.training, self.rows = key, training, rows
        self.settings, self.policy, self.declaring = settings or {}, dtype, declaring
        self.dtype, self.variable_dtype = compute_dtype(dtype), variable_dtype(dtype)
        self.new_state = jax.tree.map(lambda leaf: leaf, state)  # a copy of the dicts, not of the arrays
        self.losses: list[jax.Array] = []
        self.mixings: list[tuple[jax.Array, jax.Array]] = []
        self.merges = 0  # how many times members that are trained were made one prediction
        self.observe: Callable | None = None  # called with (path, layer, output) after each layer
        self.fuses = True  # whether an activation may be one pass with what enters it, which then nobody sees
        self.checks_inputs = True  # whether inputs must have the shapes that were declared
        self.sizes = _PROBES[0]  # while a network is described: what stands in for its open axes
        self._paths = layer_paths(root)
        self._frozen = frozen_paths(root)
        self._copies: dict[int, Any] = {}
        self._counts: dict[str, int] = {}
        self._masks: dict[int, tuple[Any, Any]] = {}
        self._entered: dict[int, tuple[Any, Callable, Any]] = {}
        self._merged: dict[int, tuple[Any, Callable, Any]] = {}

    def copy(self, layer):
        """The copy of a layer that reads this call's arrays."""
        if id(layer) not in self._copies:
            self._copies[id(layer)] = bound = object.__new__(type(layer))
            self._fill(bound, layer)
        return self._copies[id(layer)]

    def path(self, layer) -> str:
        """Where a layer stands: the names from the root down, joined by `/`."""
        if id(layer) not in self._paths:
            self._paths = layer_paths(self.root)
        return self._paths[id(layer)]

    def run(self, bound, inputs: tuple, options: dict):
        """Call a bound copy: the one place that every evaluation of every layer passes through."""
        layer, path = bound._origin, self.path(bound._origin)
        if self.declaring and not layer.built:
            with jax.ensure_compile_time_eval():
                layer.ensure_built(*_declared_shapes(inputs))
            self._fill(bound, layer)
        accepts = layer.accepted_options()
        mask = options.get("mask", self.mask_of(inputs))
        computed = self.computed_dtype(layer)
        if computed is not None and layer.casts_inputs:
            inputs, options = self.cast((inputs, options), computed)
        training = self.training if options.get("training") is None else bool(options["training"])
        offered = {"training": lambda: training, "mask": lambda: mask, "rows": lambda: self.rows,
                   "key": lambda: self._next_key(path)}
        for name, offer in offered.items():
            if name in accepts:
                options.setdefault(name, offer())
            elif name in ("training", "mask"):
                options.pop(name, None)  # it holds for the layers inside, or goes with the output
        around, self.training = self.training, training
        try:
            outputs = type(layer).call(bound, *inputs, **options)
        except (TypeError, ValueError) as error:
            if not getattr(error, "__notes__", None):
                error.add_note(f"This happened in {layer.describe(path)}, called on {describe_arrays(inputs)}.")
                if "key" in options and options["key"] is None and "PRNG key" in str(error):
                    error.add_note(
                        "Its `call` draws from `key`, and there is none: outside of training none is given. Draw "
                        "where key is not None, or hand one in: model.apply(weights, state, x, key=...).")
            raise
        except AttributeError as error:
            if "assign" in str(error):
                raise SettingError(
                    f"`call` of {layer.describe(path)} calls `assign` on an array. State is assigned by its name: "
                    f"self.n = self.n + 1, after self.n = self.add_weight(..., trainable=False) in `build`."
                ) from error
            raise
        finally:
            self.training = around
        if computed is not None:
            outputs = self.cast(outputs, computed)
        if layer is self.root and self.dtype != self.variable_dtype:
            outputs = jax.tree.map(self._leave, outputs)
        if mask is not None:
            self.set_mask(outputs, type(layer).compute_mask(bound, _one(inputs), mask))
        charged = bound.activity_penalty()
        if charged is not None:
            self.losses += [self._activity_penalty(charged, leaf) for leaf in jax.tree.leaves(outputs)]
        if self.observe is not None:
            self.observe(path, bound, outputs)
        return outputs

    def computed_dtype(self, layer) -> str | None:
        """The type that a layer's floating-point arrays are cast to; `None` where nothing is cast.

        Networks and the places where data enter cast nothing: the layers inside and behind them do.
        """
        if self.dtype == self.variable_dtype or not layer.casts:
            return None
        return layer.dtype if layer.dtype == self.variable_dtype else self.dtype

    def cast(self, structure, dtype: str):
        """The floating-point arrays of a structure in one type, with the masks that go with them."""

        def cast(leaf):
            if not jnp.issubdtype(getattr(leaf, "dtype", np.int32), jnp.floating) or leaf.dtype == dtype:
                return leaf
            return self._replaced(leaf, jnp.asarray(leaf).astype(dtype))

        return jax.tree.map(cast, structure)

    def _replaced(self, array, replacement):
        """An array in the place of another; the mask, what entered the activation and the members go with it."""
        _, mask = self._masks.get(id(array), (None, None))
        self.set_mask(replacement, mask)
        for origins in (self._entered, self._merged):
            if id(array) in origins:
                origins[id(replacement)] = (replacement, *origins[id(array)][1:])
        return replacement

    def _leave(self, outputs):
        """What leaves the network, in the variables' type: its activation function is computed in it too."""
        if not jnp.issubdtype(outputs.dtype, jnp.floating) or outputs.dtype == self.variable_dtype:
            return outputs
        if id(outputs) in self._merged:
            _, function, members = self._merged[id(outputs)]
            members = self._leave(members)
            left = self._replaced(outputs, function(members))
            self._merged[id(left)] = (left, function, members)
            return left
        function, z = self.before_activation(outputs) or (None, None)
        if function is None or z.shape != outputs.shape:
            return self.cast(outputs, self.variable_dtype)
        z = z.astype(self.variable_dtype)
        left = self._replaced(outputs, function(z))
        self._entered[id(left)] = (left, function, z)
        return left

    def _activity_penalty(self, regularizer, outputs):
        """The penalty on an output, for each real row."""
        if self.dtype != self.variable_dtype:
            outputs = self.cast(outputs, self.variable_dtype)
        if self.rows is None:
            return regularizer(outputs) / outputs.shape[0]
        real = self.rows.reshape(self.rows.shape + (1,) * (outputs.ndim - 1))
        return regularizer(jnp.where(real, outputs, 0)) / jnp.maximum(self.rows.sum(), 1).astype(outputs.dtype)

    def hand_on(self, node, value):
        """What a layer that works before the program begins puts out: arrays that it has prepared.

        While a network is described there are none, and zeros of the same shape stand in for them.
        """
        if self.declaring:
            spec = _probe(node.outputs, *self.sizes)
            value = jnp.zeros(spec.shape, spec.dtype)
        value = jnp.asarray(value)
        value = value.astype(self.variable_dtype) if jnp.issubdtype(value.dtype, jnp.floating) else value
        if self.observe is not None:
            self.observe(self.path(node.layer), self.copy(node.layer), value)
        return value

    def activate(self, path: str, function: Callable, z):
        """Apply the activation function of the layer at `path`, and remember what went into it."""
        y = function(z)
        self._entered[id(y)] = (y, function, z)
        return y

    def before_activation(self, y) -> tuple[Callable, Any] | None:
        """The activation function that an array came out of last, and what went into it; `None` where there is none."""
        found = self._entered.get(id(y))
        return found and found[1:]

    def assign(self, bound, name: str, value) -> None:
        """Take in an assignment inside `call`: to state, or an error."""
        declared = bound._origin.__dict__.get(name)
        bound.__dict__[name] = self.assigned(bound, f"self.{name}", declared, bound.__dict__.get(name), value)

    def assigned(self, bound, what: str, declared, present, value):
        """The array that a state declared as `declared` now holds: what `call` of a layer assigned, checked."""
        path = self.path(bound._origin)
        is_state = hasattr(declared, "trainable") and not declared.trainable and hasattr(declared, "initializer")
        if not is_state:
            raise SettingError(
                f"`call` of {bound._origin.describe(path)} assigns {what}. A layer computes without changing "
                f"itself: only state may be assigned, declared in `build` by add_weight(..., trainable=False).")
        value = jnp.asarray(value).astype(present.dtype)
        if value.shape != declared.shape:
            raise ShapeError(
                f"`call` of {bound._origin.describe(path)} assigns {what} an array of shape "
                f"{format_shape(value.shape)}; the state was declared with shape {format_shape(declared.shape)}.")
        branch(self.new_state, path)[declared.name] = value
        return value

    def mask_of(self, inputs):
        """The mask that came with the inputs, if any: for several inputs, the structure of their masks."""
        found = [self._masks.get(id(leaf), (None, None))[1] for leaf in jax.tree.leaves(inputs)]
        if all(mask is None for mask in found):
            return None
        return found[0] if len(found) == 1 else found

    def set_mask(self, outputs, mask) -> None:
        """Say which entries of an output are real; layers after it receive this."""
        if mask is not None:
            leaves = jax.tree.leaves(outputs)
            masks = mask if isinstance(mask, (list, tuple)) else [mask] * len(leaves)
            for leaf, its_mask in zip(leaves, masks, strict=False):
                self._masks[id(leaf)] = (leaf, its_mask)  # the array is kept, so that its id stays its own

    def add_loss(self, loss) -> None:
        """Add a scalar to the training loss."""
        self.losses.append(self.cast(loss, self.variable_dtype))

    def mix_targets(self, partner, share) -> None:
        """Say that each row now is a mixture of itself and another row of the batch, so that the loss mixes too.

        Args:
            partner: `(batch,)`, the number of the other row.
            share: `(batch,)`, from 0 to 1, how much of the row is its own. Its loss becomes
                `share * loss(own target) + (1 - share) * loss(partner's target)`.
        """
        self.mixings.append((partner, share))

    def merge_members(self, layer, function: Callable, members):
        """The predictions of an ensemble's members made into one, and remembered: in training each has its own loss.

        Args:
            layer: the bound copy that merges. Where it is frozen, what stands behind it may be trained.
            function: makes one prediction, `(batch, ...)`, of `members`.
            members: their predictions, `(batch, members, ...)`.
        """
        merged = function(members)
        self.merges += self.path(layer._origin) not in self._frozen
        self._merged[id(merged)] = (merged, function, members)
        return merged

    def members_of(self, y):
        """The members' predictions that an array was merged of, `(batch, members, ...)`; `None` where it was not."""
        found = self._merged.get(id(y))
        return found and found[2]

    def _next_key(self, path: str):
        """The key for the next use of a layer: its own by name, so that adding a layer moves no other's numbers."""
        if self.key is None:
            return None
        count = self._counts[path] = self._counts.get(path, -1) + 1
        return random.typed(random.fold_in(self.key, path_number(path) + count))

    def _fill(self, bound, layer) -> None:
        path = self.path(layer)
        own_weights, own_state = lookup(self.weights, path), lookup(self.state, path)
        prefix = f"{path}/" if path else ""
        if not self.declaring:
            layer.check_precision(self.policy, path)
        computed = self.computed_dtype(layer) if layer.casts_weights else None

        def value(weight):
            if self.declaring:
                return jnp.zeros(weight.shape, weight.dtype or self.dtype)
            source = own_weights if weight.trainable else own_state
            if weight.name not in source:
                raise NotReadyError(
                    f"There is no array for the weight {prefix}{weight.name}. Make them all with "
                    f"`weights, state = model.init(key)`.")
            casts = computed is not None and weight.trainable and weight.dtype is None
            return self.cast(source[weight.name], computed) if casts else source[weight.name]

        layer.bind(bound, self, value)
        if path in self._frozen:
            bound.__dict__["trainable"] = False  # also where it is a layer around this one that is frozen
        if "_activate" in bound.__dict__:
            bound.__dict__["_activate"] = functools.partial(self.activate, path, bound._activate)
        for name, replacement in self.settings.items():
            if name.startswith(prefix):
                _replace(bound, name[len(prefix):].split("/"), replacement)


def _replace(bound, steps: list[str], value) -> None:
    """Set a plain number among the settings of a bound copy; other layers' paths are passed over."""
    target = bound.__dict__
    if steps[0] not in target or hasattr(target[steps[0]], "call"):
        return
    if len(steps) == 2 and isinstance(target[steps[0]], (str, type(None))):
        return  # a regulariser given by its name: `penalty` finds it in the weight
    if len(steps) == 2:
        target[steps[0]] = copy.copy(target[steps[0]])
        target = target[steps[0]].__dict__
    target[steps[-1]] = value


def layer_paths(root) -> dict[int, str]:
    """The path of every layer under `root`, by identity. A layer met twice keeps its first path: it is shared."""
    paths = {}
    for path, layer in walk(root):
        paths.setdefault(id(layer), path)
    return paths


def walk(root) -> Iterator[tuple[str, Any]]:
    """Every layer under `root`, itself first, once each, with its path."""
    seen = set()

    def visit(path, layer):
        if id(layer) not in seen:
            seen.add(id(layer))
            yield path, layer
            for name, inner in layer.sublayers().items():
                yield from visit(f"{path}/{name}" if path else name, inner)

    return visit("", root)


def frozen_paths(root) -> frozenset[str]:
    """The paths of the layers whose weights training leaves alone, those inside a frozen layer included."""
    frozen = set()
    for path, layer in walk(root):
        inside = any(path.startswith(f"{outer}/") or not outer for outer in frozen)
        if not layer.trainable or inside:
            frozen.add(path)
    return frozenset(frozen)


def lookup(tree: Tree, path: str) -> Tree:
    """The dict at a path; an empty one where there is none."""
    for step in filter(None, path.split("/")):
        tree = tree.get(step, {})
    return tree


def branch(tree: Tree, path: str) -> Tree:
    """The dict at a path, made where it is missing."""
    for step in filter(None, path.split("/")):
        tree = tree.setdefault(step, {})
    return tree


def path_number(path: str) -> int:
    """An integer for a path, the same on every machine and in every run."""
    return zlib.crc32(path.encode()) & 0x7FFFFFFF


def initialise(root, key, dtype: str = "float32", scale=None,
               settings: Mapping[str, Any] | None = None) -> tuple[Tree, Tree]:
    """Starting weights and state of a built layer, a pure function of the key.

    Each weight draws from a stream of its own, named by its path; `dtype` is the precision of the network. `scale`
    multiplies the weights that are drawn at random and trained. `settings` replace plain numbers among the settings of
    initialisers, by path: `{"dense/kernel_initializer/stddev": 0.1}`.
    """
    weights, state, settings = {}, {}, settings or {}
    for path, layer in walk(root):
        for name, weight in layer.own_weights().items():
            full = f"{path}/{name}"
            initializer = _with_settings(weight.initializer, f"{full.lstrip('/')}_initializer/", settings)
            drawn = initializers.draw(initializer, random.fold_in(key, path_number(full)), weight.shape,
                                      weight.dtype or variable_dtype(dtype))
            drawn = drawn * scale if scale is not None and _is_random(weight) else drawn
            branch(weights if weight.trainable else state, path)[name] = drawn
    return weights, state


def apply(root, weights: Tree, state: Tree, inputs: tuple, options: dict | None = None, **call) -> tuple[Any, Call]:
    """Evaluate a layer: its output, and the call with what else came out of it (`new_state`, `losses`)."""
    evaluation = Call(root, weights, state, **call)
    outputs = evaluation.run(evaluation.copy(root), inputs, dict(options or {}))
    return outputs, evaluation


def infer_outputs(layer, inputs: tuple, options: dict, observe: Callable | None = None):
    """Build a layer for symbolic inputs and tell the shapes and dtypes of its outputs, as `ArraySpec`s.

    `observe` is called twice for each layer inside, with `(path, layer, output)`: once for each set of sizes that
    stands in for open axes.
    """
    is_symbol = lambda leaf: hasattr(leaf, "node")
    shapes = [jax.tree.map(lambda leaf: tuple(leaf.shape), argument) for argument in inputs
              if any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(argument))]
    layer.ensure_built(*shapes)
    leaves, structure = jax.tree.flatten((inputs, options))
    places = [index for index, leaf in enumerate(leaves) if is_symbol(leaf)]

    def evaluate(sizes, *arrays):
        filled = list(leaves)
        for place, array in zip(places, arrays, strict=True):
            filled[place] = array
        arguments, named = jax.tree.unflatten(structure, filled)
        call = Call(layer, {}, {}, key=np.zeros(2, np.uint32), declaring=True)
        call.observe, call.sizes = observe, sizes
        return call.run(call.copy(layer), arguments, dict(named))

    first, second = (jax.eval_shape(functools.partial(evaluate, sizes), *(
        _probe(leaves[place], *sizes) for place in places)) for sizes in _PROBES)
    return jax.tree.map(_merge_probes, first, second)


def _probe(symbol, batch: int, other: int) -> jax.ShapeDtypeStruct:
    shape = [size or (other if axis else batch) for axis, size in enumerate(symbol.shape)]
    stand_in = "uint8" if symbol.dtype == "string" else symbol.dtype  # text has no type in the compiled program
    return jax.ShapeDtypeStruct(shape, stand_in or "float32")


def output_shapes(layer, inputs: tuple) -> dict[str, list[tuple[int | None, ...]]]:
    """The shapes that each layer inside puts out for symbolic inputs, by path, one for each array and use."""
    seen = []
    infer_outputs(layer, inputs, {}, lambda path, _, outputs: seen.extend(
        (path, leaf) for leaf in jax.tree.leaves(outputs)))
    found = {}
    for (path, first), (_, second) in zip(seen[: len(seen) // 2], seen[len(seen) // 2:], strict=True):
        found.setdefault(path, []).append(_merge_probes(first, second).shape)
    return found


def _merge_probes(first, second) -> ArraySpec:
    shape = tuple(size if size == again else None for size, again in zip(first.shape, second.shape, strict=True))
    return ArraySpec(shape, None if first.dtype == np.float32 else str(first.dtype))


def _declared_shapes(inputs: tuple) -> list:
    """The shapes of a sublayer's inputs while a network is described: sizes that stand in are open again."""
    known = {size for sizes in _PROBES for size in sizes}
    clean = lambda leaf: tuple(None if size in known else size for size in leaf.shape)
    return [jax.tree.map(clean, argument) for argument in inputs if jax.tree.leaves(argument)]


def hold(root, weights: Tree, state: Tree) -> None:
    """Put arrays into the store that models made from the same layers share."""
    for path, layer in walk(root):
        own = layer.own_weights()
        if own:
            source = lookup(weights, path) | lookup(state, path)
            layer.__dict__["_held"] = {name: source[name] for name in own}


def held_variables(root, seed: int = 0, dtype: str = "float32") -> tuple[Tree, Tree]:
    """The arrays in the store; those of layers that have none yet are made first, from `seed`."""
    owners = [(path, layer) for path, layer in walk(root) if layer.own_weights()]
    missing = [(path, layer) for path, layer in owners if "_held" not in layer.__dict__]
    if missing:
        # Compiled ahead and called on numbers, so that it is evaluated also where a user's function is being traced.
        words = seed_words(seed)
        weights, state = jax.jit(functools.partial(initialise, root, dtype=dtype)).lower(words).compile()(words)
        for path, layer in missing:
            source = lookup(weights, path) | lookup(state, path)
            layer.__dict__["_held"] = {name: source[name] for name in layer.own_weights()}
    weights, state = {}, {}
    for path, layer in owners:
        for name, weight in layer.own_weights().items():
            branch(weights if weight.trainable else state, path)[name] = layer.__dict__["_held"][name]
    return weights, state


def ordered_weights(root) -> list[tuple[str, Any]]:
    """The declared weights with their paths in Keras's order: layer by layer, trained ones first."""
    entries = []
    for path, layer in walk(root):
        own = sorted(layer.own_weights().items(), key=lambda item: not item[1].trainable)
        entries += [(f"{path}/{name}" if path else name, weight) for name, weight in own]
    return entries


def ordered_arrays(root, weights, state) -> list[tuple[str, Any]]:
    """The arrays with their paths in Keras's order."""
    found = []
    for path, weight in ordered_weights(root):
        layer_path, _, name = path.rpartition("/")
        found.append((path, lookup(weights if weight.trainable else state, layer_path)[name]))
    return found


def replace_arrays(entries, weights, state, arrays, owner: str):
    """`weights` and `state` with the arrays of some entries replaced, every shape held against the declared one."""
    arrays = list(arrays)
    if len(arrays) != len(entries):
        listed = ", ".join(f"{path} {format_shape(weight.shape)}" for path, weight in entries) or "none"
        raise ShapeError(f"{owner} has {len(entries)} weights ({listed}); set_weights got {len(arrays)} arrays.")
    weights, state = (jax.tree.map(lambda leaf: leaf, tree) for tree in (weights, state))
    for (path, weight), array in zip(entries, arrays, strict=True):
        if np.shape(array) != weight.shape:
            raise ShapeError(f"{owner}: the weight {path} has shape {format_shape(weight.shape)}; set_weights got "
                             f"an array of shape {format_shape(np.shape(array))}.")
        layer_path, _, name = path.rpartition("/")
        target = lookup(weights if weight.trainable else state, layer_path)
        target[name] = jnp.asarray(array, target[name].dtype)
    return weights, state


def evaluate_eagerly(layer, inputs: tuple, options: dict, dtype: str = "float32"):
    """Call a layer on arrays with the weights of its store, making them where there are none."""
    key, training = options.pop("key", None), bool(options.pop("training", False))
    inputs = jax.tree.map(jnp.asarray, inputs)
    build_from_arrays(layer, inputs)
    _check_is_held(layer, inputs)
    weights, state = held_variables(layer, dtype=dtype)
    return apply(layer, weights, state, inputs, options, key=key, training=training, dtype=dtype)[0]


def _check_is_held(layer, inputs: tuple) -> None:
    """Raise where a layer is called inside the `call` of another that does not hold it: it could not be trained.

    That is seen while a network is described, by the sizes that stand in for open axes then.
    """
    described = any(isinstance(leaf, jax.core.Tracer) and leaf.shape[:1] in [(sizes[0],) for sizes in _PROBES]
                    for leaf in jax.tree.leaves(inputs))
    acts = [inner for _, inner in walk(layer) if inner.own_weights() or "training" in inner.accepted_options()]
    if described and acts:
        text = layer.describe()
        raise SettingError(
            f"{text[0].upper()}{text[1:]} is called inside a layer or function that does not hold it, so its weights "
            f"could not be found and trained. Keep it in an attribute, made in `__init__` or `build`: "
            f"self.inner = {type(layer).__name__}(...), and call self.inner.")


def build_from_arrays(layer, inputs: tuple) -> None:
    """Build a layer, and all it contains, for inputs like these arrays."""
    if not layer.built:
        infer_outputs(layer, jax.tree.map(lambda leaf: _Probe((None, *leaf.shape[1:]), str(leaf.dtype)), inputs), {})


@dataclass(eq=False)
class _Probe:
    """A symbol without a history, for building a layer from arrays."""

    shape: tuple[int | None, ...]
    dtype: str
    node: None = None


def penalty(root, weights: Tree, settings: Mapping[str, Any] | None = None):
    """The sum of the regularisers' penalties on the trainable weights; `None` where there are none."""
    settings, frozen = settings or {}, frozen_paths(root)
    terms = []
    for path, layer in walk(root):
        for name, weight in layer.own_weights().items():
            if weight.regularizer is not None and weight.trainable and path not in frozen:
                prefix = f"{path}/{name}_regularizer/" if path else f"{name}_regularizer/"
                regularizer = _with_settings(weight.regularizer, prefix, settings)
                terms.append(regularizer(lookup(weights, path)[name]))
    return sum(terms[1:], terms[0]) if terms else None


def _is_random(weight) -> bool:
    """Whether the first values of a weight are drawn, and training changes them."""
    fixed = (initializers.Zeros, initializers.Ones, initializers.Constant, initializers.Identity)
    return weight.trainable and not isinstance(weight.initializer, fixed)


def _with_settings(part, prefix: str, settings: Mapping[str, Any]):
    """An initialiser or regulariser with those numbers replaced whose paths begin with `prefix`."""
    replaced = {key[len(prefix):]: value for key, value in settings.items() if key.startswith(prefix)}
    if replaced:
        part = copy.copy(part)
        part.__dict__.update(replaced)
    return part


def seed_words(seed: int) -> np.ndarray:
    """A key for a seed, made without JAX: seeds of up to 64 bits."""
    return np.array([(seed >> 32) & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)


def describe_arrays(structure) -> str:
    """Shapes and dtypes of the arrays in a structure, for messages."""
    leaves = [leaf for leaf in jax.tree.leaves(structure) if hasattr(leaf, "shape")]
    return ", ".join(f"{format_shape(leaf.shape)} {leaf.dtype}" for leaf in leaves) or "no arrays"


def _one(inputs: tuple):
    return inputs[0] if len(inputs) == 1 else inputs

