"""The chain rule: one pass through a network that writes down what it computes, and one back from the loss."""
from collections.abc import Callable

import sympy

from chainrule import activations, layers, losses
from chainrule.errors import SettingError
from chainrule.layers.binding import frozen_paths, layer_paths, walk
from chainrule.network.graph import InputLayer, Network
from chainrule.symbolic.formulas import ACTIVATION_LAYERS, ACTIVATIONS, LOSSES, penalty, written_out
from chainrule.symbolic.names import entry_names, weight_symbol

MAXIMUM_LENGTH = 1_000  # formulas that repeat symbols oftener than this are not read by anybody, and take minutes


class Vector:
    """The entries of one array as formulas, and what has come back to them.

    Attributes:
        entries: the formulas.
        delta: the derivative of the loss by each entry, as far as it has come back.
        back: hands `delta` on to what the entries were computed from.
        length: about how many symbols the formula of an entry has.
        entered: the activation function that the entries came out of, and what went into it.
    """

    def __init__(self, entries, back: Callable[[list], None], length: int = 1):
        self.entries, self.back, self.length = list(entries), back, length
        self.delta = [sympy.Integer(0)] * len(self.entries)
        self.entered: tuple[Callable, Vector] | None = None

    def receive(self, delta) -> None:
        """Add to what has come back."""
        self.delta = [before + more for before, more in zip(self.delta, delta, strict=True)]


