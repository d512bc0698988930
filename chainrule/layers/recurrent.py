"""Recurrent layers: a state carried along sequences, and what belongs to sequences: masks, both directions, each step.

Where a sequence is masked (`Masking`, `Embedding(mask_zero=True)`), the state stays as it was and the last output is
repeated, so that a padded sequence ends with what it ends with alone.

A stateful layer goes on from batch to batch in `fit` and `predict`, and keeps its states with its weights, behind them;
`evaluate` and validation begin every batch with the states as they stand, and leave them so. The rows that pad a short
last batch of `fit` keep theirs.
"""
import copy
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from chainrule.errors import NotReadyError, SettingError, ShapeError, format_shape
from chainrule.layers.base import Layer
from chainrule.layers.binding import held_variables, hold
from chainrule.layers.cells import (
    GRUWeights,
    LSTMWeights,
    SimpleRNNWeights,
    StackedRNNCells,
    checked_cell,
    first_states,
    output_size,
    run_cell,
)
from chainrule.ops import recurrence


class Recurrent(Layer):
    """What recurrent layers have in common: what goes in and out; a subclass says how the steps are walked."""

    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False
    unroll: bool = False
    zero_output_for_mask: bool = False

    supports_masking = True
    goes_on = True  # what it carries from step to step serves for sequences of any length
    statistics_momentum = ""  # where it is stateful, it keeps where its sequences stand

    def build(self, input_shape):
        if not isinstance(input_shape, (list, tuple)) or len(input_shape) < 3:
            raise ShapeError(
                f"{type(self).__name__} takes sequences, (batch, time, features); got {format_shape(input_shape)}. Use "
                f"x[..., None] where each step is one number, or return_sequences=True in the recurrent layer before.")
        if self.stateful:
            if input_shape[0] is None:
                raise SettingError(
                    f"{type(self).__name__}(stateful=True) keeps a state for each row of a batch and needs the size of "
                    f"the batch: Input(batch_shape=({', '.join(['rows', *map(str, input_shape[1:])])})).")
            self.states = [self.add_weight((input_shape[0], size), "zeros", trainable=False, name=f"state_{index}")
                           for index, size in enumerate(jax.tree.leaves(self.state_size))]
        super().build(input_shape)

    def call(self, sequences, initial_state=None, mask=None, training=False, key=None, rows=None):
        mask = _step_mask(self, mask, sequences)
        before = self._first_states(sequences, initial_state)
        outputs, after = self._walk(sequences, before, mask, training, key)
        if self.stateful:
            for index, (old, new) in enumerate(zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)):
                self.states[index] = new if rows is None else jnp.where(rows[:, None], new, old)
        if mask is not None and self.zero_output_for_mask:
            outputs = jnp.where(_walked(self, mask)[..., None], outputs, jnp.zeros((), outputs.dtype))
        outputs = outputs if self.return_sequences else outputs[:, -1]
        return [outputs, *after] if self.return_state else outputs

    def compute_mask(self, inputs, mask):
        mask = _walked(self, jax.tree.leaves(mask)[0]) if self.return_sequences else None
        return [mask, *[None] * len(jax.tree.leaves(self.state_size))] if self.return_state else mask

    def initial_states(self, batch_size: int) -> list:
        """The states before the first step, for a copy that is bound to arrays (as inside of `call`)."""
        raise NotImplementedError

    def can_step(self, inputs: tuple, options: dict) -> bool:
        """Whether `step`, from `initial_states` on, gives what a call like this would."""
        return not self.go_backwards and len(inputs) == 1 and not options

    def step(self, inputs, states):
        """One step, for generation that carries the states along: on a copy that is bound to arrays, a pure function.

        Dropout is not applied.

        Args:
            inputs: one step of the sequences, `(batch, features)`.
            states: those of the step before, or `initial_states(batch_size)`.

        Returns:
            The output, `(batch, units)`, and the new states.

        Raises:
            SettingError: the layer goes backwards: it needs the end of a sequence first.

        Example:
            >>> from chainrule.layers.binding import Call, held_variables
            >>> layer, x = LSTM(4), jnp.ones((2, 5, 3))
            >>> y = layer(x)
            >>> bound = Call(layer, *held_variables(layer)).copy(layer)
            >>> states = bound.initial_states(2)
            >>> for t in range(5):
            ...     output, states = bound.step(x[:, t], states)
            >>> bool(jnp.allclose(output, y, atol=1e-6))
            True
        """
        if self.go_backwards:
            raise SettingError(
                f"{self.describe()[0].upper()}{self.describe()[1:]} goes backwards: it begins with the end of a "
                f"sequence, and cannot take one step after another as they come.")
        return self._one_step(inputs, states)

    def reset_state(self) -> None:
        """Set the states that a stateful layer keeps back to zero, for every model that has the layer."""
        if not self.stateful:
            raise SettingError(f"{type(self).__name__}: there is no state to reset without stateful=True.")
        if not self.built:
            raise NotReadyError(f"{type(self).__name__} has no states yet: it is built by the first input it meets.")
        weights, state = held_variables(self)
        kept = {weight.name for weight in self.states}
        hold(self, weights, {name: jnp.zeros_like(value) if name in kept else value for name, value in state.items()})

    def reset_states(self) -> None:
        """The same as `reset_state`: its older name."""
        self.reset_state()

    def _first_states(self, sequences, initial_state):
        """The states before the first step, in the structure of `state_size`."""
        own = self.initial_states(len(sequences))
        if initial_state is None:
            if not self.stateful:
                return own
            initial_state = list(self.states)
        given, wanted = jax.tree.leaves(initial_state), jax.tree.leaves(own)
        if len(given) != len(wanted):
            raise ShapeError(
                f"{type(self).__name__} has {len(wanted)} state{'s' * (len(wanted) != 1)}; initial_state holds "
                f"{len(given)}. It is the list of what return_state=True gives behind the output.")
        for state, zeros in zip(given, wanted, strict=True):
            if state.shape != zeros.shape:
                raise ShapeError(
                    f"{type(self).__name__}: a state of shape {format_shape(state.shape)} came in initial_state; "
                    f"expected {format_shape(zeros.shape)}, (batch, units).")
        return jax.tree.unflatten(jax.tree.structure(own), [
            state.astype(zeros.dtype) for state, zeros in zip(given, wanted, strict=True)])


