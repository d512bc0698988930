"""Networks: layers connected by nodes, and themselves layers, so that they nest."""
import functools
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from chainrule.configuration import SymbolNumber
from chainrule.errors import SettingError, ShapeError, UnknownNameError, did_you_mean, format_shape
from chainrule.layers.base import Layer, default_name
from chainrule.layers.symbol import Node, Symbol


class InputLayer(Layer):
    """The place where data enters a network: `Input` makes one.

    Args:
        shape: the shape of one row, `None` for open axes.
        batch_size: the rows of every batch, where they are fixed.
        dtype: what arrays are converted to on entering; by default the precision of the network.
    """

    shape: tuple[int | None, ...] = ()
    batch_size: int | None = None

    has_own_dtype = True
    each_step = True
    casts = False

    def call(self, inputs):
        inputs = jnp.asarray(inputs)
        wanted = self.dtype or self._bound.variable_dtype
        return inputs if inputs.dtype == wanted else inputs.astype(wanted)


def Input(shape=None, dtype: str | None = None, name: str | None = None,  # noqa: N802 (Keras's name)
          batch_size: int | None = None, batch_shape=None) -> Symbol:
    """A symbol for the data of a network.

    Args:
        shape: the shape of one row, without the batch axis; `None` for an open axis.
        dtype: what arrays are converted to on entering; by default the precision of the network. `"string"` is for
            text, directly behind which stands a layer that turns it into numbers, such as `TextVectorization`.
        name: the name of the input, for data given as a dict.
        batch_size: the rows of every batch, for layers that keep something for each (`LSTM(stateful=True)`).
        batch_shape: `(batch_size, *shape)`, in the place of both.

    Example:
        >>> Input((28, 28, 1)).shape
        (None, 28, 28, 1)
    """
    if batch_shape is not None:
        if shape is not None or batch_size is not None:
            raise SettingError(f"Input takes either batch_shape={batch_shape!r} or shape and batch_size, not both.")
        batch_size, *shape = batch_shape
    if shape is None:
        raise SettingError("Input takes the shape of one row: Input((28, 28, 1)).")
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise SettingError(f"Input: `batch_size` is a positive integer, or None where it is open; got {batch_size!r}.")
    if isinstance(shape, int):
        raise SettingError(f"Input takes the shape of one row as a tuple; got {shape}. Write Input(({shape},)).")
    sizes = tuple(shape)
    for size in sizes:
        if size is not None and (not isinstance(size, int) or size < 1):
            raise SettingError(
                f"Input({sizes}) has an axis of size {size!r}; a size is a positive integer, or None where it is open.")
    fixed = {} if batch_size is None else {"batch_size": batch_size}
    layer = InputLayer(sizes, dtype=dtype, name=name, **fixed)
    node = Node(layer, ((), {}))
    layer.ensure_built((batch_size, *sizes))
    node.outputs = Symbol((batch_size, *sizes), dtype, node)
    return node.outputs


