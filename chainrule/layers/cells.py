"""Cells: one step of a recurrence, as layers. `RNN(cell)` runs one along sequences."""
from typing import Any

import jax.numpy as jnp

from chainrule import activations, initializers
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.dense import check_count, known_last_axis
from chainrule.layers.regularisation import required_key
from chainrule.ops import random, recurrence


class RecurrentWeights(Layer):
    """What a recurrent layer and its cell have in common: the weights, and how they are used."""

    gates = 1  # how many products of `units` columns a kernel holds

    def __post_init__(self):
        check_count(self, "units", self.units)
        for setting in ("dropout", "recurrent_dropout"):
            rate = getattr(self, setting)
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
                raise SettingError(
                    f"{type(self).__name__}: `{setting}` is a share to drop, at least 0 and below 1; got {rate!r}.")
        self._functions()  # an unknown name is an error where the layer is written

    def build(self, input_shape):
        inputs, columns = known_last_axis(self, input_shape), self.gates * self.units
        self.kernel = self.add_weight((inputs, columns), self.kernel_initializer, regularizer=self.kernel_regularizer,
                                      constraint=self.kernel_constraint)
        self.recurrent_kernel = self.add_weight((self.units, columns), self.recurrent_initializer,
                                                regularizer=self.recurrent_regularizer,
                                                constraint=self.recurrent_constraint)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(self._bias_shape(), self._first_bias(), regularizer=self.bias_regularizer,
                                        constraint=self.bias_constraint)

    def accepted_options(self):
        options = super().accepted_options()
        drops = any(not _is_zero(rate) for rate in (self.dropout, self.recurrent_dropout))
        return options if drops else options - {"training", "key"}

    def _equations(self) -> recurrence.Recurrence:
        """Which recurrence it is."""
        return recurrence.SIMPLE

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _first_bias(self):
        """How the bias starts."""
        return self.bias_initializer

    def _functions(self) -> dict[str, Any]:
        """The activation functions that are not the usual ones, as `ops.recurrence` takes them."""
        usual = {"activation": activations.tanh, "recurrent_activation": activations.sigmoid}
        chosen = {name: activations.get(getattr(self, name) or "linear") for name in usual if hasattr(self, name)}
        return {name: function for name, function in chosen.items() if function is not usual[name]}

    def _dropped(self, x, training, key):
        """The inputs after dropout, and the factors of the state: one draw of each for all steps."""
        if not training or _is_zero(self.dropout) and _is_zero(self.recurrent_dropout):
            return x, None
        key, scale = required_key(self, key), None
        if not _is_zero(self.dropout):
            shape = (len(x), *[1] * (x.ndim - 2), x.shape[-1])
            x = x * _kept(random.fold_in(key, 0), self.dropout, shape, x.dtype)
        if not _is_zero(self.recurrent_dropout):
            scale = _kept(random.fold_in(key, 1), self.recurrent_dropout, (len(x), self.units), x.dtype)
        return x, scale

    def _one_step(self, x, states, scale=None):
        """The output and the list of states after one step."""
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        states = recurrence.one_step(self._equations(), x, self.kernel, self.recurrent_kernel, self.bias, states,
                                     recurrent_scale=scale, **self._functions())
        return states[0], list(states)


class RecurrentCell(RecurrentWeights):
    """A recurrence that is called for one step."""

    def call(self, inputs, states, training=False, key=None):
        x, scale = self._dropped(inputs, training, key)
        return self._one_step(x, states, scale)

    @property
    def state_size(self):
        """The units of each state; a list where there are several."""
        count = self._equations().states
        return self.units if count == 1 else [self.units] * count

    @property
    def output_size(self) -> int:
        """The units of the output."""
        return self.units


class SimpleRNNWeights(RecurrentWeights):
    """The settings of a simple recurrence."""

    units: int
    activation: Any = "tanh"
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    recurrent_constraint: Any = None
    bias_constraint: Any = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None