class _Whole(Recurrent):
    """A recurrent layer whose equations `ops.recurrence` knows for whole sequences."""

    @property
    def state_size(self) -> list[int]:
        """The units of each state."""
        return [self.units] * self._equations().states

    def initial_states(self, batch_size: int) -> list:
        return [jnp.zeros((batch_size, size), self.kernel.dtype) for size in self.state_size]

    def _walk(self, sequences, states, mask, training, key):
        x, scale = self._dropped(sequences, training, key)
        return recurrence.recur(self._equations(), x, self.kernel, self.recurrent_kernel, self.bias, states, mask=mask,
                                recurrent_scale=scale, reverse=self.go_backwards, **self._functions())


class SimpleRNN(_Whole, SimpleRNNWeights):
    """A simple recurrent layer: each step's output is computed from its input and the output before.

        h[t] = activation(x[t] @ kernel + h[t-1] @ recurrent_kernel + bias)

    Shapes: `(batch, time, features)` to `(batch, units)`, with `return_sequences` `(batch, time, units)`; kernel
    `(features, units)`, recurrent_kernel `(units, units)`, bias `(units,)`; the state is h, `(batch, units)`.

    Args:
        units: the size of the state and of the output.
        activation: a name or a function on arrays.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: projections of the weights after each update.
        dropout, recurrent_dropout: shares of the inputs, and of the state where it meets the recurrent kernel, set to
            zero in training, the same at all steps.
        seed: gives the dropout random numbers of its own.
        return_sequences: whether the output is that of all steps, not only of the last.
        return_state: whether the output is followed by the last state.
        go_backwards: whether it walks from the last step to the first; outputs and their mask come in that order.
        stateful: whether a batch begins with the states that the batch before ended with, row by row. Needs
            `Input(batch_shape=...)`, `shuffle=False`, and rows that go on; `reset_state()` begins anew.
        unroll: accepted, and without effect: the loop is compiled as one.
        zero_output_for_mask: whether masked steps give zeros instead of the last output.

    Called with `initial_state=[h]`, it begins with that.

    Raises:
        ShapeError: the input has no time axis, or an initial state does not fit.

    Reference: Elman, Finding Structure in Time (1990).

    Example:
        >>> import numpy as np
        >>> SimpleRNN(4)(np.ones((2, 5, 3), "float32")).shape
        (2, 4)
    """