class Network(Layer):
    """Layers connected from inputs to outputs. `Model` and `Sequential` add training to it.

    A subclass with a `call` of its own needs no inputs and outputs: its layers are found in its attributes.

    Args:
        inputs: the symbol or structure of symbols that `Input` made.
        outputs: the symbol or structure (list, tuple, dict) of symbols that layers made of them.
        name: the name of the network.
    """

    casts = False

    def __init__(self, inputs=None, outputs=None, name: str | None = None, trainable: bool = True,
                 dtype: str | None = None):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.__dict__["_graph"] = None
        if inputs is not None:
            self._connect(inputs, outputs)

    def _connect(self, inputs, outputs) -> None:
        graph = Graph(inputs, outputs)
        self.__dict__["_graph"] = graph
        self.__dict__["_built_shape"] = jax.tree.map(lambda symbol: symbol.shape, graph.inputs)

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols that data enters by."""
        return jax.tree.leaves(self.require_graph().inputs)

    @property
    def outputs(self) -> list[Symbol]:
        """The symbols that leave the network."""
        return jax.tree.leaves(self.require_graph().outputs)

    @property
    def input(self):
        """The input symbol, or the structure of them."""
        return self.require_graph().inputs

    @property
    def output(self):
        """The output symbol, or the structure of them."""
        return self.require_graph().outputs

    def require_graph(self) -> "Graph":
        """The graph of the network; an error where it has none."""
        if self.__dict__.get("_graph") is None:
            raise SettingError(
                f"{type(self).__name__} has no graph: it computes by a `call` of its own, or has not seen data yet. "
                f"Make it of Input and layers, or of a Sequential with an input shape.")
        return self._graph

    def sublayers(self) -> dict[str, Layer]:
        graph = self.__dict__.get("_graph")
        return graph.layers if graph is not None else super().sublayers()

    def bind(self, bound, call, value) -> None:
        if self.__dict__.get("_graph") is None:
            return super().bind(bound, call, value)
        bound.__dict__.update(self.__dict__, _call=call, _origin=self)

    def ensure_built(self, *input_shapes) -> None:
        if self.__dict__.get("_graph") is None:
            super().ensure_built(*input_shapes)

    def call(self, inputs, mask=None):
        """The outputs of the graph for given inputs."""
        graph, call = self.require_graph(), self._bound
        values = graph.place_inputs(inputs)
        for node in graph.nodes:
            layer = call.copy(node.layer)
            if not node.inputs():
                if id(node.outputs) not in graph.hosts:  # what is prepared before enters behind the layer that does it
                    values[id(node.outputs)] = self._enter(layer, node, values[id(node.outputs)])
                continue
            if id(node.outputs) in graph.handed_on:
                values[id(node.outputs)] = call.hand_on(node, values[id(node.inputs()[0])])
                continue
            arguments, options = jax.tree.map(
                lambda leaf: values[id(leaf)] if isinstance(leaf, Symbol) else leaf, node.arguments)
            results = layer(*arguments, **options)
            for symbol, result in zip(jax.tree.leaves(node.outputs), jax.tree.leaves(results), strict=True):
                values[id(symbol)] = result
        return jax.tree.map(lambda symbol: values[id(symbol)], graph.outputs)

    def _enter(self, layer, node, value):
        """Data through an input layer, its shape held against the declared one."""
        if self._bound.checks_inputs:
            check_shape(jnp.shape(value), node.outputs.shape, node.layer.describe())
        entered = layer(value)
        mask = self._bound.mask_of(value)
        if mask is not None:
            self._bound.set_mask(entered, mask)
        return entered

    def compute_mask(self, inputs, mask):
        return None  # the layers inside have already said which entries of the output are real

    def get_config(self) -> dict[str, Any]:
        graph = self.__dict__.get("_graph")
        takes_graph = {"inputs", "outputs"} <= set(inspect.signature(type(self).__init__).parameters)
        if graph is None or not takes_graph or type(self).call is not Network.call:
            return super().get_config()
        return {"name": self.name, "trainable": self.trainable, "dtype": self.dtype, "graph": graph.get_config()}

    @classmethod
    def from_config(cls, config):
        if "graph" not in config:
            return super().from_config(config)
        inputs, outputs = Graph.symbols_from_config(config["graph"])
        settings = {name: value for name, value in config.items() if name != "graph"}
        return cls(inputs=inputs, outputs=outputs, **settings)


class IndexLimit(NamedTuple):
    """An input whose numbers are indices of a table.

    Attributes:
        place: which of the inputs.
        layer: the layer that has the table, as messages name it.
        count: how many indices there are, from 0 on.
        setting: the layer's setting that says so.
    """

    place: int
    layer: str
    count: int
    setting: str


class Graph:
    """Nodes in the order of computation, from input symbols to output symbols.

    Attributes:
        inputs, outputs: the structures of symbols.
        nodes: every node needed for the outputs, each after those it depends on.
        layers: the layers of the nodes by name, each once, in the order of their first use.
        hosts: for each input symbol, by identity, whose data are prepared before the compiled program begins: the node
            of the layer that does it, of this graph or of a network in it.
        handed_on: the outputs, by identity, of such layers in this graph.
    """

    def __init__(self, inputs, outputs):
        for symbol in jax.tree.leaves((inputs, outputs)):
            if not isinstance(symbol, Symbol):
                raise SettingError(
                    f"A Model is made of symbols: inputs made by Input, outputs made by calling layers on them; got "
                    f"{symbol!r} ({type(symbol).__name__}).")
        self.inputs, self.outputs = inputs, outputs
        self.nodes = _order(jax.tree.leaves(outputs), jax.tree.leaves(inputs))
        self.layers = name_layers([node.layer for node in self.nodes])
        self._index()

    def __setstate__(self, state):
        """For copies: what goes by identity goes by that of the copied layers and symbols."""
        self.__dict__.update(state)
        self._index()

    def _index(self) -> None:
        self.names = {id(layer): name for name, layer in self.layers.items()}
        self.hosts = _hosts(self.nodes)
        self.handed_on = {id(host.outputs) for host in self.hosts.values()}

    @functools.cached_property
    def index_limits(self) -> list[IndexLimit]:
        """The inputs that go straight into a table, as that of an `Embedding`, by their places among the inputs."""
        places, found = {id(symbol): place for place, symbol in enumerate(jax.tree.leaves(self.inputs))}, []
        for node in self.nodes:
            layer, into = node.layer, [places.get(id(symbol)) for symbol in node.inputs()]
            if into and into[0] is not None and id(node.outputs) in self.handed_on:
                places[id(node.outputs)] = into[0]  # what has been prepared before
            elif into and into[0] is not None and hasattr(layer, "index_limit"):
                found.append(IndexLimit(into[0], layer.describe(self.names[id(layer)]), *layer.index_limit))
            elif layer.__dict__.get("_graph") is not None:
                found += [limit._replace(place=into[limit.place]) for limit in layer._graph.index_limits
                          if into[limit.place] is not None]
        return found

    def place_inputs(self, inputs) -> dict[int, Any]:
        """The values by symbol at the start: inputs in the order or by the names of the network's."""
        symbols = jax.tree.leaves(self.inputs)
        refuse_order(inputs, self.inputs, "x", "input")
        keys = sorted(self.inputs) if isinstance(self.inputs, dict) else [
            self.names[id(symbol.node.layer)] for symbol in symbols]
        if isinstance(inputs, dict) and len(keys) == len(symbols):
            by_name = dict(zip(keys, symbols, strict=True))
            for name in inputs:
                if name not in by_name:
                    raise UnknownNameError(f"The network has no input {name!r}. {did_you_mean(name, by_name)}")
            missing = [name for name in by_name if name not in inputs]
            if missing:
                raise ShapeError(f"The network takes the inputs {list(by_name)}; {missing} are missing.")
            return {id(symbol): inputs[name] for name, symbol in by_name.items()}
        values = jax.tree.leaves(inputs)
        if len(values) != len(symbols):
            raise ShapeError(
                f"The network takes {len(symbols)} input{'s' * (len(symbols) != 1)}; got {len(values)} arrays. "
                f"Several inputs are given as a list, or as a dict by name.")
        return {id(symbol): value for symbol, value in zip(symbols, values, strict=True)}

    def get_config(self) -> dict[str, Any]:
        """The graph as data: its layers by name, and each call with its symbols numbered."""
        numbers = {}
        for node in self.nodes:
            for symbol in jax.tree.leaves(node.outputs):
                numbers[id(symbol)] = SymbolNumber(len(numbers))
        refer = lambda structure: jax.tree.map(
            lambda leaf: numbers[id(leaf)] if isinstance(leaf, Symbol) else leaf, structure)
        calls = [(self.names[id(node.layer)], *refer(node.arguments)) for node in self.nodes]
        return {"layers": dict(self.layers), "calls": calls, "inputs": refer(self.inputs),
                "outputs": refer(self.outputs)}

    @staticmethod
    def symbols_from_config(config):
        """Inputs and outputs of the network that `get_config` described."""
        symbols = []
        resolve = lambda structure: jax.tree.map(
            lambda leaf: symbols[leaf] if isinstance(leaf, SymbolNumber) else leaf, structure)
        for name, arguments, options in config["calls"]:
            layer = config["layers"][name]
            if isinstance(layer, InputLayer):
                symbols.append(Input(layer.shape, layer.dtype, layer.name, layer.batch_size))
            else:
                symbols += jax.tree.leaves(layer(*resolve(arguments), **resolve(options)))
        return resolve(config["inputs"]), resolve(config["outputs"])


