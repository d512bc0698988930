"""The formulas of a network, and what can be made of them."""
import functools
import math
import textwrap

import numpy as np
import sympy
from sympy.core.parameters import distribute

from chainrule import losses
from chainrule.errors import DataError, NotReadyError, SettingError, ShapeError, format_shape
from chainrule.layers.binding import Tree, branch, lookup, walk
from chainrule.models import Model
from chainrule.symbolic.formulas import without_overflow
from chainrule.symbolic.names import (
    LatexSource,
    NumpySource,
    array_source,
    dict_source,
    entry_names,
    latex_name,
    quoted,
    unpacked,
)
from chainrule.symbolic.tape import Tape, Vector

MAXIMUM_WEIGHTS = 200  # formulas of more are not read by anybody, and take minutes to derive
READABLE_LENGTH = 200  # formulas of more symbols, taken together, are printed with what they share written once


def derive(model: Model, loss="mse") -> "Derivation":
    """The loss of one example and its gradient by every trained weight, as formulas.

        d loss / d w = d loss / d y * d y / d z * d z / d w,   for a layer y = activation(z)

    Entries of an example are the symbols `x0, x1, ...`, of its target `y0, y1, ...` (`y0` alone for a label). A weight
    of one entry goes by its path, `line/kernel`, an entry of a larger one by path and index, `hidden/kernel[0,1]`.

    A cross-entropy of a sigmoid or softmax is written in terms of what goes into that function, as in training. Other
    probabilities are taken as they are, where the engine holds them 1e-7 away from 0 and 1. Penalties are part of the
    loss. At a corner (of a relu at 0, say) the derivative is that of the flat side.

    Args:
        model: a network of `Dense` and activation layers, one input, one output, up to 200 weights.
        loss: as for `compile`; or a function of two arrays of sympy symbols, target and output, each of shape
            `(entries,)`: `lambda y, p: ((y - p) ** 2).mean(axis=-1)`.

    Returns:
        A `Derivation`: formulas, LaTeX, NumPy source and numbers.

    Raises:
        SettingError: the network is too large, or has something that is not known as a formula here.

    Reference: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.5.

    Example:
        >>> from chainrule.layers import Dense
        >>> from chainrule.models import Input, Sequential
        >>> line = Sequential([Input((1,)), Dense(1, name="line")])
        >>> derivation = derive(line, loss="mse")
        >>> derivation.loss
        (line_bias + line_kernel*x0 - y0)**2
        >>> derivation.gradients["line/kernel"]
        2*x0*(line_bias + line_kernel*x0 - y0)
    """
    _check_model(model)
    loss = losses.get(loss)
    with distribute(False):  # 2 * (p - y) stays as it is
        tape = Tape(model)
        output = tape.run(model, Vector(tape.example, back=lambda delta: None))
        targets = _target_symbols(loss, len(output.entries))
        value = tape.compare(loss, targets, output)
        tape.go_back()
    return Derivation(tape, loss, targets, output, value)