class LSTM(_Whole, LSTMWeights):
    """A long short-term memory: gates decide what a cell state keeps, takes in and shows.

        i, f, g, o = split(x[t] @ kernel + h[t-1] @ recurrent_kernel + bias)
        c[t] = recurrent_activation(f) * c[t-1] + recurrent_activation(i) * activation(g)
        h[t] = recurrent_activation(o) * activation(c[t])

    Shapes: `(batch, time, features)` to `(batch, units)`, with `return_sequences` `(batch, time, units)`; kernel
    `(features, 4 * units)`, recurrent_kernel `(units, 4 * units)`, bias `(4 * units,)`; the states are h and c,
    `(batch, units)`.

    Args:
        units: the size of the states and of the output.
        activation, recurrent_activation: names or functions on arrays, for the candidate and for the gates.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        unit_forget_bias: whether the bias of the forget gate starts at 1.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: projections of the weights after each update.
        dropout, recurrent_dropout: shares of the inputs, and of h where it meets the recurrent kernel, set to zero in
            training, the same at all steps.
        seed: gives the dropout random numbers of its own.
        return_sequences: whether the output is that of all steps, not only of the last.
        return_state: whether the output is followed by the last h and c.
        go_backwards: whether it walks from the last step to the first; outputs and their mask come in that order.
        stateful: whether a batch begins with the states that the batch before ended with, row by row. Needs
            `Input(batch_shape=...)`, `shuffle=False`, and rows that go on; `reset_state()` begins anew.
        unroll: accepted, and without effect: the loop is compiled as one.
        zero_output_for_mask: whether masked steps give zeros instead of the last output.

    Called with `initial_state=[h, c]`, it begins with those: of another layer's `return_state`, for example.

    Raises:
        ShapeError: the input has no time axis, or an initial state does not fit.

    Reference: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Gers, Schmidhuber and Cummins, Learning to
    Forget (2000), for the forget gate.

    Example:
        >>> import numpy as np
        >>> y, h, c = LSTM(4, return_sequences=True, return_state=True)(np.ones((2, 5, 3), "float32"))
        >>> y.shape, h.shape, c.shape
        ((2, 5, 4), (2, 4), (2, 4))
    """


class GRU(_Whole, GRUWeights):
    """A gated recurrent unit: one gate decides how much of the state stays, another what the candidate sees of it.

        z = recurrent_activation(x[t] @ kernel_z + bias_z + h[t-1] @ recurrent_kernel_z + recurrent_bias_z)
        r = recurrent_activation(x[t] @ kernel_r + bias_r + h[t-1] @ recurrent_kernel_r + recurrent_bias_r)
        n = activation(x[t] @ kernel_n + bias_n + r * (h[t-1] @ recurrent_kernel_n + recurrent_bias_n))
        h[t] = z * h[t-1] + (1 - z) * n

    Shapes: `(batch, time, features)` to `(batch, units)`, with `return_sequences` `(batch, time, units)`; kernel
    `(features, 3 * units)`, recurrent_kernel `(units, 3 * units)`, bias `(2, 3 * units)`; the state is h,
    `(batch, units)`.

    Args:
        units: the size of the state and of the output.
        activation, recurrent_activation: names or functions on arrays, for the candidate and for the gates.
        use_bias: whether there are biases.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, recurrent_constraint, bias_constraint: projections of the weights after each update.
        dropout, recurrent_dropout: shares of the inputs, and of h where it meets the recurrent kernel, set to zero in
            training, the same at all steps.
        reset_after: whether the reset gate acts after the product with the state; else the candidate sees
            `(r * h) @ recurrent_kernel_n` and the bias is `(3 * units,)`.
        seed: gives the dropout random numbers of its own.
        return_sequences: whether the output is that of all steps, not only of the last.
        return_state: whether the output is followed by the last state.
        go_backwards: whether it walks from the last step to the first; outputs and their mask come in that order.
        stateful: whether a batch begins with the states that the batch before ended with, row by row. Needs
            `Input(batch_shape=...)`, `shuffle=False`, and rows that go on; `reset_state()` begins anew.
        unroll: accepted, and without effect: the loop is compiled as one.
        zero_output_for_mask: whether masked steps give zeros instead of the last output.

    Called with `initial_state=[h]`, it begins with that.

    Raises:
        ShapeError: the input has no time axis, or an initial state does not fit.

    Reference: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation
    (2014).

    Example:
        >>> import numpy as np
        >>> GRU(4, return_sequences=True)(np.ones((2, 5, 3), "float32")).shape
        (2, 5, 4)
    """