def _order(outputs: list[Symbol], inputs: list[Symbol]) -> list[Node]:
    """The nodes that the outputs need, each after those it depends on, ending at the inputs."""
    ordered, seen = [], set()
    ends = {id(symbol) for symbol in inputs}
    stack = [(symbol, False) for symbol in reversed([*inputs, *outputs])]
    while stack:
        symbol, ready = stack.pop()
        node = symbol.node
        if id(node) in seen:
            continue
        if not ready and node.inputs() and id(symbol) not in ends:
            stack.append((symbol, True))
            stack += [(needed, False) for needed in reversed(node.inputs())]
            continue
        if not node.inputs() and id(symbol) not in ends:
            raise SettingError(
                f"The outputs depend on an Input of shape {format_shape(symbol.shape)} that is not among the inputs "
                f"of the Model. Add it to inputs=[...].")
        if id(symbol) in ends and node.inputs():
            raise SettingError(
                "An input of a Model must come from Input(...); this one is the output of a layer. Build the tail on "
                "an Input of its own.")
        seen.add(id(node))
        ordered.append(node)
    return ordered


def _hosts(nodes: list[Node]) -> dict[int, Node]:
    """The nodes of layers that prepare the data of an input before the compiled program begins, by input symbol."""
    found, uses = {}, {}
    for node in nodes:
        for symbol in node.inputs():
            uses.setdefault(id(symbol), []).append(node)
        graph = node.layer.__dict__.get("_graph")
        if graph is None and [symbol.dtype for symbol in node.inputs() if symbol.dtype in node.layer.prepares]:
            found.setdefault(id(node.inputs()[0]), node)
        elif graph is not None and graph.hosts and node.inputs():
            for inner, outer in graph.place_inputs(node.arguments[0][0]).items():
                if inner in graph.hosts:
                    found.setdefault(id(outer), graph.hosts[inner])
                    _check_enters(outer, node, graph.hosts[inner])
    for place, host in found.items():
        if len(uses[place]) > 1:
            raise SettingError(
                f"The input of {host.layer.describe()} goes into {len(uses[place])} layers. It is prepared before the "
                f"compiled program begins, for that one alone: give each an Input of its own, and the data to both.")
    return found