class Derivation:
    """What `derive` found; printed, its formulas.

    Attributes:
        symbols: every symbol by its name: `"x0"`, `"y0"`, `"line/bias"`, `"hidden/kernel[0,1]"`. Within formulas they
            are Python names: `hidden_kernel_0_1`.
        output: what the network computes: an expression, or a column (a sympy `Matrix`) where there are several.
        loss: the loss of one example, penalties included: an expression.
        gradients: by the path of each trained weight its gradient: an expression for a weight of one entry, else a
            `Matrix` of the weight's shape, a column for a bias.

    Example:
        >>> from chainrule.layers import Dense
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((2,)), Dense(1, activation="sigmoid", name="unit")])
        >>> print(derive(model, loss="binary_crossentropy").gradients["unit/bias"])
        -y0 + 1/(1 + exp(-(unit_bias + unit_kernel_0_0*x0 + unit_kernel_1_0*x1)))
    """

    def __init__(self, tape: "Tape", loss: losses.Loss, targets, output, value):
        self.loss = value
        self.output = _shaped(output.entries, (len(output.entries),))
        self.gradients = {path: _shaped(entries, tape.shapes[path]) for path, entries in tape.gradients.items()
                          if path not in tape.frozen}
        self.symbols = {str(symbol): symbol for symbol in [*tape.example, *targets]}
        for path, entries in tape.weights.items():
            self.symbols |= dict(zip(entry_names(path, tape.shapes[path]), entries, strict=True))
        self._loss_function, self._example, self._targets = loss, tape.example, targets
        self._weights, self._shapes = tape.weights, tape.shapes

    def __str__(self) -> str:
        shared, (loss, *gradients) = self._parts()
        names = [name for path in self.gradients for name in entry_names(path, self._shapes[path])]
        lines = [f"{symbol} = {part}" for symbol, part in shared] + [f"loss = {loss}"]
        lines += [f"d loss / d {name} = {gradient}" for name, gradient in zip(names, gradients, strict=True)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Derivation: loss and gradients by {sum(map(len, self._weights.values()))} weights>"

    def latex(self, abbreviate: bool | None = None) -> str:
        r"""The loss and its gradients as LaTeX, one line each, in an `aligned` block.

        A kernel is written `w`, a bias `b`, with the layer and the entry as indices.

        Args:
            abbreviate: whether what several formulas share is written once, as `t_{0}, t_{1}, ...`; by default where
                they are long (printing does the same).

        Example:
            >>> from chainrule.layers import Dense
            >>> from chainrule.models import Input, Sequential
            >>> line = Sequential([Input((1,)), Dense(1, use_bias=False, name="line")])
            >>> print(derive(line, loss="mse").latex())
            \begin{aligned}
            L &= \left(w_{\mathrm{line}} x_{0} - y_{0}\right)^{2} \\
            \frac{\partial L}{\partial w_{\mathrm{line}}} &= 2 x_{0} \left(w_{\mathrm{line}} x_{0} - y_{0}\right)
            \end{aligned}
        """
        names = {symbol: latex_name(name) for name, symbol in self.symbols.items()}
        shared, (loss, *gradients) = self._parts(abbreviate)
        trained = [symbol for path in self.gradients for symbol in self._weights[path]]
        printer = LatexSource({"symbol_names": names})
        formulas = [*((printer.doprint(symbol), part) for symbol, part in shared), ("L", loss)]
        formulas += [(rf"\frac{{\partial L}}{{\partial {names[symbol]}}}", gradient)
                     for symbol, gradient in zip(trained, gradients, strict=True)]
        lines = [f"{left} &= {printer.doprint(right)}" for left, right in formulas]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"

    def numpy_code(self) -> str:
        """The source of a NumPy function `loss_and_gradients(x, y, weights)` for one example.

        It takes weights and returns gradients as nested dicts by layer and weight, as `model.variables()` has them.
        What several formulas share is computed once, and exponentials so that they do not overflow.

        Example:
            >>> from chainrule.layers import Dense
            >>> from chainrule.models import Input, Sequential
            >>> line = Sequential([Input((1,)), Dense(1, use_bias=False, name="line")])
            >>> print(derive(line, loss="mse").numpy_code())
            import numpy as np
            <BLANKLINE>
            <BLANKLINE>
            def loss_and_gradients(x, y, weights):
                x0, = np.ravel(x)
                y0, = np.ravel(y)
                line_kernel, = np.ravel(weights["line"]["kernel"])
            <BLANKLINE>
                t0 = line_kernel*x0 - y0
                loss = t0**2
                gradients = {
                    "line": {
                        "kernel": np.array([[2*t0*x0]]),
                    },
                }
                return loss, gradients
            <BLANKLINE>
        """
        printer = NumpySource()
        shared, (loss, *gradients) = self._computed
        lines = [unpacked(self._example, "x"), unpacked(self._targets, "y")]
        if self._loss_function.target_kind == "signs":
            lines += [f"{target} = -1 if {target} == 0 else {target}" for target in self._targets]
        for path, entries in self._weights.items():
            lines.append(unpacked(entries, "weights" + "".join(f"[{quoted(step)}]" for step in path.split("/"))))
        lines += ["", *(f"{symbol} = {printer.doprint(expression)}" for symbol, expression in shared)]
        lines += [f"loss = {printer.doprint(loss)}"]
        sources, tree = iter([printer.doprint(gradient) for gradient in gradients]), {}
        for path in self.gradients:
            layer, _, name = path.rpartition("/")
            branch(tree, layer)[name] = array_source(sources, self._shapes[path])
        lines += [f"gradients = {dict_source(tree)}", "return loss, gradients"]
        imports = [f"import {module}" for module in sorted(printer.module_imports)]
        body = textwrap.indent("\n".join(lines), " " * 4, lambda line: bool(line.strip()))
        return "\n".join([*imports, "import numpy as np", "", "", "def loss_and_gradients(x, y, weights):", body, ""])

    def evaluate(self, x, y, weights: Tree) -> tuple[float, Tree]:
        """The loss and the gradients as numbers, for one example.

        Args:
            x: the example, `(inputs,)` or `(1, inputs)`.
            y: its target: as many numbers as the network has outputs, or a label.
            weights: nested dicts by layer and weight, as `model.init` and `model.variables` return them.

        Returns:
            `(loss, gradients)`, the gradients as 64-bit arrays in nested dicts like the weights'.

        Raises:
            ShapeError: an array does not have as many entries as there are symbols.
            DataError: a label is not one of the classes.

        Example:
            >>> from chainrule.layers import Dense
            >>> from chainrule.models import Input, Sequential
            >>> line = Sequential([Input((1,)), Dense(1, use_bias=False, name="line")])
            >>> derive(line, loss="mse").evaluate([2.0], [1.0], {"line": {"kernel": [[3.0]]}})
            (25.0, {'line': {'kernel': array([[20.]])}})
        """
        values = _numbers("x", x, (len(self._example),)) + self._target_numbers(y)
        for path, shape in self._shapes.items():
            layer, _, name = path.rpartition("/")
            held = lookup(weights, layer)
            if name not in held:
                raise NotReadyError(f"weights has no array for {path}. Hand in those of model.variables()[0].")
            values += _numbers(f"weights {path}", held[name], shape)
        weights = [symbol for entries in self._weights.values() for symbol in entries]
        filled = dict(zip([*self._example, *self._targets, *weights], values, strict=True))
        shared, formulas = self._computed
        for symbol, part in shared:
            filled[symbol] = part.xreplace(filled).evalf()
        loss, *computed = (float(formula.xreplace(filled).evalf()) for formula in formulas)
        computed, gradients = iter(computed), {}
        for path in self.gradients:
            layer, _, name = path.rpartition("/")
            shape = self._shapes[path]
            branch(gradients, layer)[name] = np.fromiter(computed, float, count=math.prod(shape)).reshape(shape)
        return loss, gradients

    @functools.cached_property
    def _formulas(self) -> list:
        """The loss, and the entries of the gradients in order."""
        return [self.loss, *(entry for gradient in self.gradients.values() for entry in _entries(gradient))]

    @functools.cached_property
    def _shared(self) -> tuple[list, list]:
        """What several formulas have in common, by symbols of its own, and the formulas in terms of these."""
        return _sharing(self._formulas)

    @functools.cached_property
    def _computed(self) -> tuple[list, list]:
        """As `_shared`, in the form that numbers are computed by."""
        with distribute(False):
            return _sharing([without_overflow(formula) for formula in self._formulas])

    def _parts(self, abbreviate: bool | None = None) -> tuple[list, list]:
        """The formulas as `_shared` has them or as they are; by default as they are where that can be read."""
        if abbreviate is None:
            lengths = {}
            abbreviate = sum(_length(formula, lengths) for formula in self._formulas) > READABLE_LENGTH
        return self._shared if abbreviate else ([], self._formulas)

    def _target_numbers(self, y) -> list:
        """The target as numbers, read as the loss reads it."""
        numbers = _numbers("y", y, (len(self._targets),))
        if self._loss_function.target_kind == "signs":
            return [number or sympy.Float(-1) for number in numbers]
        if self._loss_function.target_kind != "labels":
            return numbers
        label, classes = float(numbers[0]), len(_entries(self.output))
        if label not in (*range(classes), self._loss_function.ignore_class):
            raise DataError(f"y is the label of a class, an integer from 0 to {classes - 1}; got {label:g}.")
        return [sympy.Integer(int(label))]


def _check_model(model) -> None:
    """Raise where a model is not one that can be written out."""
    if not isinstance(model, Model):
        raise SettingError(f"derive takes a Model or a Sequential; got {model!r} ({type(model).__name__}).")
    model._require_built("derive")
    inputs, outputs = model.inputs, model.outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise SettingError(f"derive takes a network with one input and one output; this one has {len(inputs)} and "
                           f"{len(outputs)}. Derive a Model of one of its outputs.")
    if len(inputs[0].shape) != 2 or inputs[0].shape[1] is None:
        raise SettingError(f"derive takes a network of rows of known length, (batch, features); this one takes "
                           f"{format_shape(inputs[0].shape)}. Give it Input((features,)).")
    count = sum(weight.size for _, layer in walk(model) for weight in layer.own_weights().values())
    if count > MAXIMUM_WEIGHTS:
        raise SettingError(f"The network has {count:,} weights, and derive writes out at most {MAXIMUM_WEIGHTS}: "
                           f"longer formulas cannot be read. Derive one of the same kind with fewer inputs and units, "
                           f"or check this one's gradients with inspect.check_gradients(model, x, y).")


def _target_symbols(loss: losses.Loss, outputs: int) -> list:
    """The symbols of the target that belongs to so many outputs."""
    if loss.target_kind == "labels":
        return [sympy.Symbol("y0", integer=True)]
    return [sympy.Symbol(f"y{index}", real=True) for index in range(outputs)]


def _shaped(entries, shape: tuple[int, ...]):
    """One entry as itself, several as a matrix."""
    if len(entries) == 1:
        return entries[0]
    return sympy.ImmutableMatrix(*(shape if len(shape) == 2 else (shape[0], 1)), list(entries))


def _sharing(formulas: list) -> tuple[list, list]:
    """What several formulas have in common, by symbols of its own, and the formulas in terms of these."""
    return sympy.cse(formulas, symbols=sympy.numbered_symbols("t", real=True))


def _length(expression, known: dict) -> int:
    """How many symbols and numbers a formula has, repeated ones as often as they are written."""
    if expression not in known:
        known[expression] = sum(_length(part, known) for part in expression.args) or 1
    return known[expression]


def _entries(expression) -> list:
    """The reverse of `_shaped`."""
    return list(expression) if isinstance(expression, sympy.MatrixBase) else [expression]


def _numbers(what: str, values, shape: tuple[int, ...]) -> list:
    """An array of one example as numbers, as many as are needed."""
    values = np.asarray(values, "float64")
    rows = (shape, (1, *shape), ()) if shape == (1,) else (shape, (1, *shape))
    if values.shape not in rows:
        raise ShapeError(f"{what} belongs to one example and has the shape {format_shape(shape)}; got "
                         f"{format_shape(values.shape)}.")
    return [sympy.Float(number) for number in values.ravel().tolist()]