class LSTMWeights(RecurrentWeights):
    """The settings of a long short-term memory."""

    units: int
    activation: Any = "tanh"
    recurrent_activation: Any = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    recurrent_constraint: Any = None
    bias_constraint: Any = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None

    gates = 4

    def _equations(self):
        return recurrence.LSTM

    def _first_bias(self):
        if not self.unit_forget_bias:
            return self.bias_initializer
        forget = slice(self.units, 2 * self.units)
        return lambda key, shape, dtype: initializers.draw(self.bias_initializer, key, shape, dtype).at[forget].set(1)


class GRUWeights(RecurrentWeights):
    """The settings of a gated recurrent unit."""

    units: int
    activation: Any = "tanh"
    recurrent_activation: Any = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    recurrent_initializer: Any = "orthogonal"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    recurrent_constraint: Any = None
    bias_constraint: Any = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    reset_after: bool = True
    seed: int | None = None

    gates = 3

    def _equations(self):
        return recurrence.GRU if self.reset_after else recurrence.GRU_RESET_BEFORE

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)


class SimpleRNNCell(RecurrentCell, SimpleRNNWeights):
    """One step of `SimpleRNN`.

        h' = activation(x @ kernel + h @ recurrent_kernel + bias)

    Shapes: x `(batch, features)` and the list of one state `(batch, units)` to the output `(batch, units)` and the list
    of the state after the step.

    Args:
        units: the size of state and output.
        activation: a name or a function on arrays.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: projections of the weights after each update.
        dropout, recurrent_dropout: shares of inputs and state set to zero in training, the same at all steps.
        seed: gives the dropout random numbers of its own.

    Reference: Elman, Finding Structure in Time (1990).

    Example:
        >>> import numpy as np
        >>> y, [h] = SimpleRNNCell(4)(np.ones((2, 3), "float32"), [np.zeros((2, 4), "float32")])
        >>> y.shape, h.shape
        ((2, 4), (2, 4))
    """


class LSTMCell(RecurrentCell, LSTMWeights):
    """One step of `LSTM`.

        i, f, g, o = split(x @ kernel + h @ recurrent_kernel + bias)
        c' = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
        h' = recurrent_activation(o) * activation(c')

    Shapes: x `(batch, features)` and the list of the states h and c, `(batch, units)` each, to the output
    `(batch, units)` and the list of the states after the step.

    Args:
        units: the size of states and output.
        activation, recurrent_activation: names or functions on arrays, for the candidate and for the gates.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        unit_forget_bias: whether the bias of the forget gate starts at 1.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: projections of the weights after each update.
        dropout, recurrent_dropout: shares of inputs and state set to zero in training, the same at all steps.
        seed: gives the dropout random numbers of its own.

    Reference: Hochreiter and Schmidhuber, Long Short-Term Memory (1997).

    Example:
        >>> import numpy as np
        >>> y, states = LSTMCell(4)(np.ones((2, 3), "float32"), [np.zeros((2, 4), "float32")] * 2)
        >>> y.shape, len(states)
        ((2, 4), 2)
    """


class GRUCell(RecurrentCell, GRUWeights):
    """One step of `GRU`.

        z = recurrent_activation(x @ kernel_z + bias_z + h @ recurrent_kernel_z + recurrent_bias_z)
        r = recurrent_activation(x @ kernel_r + bias_r + h @ recurrent_kernel_r + recurrent_bias_r)
        n = activation(x @ kernel_n + bias_n + r * (h @ recurrent_kernel_n + recurrent_bias_n))
        h' = z * h + (1 - z) * n

    Shapes: x `(batch, features)` and the list of one state `(batch, units)` to the output `(batch, units)` and the list
    of the state after the step.

    Args:
        units: the size of state and output.
        activation, recurrent_activation: names or functions on arrays, for the candidate and for the gates.
        use_bias: whether there are biases.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: projections of the weights after each update.
        dropout, recurrent_dropout: shares of inputs and state set to zero in training, the same at all steps.
        reset_after: whether the reset gate acts after the product with the state; else `(r * h) @ recurrent_kernel_n`.
        seed: gives the dropout random numbers of its own.

    Reference: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation
    (2014).

    Example:
        >>> import numpy as np
        >>> y, [h] = GRUCell(4)(np.ones((2, 3), "float32"), [np.zeros((2, 4), "float32")])
        >>> y.shape, h.shape
        ((2, 4), (2, 4))
    """