class RNN(Recurrent):
    """A cell run along sequences: one of chainrule's, several stacked, or one of your own.

        y[t], s[t] = cell(x[t], s[t-1])

    A cell is a layer with a `state_size` (a number, or a list of them), a `call(inputs, states)` that returns the
    output and the list of new states and, if it likes, an `output_size` and a `get_initial_state(batch_size)`. Random
    numbers that it draws are the same at all steps.

    Shapes: `(batch, time, ...)` to `(batch, output_size)`, with `return_sequences` `(batch, time, output_size)`.

    Args:
        cell: the cell, or a list of cells to be stacked.
        return_sequences: whether the output is that of all steps, not only of the last.
        return_state: whether the output is followed by the last states.
        go_backwards: whether it walks from the last step to the first; outputs and their mask come in that order.
        stateful: whether a batch begins with the states that the batch before ended with, row by row. Needs
            `Input(batch_shape=...)`, `shuffle=False`, and rows that go on; `reset_state()` begins anew.
        unroll: accepted, and without effect: the loop is compiled as one.
        zero_output_for_mask: whether masked steps give zeros instead of the last output (zeros before the first).

    Called with `initial_state=[...]`, it begins with those states.

    Raises:
        SettingError: `cell` is not a cell, or does not return what one returns.
        ShapeError: the input has no time axis, or a state does not fit.

    Reference: Elman, Finding Structure in Time (1990).

    Example:
        >>> import numpy as np
        >>> class RunningMean(Layer):
        ...     rate: float = 0.5
        ...     state_size = 3
        ...
        ...     def call(self, inputs, states):
        ...         mean = states[0] + self.rate * (inputs - states[0])
        ...         return mean, [mean]
        >>> RNN(RunningMean())(np.ones((1, 2, 3), "float32")).tolist()
        [[0.75, 0.75, 0.75]]
    """

    def __init__(self, cell, return_sequences=False, return_state=False, go_backwards=False, stateful=False,
                 unroll=False, zero_output_for_mask=False, **kwargs):
        super().__init__(return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
                         stateful=stateful, unroll=unroll, zero_output_for_mask=zero_output_for_mask, **kwargs)
        self.cell = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else checked_cell(cell, "RNN")

    def accepted_options(self):
        return super().accepted_options() - {"training", "key"}  # the cell receives its own

    @property
    def state_size(self) -> list:
        """The units of each state of the cell."""
        size = self.cell.state_size
        return list(size) if isinstance(size, (list, tuple)) else [size]

    def initial_states(self, batch_size: int) -> list:
        return first_states(self.cell, batch_size, self._bound.dtype)

    def _one_step(self, inputs, states):
        return run_cell(self.cell, inputs, list(states))

    def _walk(self, sequences, states, mask, training, key):
        if self._bound.declaring:
            run_cell(self.cell, sequences[:, 0], states)  # declares its weights, before the loop
        steps = jnp.moveaxis(sequences, 1, 0)
        real = None if mask is None else jnp.moveaxis(mask, 1, 0)
        if self.go_backwards:
            steps, real = jax.tree.map(lambda leaf: jnp.flip(leaf, 0), (steps, real))
        flat, structure = jax.tree.flatten(states)
        dtypes = [state.dtype for state in flat]
        nothing = jnp.zeros((len(sequences), output_size(self.cell)), self._bound.dtype)

        def advance(carried, at):
            before, last = carried
            x, is_real = at
            (output, after), losses = _apart(self._bound, self.cell, lambda: run_cell(
                self.cell, x, jax.tree.unflatten(structure, before)))
            if output.shape != last.shape:
                raise ShapeError(
                    f"`call` of {self.cell.describe()} returns an output of shape {format_shape(output.shape)}; "
                    f"expected {format_shape(last.shape)}, by its output_size, or its state_size where it has none.")
            output = output.astype(last.dtype)
            after = [state.astype(dtype) for state, dtype in zip(jax.tree.leaves(after), dtypes, strict=True)]
            if is_real is not None:
                keep = lambda new, old: jnp.where(is_real.reshape(-1, *[1] * (new.ndim - 1)), new, old)
                output, after = jax.tree.map(keep, (output, after), (last, before))
            return (after, output), (output, losses)

        (last, _), (outputs, losses) = lax.scan(advance, (flat, nothing), (steps, real))
        for loss in losses:
            self._bound.add_loss(loss.sum())
        return jnp.moveaxis(outputs, 0, 1), jax.tree.unflatten(structure, last)