class Tape:
    """One pass through a network and back.

    Attributes:
        example: the symbols of the input.
        weights: by path, the symbols of each weight, in the order of its entries.
        shapes: by path, the shape of each weight.
        frozen: the paths of the weights that are not trained.
        gradients: by path, the derivative of the loss by each entry, complete after `go_back`.
        penalties: what regularisers add to the loss.
    """

    def __init__(self, model: Network):
        self.example = [sympy.Symbol(f"x{index}", real=True) for index in range(model.inputs[0].shape[-1])]
        self.weights, self.shapes, self.gradients, self.frozen, self.penalties = {}, {}, {}, set(), []
        self._paths, self._vectors = layer_paths(model), []
        frozen, taken = frozen_paths(model), set()
        for layer_path, layer in walk(model):
            for name, weight in layer.own_weights().items():
                path = f"{layer_path}/{name}"
                self.shapes[path] = weight.shape
                self.weights[path] = [weight_symbol(entry, taken) for entry in entry_names(path, weight.shape)]
                self.gradients[path] = [sympy.Integer(0)] * weight.size
                if layer_path in frozen:
                    self.frozen.add(path)
                elif weight.regularizer is not None:
                    self._penalise(weight.regularizer, path)

    def run(self, layer, x: Vector) -> Vector:
        """The output of a layer or network."""
        path = self._paths[id(layer)]
        if isinstance(layer, Network) and type(layer).call is Network.call:
            y = self._run_graph(layer, x)
        elif type(layer) is layers.Dense:
            y = self._activate(layer, self._affine(x, path))
        elif type(layer) in (layers.Activation, layers.Softmax):
            y = self._activate(layer, x)
        elif type(layer) in ACTIVATION_LAYERS:
            y = self._keep(local(ACTIVATION_LAYERS[type(layer)](layer), x))
        else:
            known = sorted(known.__name__ for known in (
                layers.Dense, layers.Activation, layers.Softmax, *ACTIVATION_LAYERS))
            raise SettingError(
                f"There is no formula for {layer.describe(path)}. symbolic.derive knows networks of these layers: "
                f"{', '.join(known)}. Derive a model of those alone, and use inspect.check_gradients for any other.")
        if layer.activity_penalty() is not None:
            term = self._keep(local(lambda entries: [penalty(layer.activity_penalty(), entries)], y))
            term.receive([sympy.Integer(1)])
            self.penalties += term.entries
        return y

    def compare(self, loss: losses.Loss, targets, output: Vector):
        """The loss of the output beside its target, penalties included; its derivative goes to the output."""
        formula = LOSSES.get(type(loss))
        if formula is None:
            known = sorted(known.__name__ for known in LOSSES)
            raise SettingError(f"The loss {type(loss).__name__} is not known as a formula. Known losses: "
                               f"{', '.join(known)}; or hand in a function of sympy expressions.")
        fusing = {"binary": activations.sigmoid, "one_hot": activations.softmax, "labels": activations.softmax}
        logits = getattr(loss, "from_logits", None)
        if logits is False and output.entered and output.entered[0] is fusing.get(loss.target_kind):
            output, logits = output.entered[1], True
        value = self._keep(local(lambda entries: [formula(loss, targets, entries, logits)], output))
        value.receive([sympy.Integer(1)])
        return sum(self.penalties, value.entries[0])

    def go_back(self) -> None:
        """Hand derivatives back from the loss to every weight, the last vector first."""
        for vector in reversed(self._vectors):
            vector.back(vector.delta)

    def _run_graph(self, network: Network, x: Vector) -> Vector:
        graph = network.require_graph()
        values = {id(network.inputs[0]): x}
        for node in graph.nodes:
            if isinstance(node.layer, InputLayer):
                continue
            arguments, options = node.arguments
            if len(node.inputs()) != 1 or len(arguments) != 1 or options:
                path = self._paths[id(node.layer)]
                raise SettingError(f"There is no formula for a call of {node.layer.describe(path)} on "
                                   f"{len(node.inputs())} inputs. symbolic.derive knows layers with one input each.")
            values[id(node.outputs)] = self.run(node.layer, values[id(node.inputs()[0])])
        return values[id(network.outputs[0])]

    def _activate(self, layer, z: Vector) -> Vector:
        """The activation function of a layer."""
        function = layer._activate
        if function is activations.linear:
            return z
        if function not in ACTIVATIONS:
            name = getattr(function, "__name__", type(function).__name__)
            known = sorted(known.__name__ for known in ACTIVATIONS)
            raise SettingError(f"The activation {name!r} of {layer.describe(self._paths[id(layer)])} is not known as a "
                               f"formula. Known activations: {', '.join(known)}.")
        y = self._keep(local(ACTIVATIONS[function], z))
        y.entered = function, z
        return y

    def _affine(self, x: Vector, path: str) -> Vector:
        """`z[j] = sum over i of x[i] * kernel[i, j] + bias[j]`."""
        kernel, bias = self.weights[f"{path}/kernel"], self.weights.get(f"{path}/bias")
        units = len(kernel) // len(x.entries)
        rows = [kernel[start : start + units] for start in range(0, len(kernel), units)]
        z = [sum(entry * row[unit] for entry, row in zip(x.entries, rows, strict=True)) for unit in range(units)]

        def back(delta):
            x.receive([sum(d * weight for d, weight in zip(delta, row, strict=True)) for row in rows])
            self._add_gradient(f"{path}/kernel", [entry * d for entry in x.entries for d in delta])
            if bias is not None:
                self._add_gradient(f"{path}/bias", delta)

        z = z if bias is None else [total + shift for total, shift in zip(z, bias, strict=True)]
        length = len(x.entries) * (x.length + 1) + 1
        if length > MAXIMUM_LENGTH:
            raise SettingError(f"The formula of an output of layer {path!r} would have about {length:,} symbols, since "
                               f"each layer repeats those before it; derive writes out at most {MAXIMUM_LENGTH:,}. "
                               f"Derive a network of fewer layers or units.")
        return self._keep(Vector(z, back, length))

    def _keep(self, vector: Vector) -> Vector:
        """Note a vector for the way back."""
        self._vectors.append(vector)
        return vector

    def _penalise(self, regularizer, path: str) -> None:
        """A penalty on a weight."""
        term = penalty(regularizer, self.weights[path])
        self.penalties.append(term)
        self._add_gradient(path, [term.diff(symbol) for symbol in self.weights[path]])

    def _add_gradient(self, path: str, more) -> None:
        self.gradients[path] = [before + entry for before, entry in zip(self.gradients[path], more, strict=True)]


def local(formula: Callable[[list], list], x: Vector) -> Vector:
    """A function of formulas at `x`. It is differentiated before `x` is put in, so that formulas stay short."""
    places = [sympy.Dummy(real=True) for _ in x.entries]
    y = formula(places)
    filled = dict(zip(places, x.entries, strict=True))
    put_in = lambda expression: written_out(sympy.sympify(expression)).xreplace(filled)

    def back(delta):
        x.receive([sum(d * put_in(sympy.diff(entry, place)) for d, entry in zip(delta, y, strict=True))
                   for place in places])

    return Vector([put_in(entry) for entry in y], back, x.length)