class StackedRNNCells(Layer):
    """Cells on top of each other, as one: each takes the output of the one below, all within one step.

        y[0] = x,   y[k], s'[k] = cell[k](y[k-1], s[k])

    Shapes: x `(batch, features)` and the list of the cells' states to the last cell's output and the list of the states
    after the step.

    Args:
        cells: the cells, the lowest first.

    Raises:
        SettingError: one of them is not a cell.

    Reference: Graves, Mohamed and Hinton, Speech Recognition with Deep Recurrent Neural Networks (2013).

    Example:
        >>> import numpy as np
        >>> from chainrule.layers import RNN
        >>> RNN(StackedRNNCells([LSTMCell(4), GRUCell(5)]))(np.ones((2, 6, 3), "float32")).shape
        (2, 5)
    """

    cells: Any

    def __post_init__(self):
        if not isinstance(self.cells, (list, tuple)) or not self.cells:
            raise SettingError(f"StackedRNNCells is made of a list of cells; got {self.cells!r}.")
        self.cells = [checked_cell(cell, "StackedRNNCells") for cell in self.cells]

    def call(self, inputs, states):
        after = []
        for cell, its_states in zip(self.cells, states, strict=True):
            its_states = list(its_states) if isinstance(its_states, (list, tuple)) else [its_states]
            inputs, new = run_cell(cell, inputs, its_states)
            after.append(new)
        return inputs, after

    @property
    def state_size(self) -> list:
        """The units of each cell's states."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The units of the last cell's output."""
        return output_size(self.cells[-1])

    def get_initial_state(self, batch_size: int) -> list:
        """The states that the cells begin with."""
        return [first_states(cell, batch_size, self._bound.dtype) for cell in self.cells]


def checked_cell(cell, owner: str):
    """A cell, seen to be one."""
    if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
        hint = " Write it with parentheses: LSTMCell(10)." if isinstance(cell, type) else ""
        raise SettingError(
            f"{owner}: a cell is a layer with a `state_size` and a `call(inputs, states)` that returns the output and "
            f"the new states; got {cell!r}.{hint}")
    return cell


def output_size(cell) -> int:
    """The units of a cell's output: what it says, else those of its first state."""
    said = getattr(cell, "output_size", None)
    if said is None:
        said = cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
    return said


def first_states(cell, batch_size: int, dtype) -> list:
    """The states that a cell begins with: what it says, else zeros."""
    if hasattr(cell, "get_initial_state"):
        states = cell.get_initial_state(batch_size=batch_size)
        return list(states) if isinstance(states, (list, tuple)) else [states]
    sizes = cell.state_size if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
    return [jnp.zeros((batch_size, size), dtype) for size in sizes]


def run_cell(cell, inputs, states: list):
    """One step of a cell: the output, and the list of new states, seen to be like those before."""
    outcome = cell(inputs, states)
    name = cell.describe()
    if not isinstance(outcome, (list, tuple)) or len(outcome) != 2:
        raise SettingError(f"`call` of {name} must return the output and the new states: return output, [state].")
    output, after = outcome
    after = list(after) if isinstance(after, (list, tuple)) else [after]
    if len(after) != len(states):
        raise SettingError(f"`call` of {name} returns {len(after)} states; its state_size says {len(states)}.")
    for old, new in zip(states, after, strict=True):
        if hasattr(old, "shape") and getattr(new, "shape", None) != old.shape:
            raise ShapeError(
                f"`call` of {name} returns a state of shape {format_shape(jnp.shape(new))} for one of "
                f"{format_shape(old.shape)}. A state keeps its shape, (batch, state_size).")
    return output, after


def _is_zero(rate) -> bool:
    """Whether a rate is the plain number 0, not one that stands in for another."""
    return isinstance(rate, (int, float)) and rate == 0


def _kept(key, rate, shape, dtype):
    """The factors of a dropout: 0 for a share, so much for the others that the expected sum stays."""
    share = 1 - rate
    return jnp.where(random.bernoulli(key, share, shape), 1 / share, 0).astype(dtype)