def _check_enters(symbol: Symbol, node: Node, host: Node) -> None:
    """Raise where what goes into a network, and is prepared by a layer in it, is no data."""
    if symbol.node.inputs():
        text = host.layer.describe()
        raise SettingError(
            f"{text[0].upper()}{text[1:]} in {node.layer.describe()} works before the compiled program begins, so the "
            f"input of that network stands directly behind an Input; here it stands behind "
            f"{symbol.node.layer.describe()}.")


def name_layers(layers: list[Layer]) -> dict[str, Layer]:
    """The layers by name, each once. Those without a name get their class's, numbered: dense, dense_1, dense_2."""
    distinct = list({id(layer): layer for layer in layers}.values())
    taken = {}
    for layer in distinct:
        if layer.name:
            if layer.name in taken:
                raise SettingError(
                    f"Two layers are called {layer.name!r}: names in a network must differ. Rename one, or use the "
                    f"same layer object twice to share its weights.")
            if "/" in layer.name:
                raise SettingError(f"The layer name {layer.name!r} holds a slash, which separates names in paths.")
            taken[layer.name] = layer
    named = {}
    counts = {}
    for layer in distinct:
        name = layer.name
        while not name:
            base = default_name(layer)
            counts[base] = counts.get(base, -1) + 1
            candidate = f"{base}_{counts[base]}" if counts[base] else base
            name = None if candidate in taken else candidate
        taken[name] = named[name] = layer
    return named


def refuse_order(given, structure, what: str, kind: str) -> None:
    """Raise where parts are given in an order and the network has them by name: a dict's own order is not kept."""
    if isinstance(structure, dict) and len(structure) > 1 and isinstance(given, (list, tuple)):
        names = ", ".join(map(repr, sorted(structure)))
        raise ShapeError(f"{what} is a {type(given).__name__}, and the network has its {kind}s by name. "
                         f"Give a dict with the keys {names}.")


def check_shape(shape, expected, what: str) -> None:
    """Raise where an array's shape does not fit the declared one; the batch axis is open."""
    fits = len(shape) == len(expected) and all(
        wanted is None or size == wanted for size, wanted in zip(shape, expected, strict=True))
    if fits:
        return
    hint = ""
    if tuple(shape) == tuple(expected[1:]):
        hint = " This is one row without the batch axis: use x[None]."
    elif len(shape) == len(expected) - 1 and expected[-1] == 1:
        hint = " The last axis is missing: use x[..., None]."
    elif len(shape) > 2 and len(expected) == 2:
        hint = " Flatten the rows: x.reshape(len(x), -1), or start with a Flatten layer."
    elif len(shape) == len(expected):
        axis = next(axis for axis, size in enumerate(expected) if size not in (None, shape[axis]))
        hint = f" Axis {axis} holds {shape[axis]} instead of {expected[axis]}." if axis else (
            f" The network was made for batches of {expected[0]} rows: give batch_size={expected[0]}, and whole "
            f"batches.")
    raise ShapeError(f"The input of {what} has shape {format_shape(shape)}; expected {format_shape(expected)}.{hint}")