def _apart(call, cell, run):
    """What `run()` returns inside a loop, and the losses that were added there; state cannot be assigned there."""
    outside = call.losses, call.observe, call.new_state
    call.losses, call.observe, call.new_state = [], None, {}
    try:
        outcome = run()
        if call.new_state:
            raise SettingError(
                f"The cell {cell.describe()} assigns state inside of a loop over steps, where it cannot be kept. What "
                f"it carries from step to step is in the states that `call` takes and returns.")
        return outcome, call.losses
    finally:
        call.losses, call.observe, call.new_state = outside


class Bidirectional(Layer):
    """A recurrent layer walked in both directions, its outputs put together step by step.

        y[t] = merge(forward(x)[t], backward(x)[t])

    Shapes: `(batch, time, features)` to what the layer gives, the last axis twice as long with `merge_mode="concat"`.
    With `return_state` the forward states follow, then the backward ones; with `merge_mode=None` both outputs.

    Args:
        layer: a recurrent layer; two of it are made, one for each direction.
        merge_mode: `"concat"`, `"sum"`, `"mul"`, `"ave"`, or `None` for both outputs as they are.
        weights: only `None`; arrays are set by `set_weights`, the forward layer's first.
        backward_layer: another layer for the way back, with `go_backwards=True`.

    Called with `initial_state=[...]`, the first half of the states is the forward layer's.

    Raises:
        SettingError: the layers are not recurrent ones that fit together.

    Reference: Schuster and Paliwal, Bidirectional Recurrent Neural Networks (1997).

    Example:
        >>> import numpy as np
        >>> Bidirectional(LSTM(4, return_sequences=True))(np.ones((2, 5, 3), "float32")).shape
        (2, 5, 8)
    """

    supports_masking = True

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        super().__init__(**kwargs)
        if merge_mode not in _MERGES:
            raise SettingError(
                f"Bidirectional: `merge_mode` is 'concat', 'sum', 'mul', 'ave' or None; got {merge_mode!r}.")
        if weights is not None:
            raise SettingError("Bidirectional: `weights` is not taken here; use set_weights once the layer is built.")
        self.merge_mode = merge_mode
        self.forward_layer = _fresh_copy(layer)
        if backward_layer is None:
            self.backward_layer = _fresh_copy(layer)
            self.backward_layer.go_backwards = not layer.go_backwards
        else:
            self.backward_layer = _fresh_copy(backward_layer)
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise SettingError("Bidirectional: one of the layers walks backwards; give one of them go_backwards=True.")
        for setting in ("return_sequences", "return_state", "stateful"):
            if getattr(forward, setting) != getattr(backward, setting):
                raise SettingError(
                    f"Bidirectional: both layers have the same `{setting}`; got {getattr(forward, setting)} forward "
                    f"and {getattr(backward, setting)} backward.")
        for direction in (forward, backward):
            direction.zero_output_for_mask = forward.return_sequences

    def call(self, sequences, initial_state=None, mask=None):
        states = [None, None]
        if initial_state is not None:
            half = len(initial_state) // 2
            states = [list(initial_state[:half]), list(initial_state[half:])]
        directions = (self.forward_layer, self.backward_layer)
        outputs, after = [], []
        for layer, its_states in zip(directions, states, strict=True):
            output = layer(sequences, initial_state=its_states, mask=mask)
            if layer.return_state:
                output, *last = output
                after += last
            outputs.append(jnp.flip(output, 1) if layer.return_sequences and layer.go_backwards else output)
        merged = _MERGES[self.merge_mode](*outputs)
        if self.merge_mode is None:
            return [*merged, *after]
        return [merged, *after] if self.forward_layer.return_state else merged

    def compute_mask(self, inputs, mask):
        layer = self.forward_layer
        mask = jax.tree.leaves(mask)[0] if layer.return_sequences else None
        masks = [mask] * (2 if self.merge_mode is None else 1)
        states = 2 * len(jax.tree.leaves(layer.state_size)) * layer.return_state
        return [*masks, *[None] * states] if len(masks) + states > 1 else mask

    def reset_state(self) -> None:
        """Set the states that stateful layers keep back to zero."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self) -> None:
        """The same as `reset_state`: its older name."""
        self.reset_state()


_MERGES = {
    "concat": lambda forward, backward: jnp.concatenate([forward, backward], axis=-1),
    "sum": lambda forward, backward: forward + backward,
    "mul": lambda forward, backward: forward * backward,
    "ave": lambda forward, backward: (forward + backward) / 2,
    None: lambda forward, backward: (forward, backward),
}


def _fresh_copy(layer):
    """Another recurrent layer with the same settings."""
    if not isinstance(layer, Recurrent):
        hint = " Write it with parentheses: LSTM(10)." if isinstance(layer, type) else ""
        raise SettingError(f"Bidirectional takes a recurrent layer (LSTM, GRU, SimpleRNN, RNN); got {layer!r}.{hint}")
    if layer.built:
        raise SettingError(
            f"Bidirectional makes two layers of the one it is given, with weights of their own; {layer.describe()} has "
            f"weights already. Give it a new one.")
    return copy.deepcopy(layer)


class TimeDistributed(Layer):
    """A layer applied to every step of a sequence, with the same weights.

        y[:, t] = layer(x[:, t])

    All steps of all sequences are the rows of one batch: a batch normalisation inside takes its statistics over them
    together.

    Shapes: `(batch, time, ...)` to `(batch, time, ...)`, the rest as the layer gives it.

    Args:
        layer: the layer.

    Raises:
        SettingError: it is not a layer.
        ShapeError: the input has no time axis.

    Example:
        >>> import numpy as np
        >>> from chainrule.layers import Conv2D
        >>> TimeDistributed(Conv2D(4, 3))(np.ones((2, 5, 8, 8, 3), "float32")).shape
        (2, 5, 6, 6, 4)
    """

    layer: Any

    supports_masking = True
    each_step = True
    casts_inputs = False  # the layer inside does, if it wants to

    def __post_init__(self):
        if not isinstance(self.layer, Layer):
            hint = " Write it with parentheses: Dense(10)." if isinstance(self.layer, type) else ""
            raise SettingError(f"TimeDistributed applies a layer; got {self.layer!r}.{hint}")

    def build(self, input_shape):
        if not isinstance(input_shape, (list, tuple)) or len(input_shape) < 3:
            raise ShapeError(
                f"TimeDistributed takes sequences, (batch, time, ...) with at least one more axis; got "
                f"{format_shape(input_shape)}. Use x[..., None] where each step is one number.")

    def call(self, inputs, mask=None):
        count, time = inputs.shape[:2]
        call, rows = self._bound, self._bound.rows
        options = {} if mask is None or mask.ndim < 3 else {"mask": mask.reshape(count * time, *mask.shape[2:])}
        call.rows = None if rows is None else jnp.repeat(rows, time)
        try:
            outputs = self.layer(inputs.reshape(count * time, *inputs.shape[2:]), **options)
        finally:
            call.rows = rows
        return jax.tree.map(lambda leaf: leaf.reshape(count, time, *leaf.shape[1:]), outputs)

    def compute_mask(self, inputs, mask):
        return mask.any(tuple(range(2, mask.ndim)))


class Masking(Layer):
    """Steps that hold nothing but one value, marked as not there for the layers that follow.

        mask[t] = any(x[t] != mask_value)

    Recurrent layers skip such steps; the loss leaves them out where outputs are sequences.

    Shapes: `(batch, time, features)` to the same, zeros in the masked steps.

    Args:
        mask_value: the value that says that a step is not there.

    Example:
        >>> import numpy as np
        >>> x = np.array([[[1.0], [2.0], [-1.0]]])
        >>> Masking(-1.0)(x).ravel().tolist()
        [1.0, 2.0, 0.0]
    """

    mask_value: float = 0.0

    casts_inputs = False  # the value is looked for in the data as they are

    def call(self, inputs):
        real = (inputs != self.mask_value).any(-1)
        outputs = jnp.where(real[..., None], inputs, jnp.zeros((), inputs.dtype))
        self._bound.set_mask(outputs, real)
        return outputs

    def compute_mask(self, inputs, mask):
        return mask & (inputs != self.mask_value).any(-1)


def _step_mask(layer, mask, sequences):
    """The mask of the sequences: `(batch, time)` booleans, or `None`."""
    masks = jax.tree.leaves(mask)  # with states among the inputs, theirs come behind
    if not masks:
        return None
    mask = jnp.asarray(masks[0]).astype(bool)
    if mask.shape != sequences.shape[:2]:
        raise ShapeError(
            f"{type(layer).__name__}: the mask has shape {format_shape(mask.shape)}; expected "
            f"{format_shape(sequences.shape[:2])}, (batch, time).")
    return mask


def _walked(layer, mask):
    """The mask in the order of the outputs."""
    return jnp.flip(mask, 1) if layer.go_backwards else mask
