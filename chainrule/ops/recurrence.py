"""Recurrence: a state that is carried from step to step along a sequence.

The inputs of all steps are multiplied by the kernel in one product before the loop. With the usual activations the
backward pass is written out: it walks back once for the gradients of what enters each step, and makes those of the
weights afterwards, in one product over all steps instead of one a step:

    d recurrent_kernel = sum over t of h[t-1].T @ dm[t],   m[t] = h[t-1] @ recurrent_kernel + recurrent_bias

In float32 and bfloat16 on the CPU, C++ does both passes (`chainrule.kernels.recurrence`), with derivatives of every
kind. Elsewhere
they are loops of JAX. As for every `jax.custom_vjp`, the way back can then be differentiated again (Hessians are
forward over reverse, or reverse over reverse), while a forward derivative of the function itself (`jax.jvp`,
`jax.jacfwd`) is not defined for it. Activations given as functions, and the GRU that resets before its product, are
differentiated step by step by JAX, which knows all of these.
"""
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from chainrule import kernels
from chainrule.errors import ShapeError, format_shape
from chainrule.kernels.dense import dense_forward
from chainrule.kernels.dense_bf16 import dense_forward as dense_forward_bf16
from chainrule.kernels.recurrence import recurrence_forward, recurrence_forward_bf16
from chainrule.ops.pooling import widened


def simple_recurrence(inputs, kernel, recurrent_kernel, bias=None, initial_state=None, *, mask=None,
                      recurrent_scale=None, reverse: bool = False, activation: Callable | None = None):
    """The hidden states of a simple recurrent network.

        h[t] = tanh(x[t] @ kernel + h[t-1] @ recurrent_kernel + bias)

    Shapes: inputs `(batch, time, features)`, kernel `(features, units)`, recurrent_kernel `(units, units)`, bias
    `(units,)`, state `(batch, units)`; the outputs are `(batch, time, units)`.

    Args:
        inputs: the sequences, x.
        kernel, recurrent_kernel, bias: the weights; the bias may be `None`.
        initial_state: a tuple of the state before the first step; zeros where it is `None`.
        mask: `(batch, time)` booleans; a step where it is false keeps the state.
        recurrent_scale: factors `(batch, units)` of the state where it meets `recurrent_kernel`, the same at all steps:
            recurrent dropout.
        reverse: walk from the last step to the first; outputs come in the order of the walk.
        activation: a function in the place of tanh.

    Returns:
        The states of all steps, and the tuple of the last one.

    Raises:
        ShapeError: the sequences have no time axis.

    Reference: Elman, Finding Structure in Time (1990).

    Example:
        >>> outputs, (h,) = simple_recurrence(jnp.ones((1, 3, 1)), jnp.ones((1, 1)), jnp.zeros((1, 1)),
        ...                                   activation=lambda z: 2 * z)
        >>> outputs.ravel().tolist(), h.item()
        ([2.0, 2.0, 2.0], 2.0)
    """
    return recur(SIMPLE, inputs, kernel, recurrent_kernel, bias, initial_state, mask=mask,
                 recurrent_scale=recurrent_scale, reverse=reverse, activation=activation)


def lstm(inputs, kernel, recurrent_kernel, bias=None, initial_state=None, *, mask=None, recurrent_scale=None,
         reverse: bool = False, activation: Callable | None = None, recurrent_activation: Callable | None = None):
    """The hidden states of a long short-term memory.

        i, f, g, o = split(x[t] @ kernel + h[t-1] @ recurrent_kernel + bias)
        c[t] = sigmoid(f) * c[t-1] + sigmoid(i) * tanh(g)
        h[t] = sigmoid(o) * tanh(c[t])

    Shapes: inputs `(batch, time, features)`, kernel `(features, 4 * units)`, recurrent_kernel `(units, 4 * units)`,
    bias `(4 * units,)`, states `(batch, units)`; the outputs are `(batch, time, units)`.

    Args:
        inputs: the sequences, x.
        kernel, recurrent_kernel, bias: the weights of input gate, forget gate, candidate and output gate side by side;
            the bias may be `None`.
        initial_state: the tuple `(h, c)` before the first step; zeros where it is `None`.
        mask: `(batch, time)` booleans; a step where it is false keeps both states.
        recurrent_scale: factors `(batch, units)` of h where it meets `recurrent_kernel`, the same at all steps:
            recurrent dropout.
        reverse: walk from the last step to the first; outputs come in the order of the walk.
        activation, recurrent_activation: functions in the place of tanh and sigmoid.

    Returns:
        h at all steps, and the tuple `(h, c)` after the last one.

    Raises:
        ShapeError: the sequences have no time axis.

    Reference: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Gers, Schmidhuber and Cummins, Learning to
    Forget (2000), for the forget gate.

    Example:
        >>> outputs, (h, c) = lstm(jnp.ones((2, 5, 3)), jnp.ones((3, 16)), jnp.ones((4, 16)))
        >>> outputs.shape, h.shape, c.shape
        ((2, 5, 4), (2, 4), (2, 4))
    """
    return recur(LSTM, inputs, kernel, recurrent_kernel, bias, initial_state, mask=mask,
                 recurrent_scale=recurrent_scale, reverse=reverse, activation=activation,
                 recurrent_activation=recurrent_activation)


def gru(inputs, kernel, recurrent_kernel, bias=None, initial_state=None, *, reset_after: bool = True, mask=None,
        recurrent_scale=None, reverse: bool = False, activation: Callable | None = None,
        recurrent_activation: Callable | None = None):
    """The hidden states of a gated recurrent unit.

        z = sigmoid(x[t] @ kernel_z + h[t-1] @ recurrent_kernel_z + bias_z)
        r = sigmoid(x[t] @ kernel_r + h[t-1] @ recurrent_kernel_r + bias_r)
        n = tanh(x[t] @ kernel_n + bias_n + r * (h[t-1] @ recurrent_kernel_n + recurrent_bias_n))
        h[t] = z * h[t-1] + (1 - z) * n

    With `reset_after=False`, `n = tanh(x[t] @ kernel_n + bias_n + (r * h[t-1]) @ recurrent_kernel_n)`.

    Shapes: inputs `(batch, time, features)`, kernel `(features, 3 * units)`, recurrent_kernel `(units, 3 * units)`,
    bias `(2, 3 * units)`, that of the inputs and that of the state, or with `reset_after=False` `(3 * units,)`, state
    `(batch, units)`; the outputs are `(batch, time, units)`.

    Args:
        inputs: the sequences, x.
        kernel, recurrent_kernel, bias: the weights of update gate, reset gate and candidate side by side; the bias may
            be `None`.
        initial_state: a tuple of the state before the first step; zeros where it is `None`.
        reset_after: whether the reset gate acts after the product with the state.
        mask: `(batch, time)` booleans; a step where it is false keeps the state.
        recurrent_scale: factors `(batch, units)` of the state where it meets `recurrent_kernel`, the same at all steps:
            recurrent dropout.
        reverse: walk from the last step to the first; outputs come in the order of the walk.
        activation, recurrent_activation: functions in the place of tanh and sigmoid.

    Returns:
        The states of all steps, and the tuple of the last one.

    Raises:
        ShapeError: the sequences have no time axis.

    Reference: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation
    (2014).

    Example:
        >>> outputs, (h,) = gru(jnp.ones((2, 5, 3)), jnp.ones((3, 12)), jnp.ones((4, 12)))
        >>> outputs.shape, h.shape
        ((2, 5, 4), (2, 4))
    """
    return recur(GRU if reset_after else GRU_RESET_BEFORE, inputs, kernel, recurrent_kernel, bias, initial_state,
                 mask=mask, recurrent_scale=recurrent_scale, reverse=reverse, activation=activation,
                 recurrent_activation=recurrent_activation)


class Recurrence(NamedTuple):
    """The equations of one kind of recurrence.

    Attributes:
        name: what the kernel calls it.
        states: how many arrays the state is made of; the first is the output.
        step: `(x, multiply, states, activate, gate) -> (states, saved)`: the states after a step that `x` enters;
            `multiply(h)` is `h @ recurrent_kernel + recurrent_bias`; `saved` is what the backward pass needs.
        backward: `(saved, before, after, d_after) -> (dx, d_before)`, gradients by what enters the step and by the
            states before it, without the way through `multiply`; `None` where that is left to JAX.
        inward: `(dx, saved) -> dm`: the gradient by what `multiply` gave.
    """

    name: str
    states: int
    step: Callable
    backward: Callable | None
    inward: Callable | None


def recur(recurrence: Recurrence, inputs, kernel, recurrent_kernel, bias, initial_state=None, *, mask=None,
          recurrent_scale=None, reverse=False, activation=None, recurrent_activation=None):
    """One kind of recurrence along whole sequences, as `lstm` describes.

    Example:
        >>> recur(SIMPLE, jnp.ones((2, 3, 1)), jnp.ones((1, 4)), jnp.ones((4, 4)), None)[0].shape
        (2, 3, 4)
    """
    inputs = jnp.asarray(inputs)
    if inputs.ndim != 3:
        raise ShapeError(
            f"A recurrence runs along sequences, (batch, time, features); got {format_shape(inputs.shape)}. Use "
            f"x[..., None] where each step is one number.")
    if mask is not None:  # whatever stands in a step that does not count, NaN too, is kept out of the gradients
        mask = jnp.asarray(mask, bool)
        inputs = jnp.where(mask[..., None], inputs, 0)
    bias, recurrent_bias = (bias[0], bias[1]) if bias is not None and bias.ndim == 2 else (bias, None)
    usual = recurrence.backward is not None and activation is None and recurrent_activation is None
    taking_part = (inputs, kernel, recurrent_kernel, bias, recurrent_bias, recurrent_scale, initial_state)
    if usual and (kernels.serve(*jax.tree.leaves(taking_part))
                  or kernels.serve_bfloat16(inputs, kernel, recurrent_kernel)):
        return _by_kernel(recurrence, inputs, kernel, recurrent_kernel, bias, recurrent_bias, initial_state, mask,
                          recurrent_scale, reverse)
    entering = jnp.moveaxis(inputs, 1, 0) @ kernel  # steps first, as the loop takes them
    entering = entering if bias is None else entering + bias
    narrow, entering = entering.dtype, widened(entering)  # states in 16 bits would forget small steps
    recurrent_bias, recurrent_scale = (None if array is None else array.astype(entering.dtype)
                                       for array in (recurrent_bias, recurrent_scale))
    states = _start(recurrence, len(inputs), recurrent_kernel, entering.dtype, initial_state)
    real = None if mask is None else jnp.moveaxis(mask, 1, 0)[..., None]
    if reverse:
        entering, real = jax.tree.map(lambda leaf: jnp.flip(leaf, 0), (entering, real))
    if usual:
        every = _walk(recurrence, entering, recurrent_kernel, recurrent_bias, states, real, recurrent_scale)
    else:
        functions = (activation or jnp.tanh, recurrent_activation or lax.logistic)
        every, _ = _scan(recurrence, functions, entering, recurrent_kernel, recurrent_bias, states, real,
                         recurrent_scale)
    last = tuple(state[-1] for state in every) if len(entering) else states
    return jnp.moveaxis(every[0], 0, 1).astype(narrow), tuple(state.astype(narrow) for state in last)


def one_step(recurrence: Recurrence, inputs, kernel, recurrent_kernel, bias, states, *, recurrent_scale=None,
             activation=None, recurrent_activation=None):
    """One step of `recur`: inputs `(batch, features)` and the states before it; the tuple of the states after it.

    Example:
        >>> h, c = one_step(LSTM, jnp.ones((2, 3)), jnp.ones((3, 16)), jnp.ones((4, 16)), None, [jnp.zeros((2, 4))] * 2)
        >>> h.shape, c.shape
        ((2, 4), (2, 4))
    """
    bias, recurrent_bias = (bias[0], bias[1]) if bias is not None and bias.ndim == 2 else (bias, None)
    entering = inputs @ kernel if bias is None else inputs @ kernel + bias
    states = tuple(jnp.asarray(state, entering.dtype) for state in states)
    multiply = _multiplier(recurrent_kernel, recurrent_bias, recurrent_scale)
    return recurrence.step(entering, multiply, states, activation or jnp.tanh, recurrent_activation or lax.logistic)[0]


def _by_kernel(recurrence, inputs, kernel, recurrent_kernel, bias, recurrent_bias, initial_state, mask, scale, reverse):
    """What `recur` returns, by the kernel for the usual activations."""
    batch, time, features = inputs.shape
    narrow = inputs.dtype
    enter, forward = ((dense_forward, recurrence_forward) if narrow == jnp.float32 else
                      (dense_forward_bf16, recurrence_forward_bf16))
    wide = lambda array: None if array is None else array.astype(jnp.float32)
    (entering,) = enter(inputs.reshape(batch * time, features), wide(kernel), *([] if bias is None else [wide(bias)]),
                        activation="linear")
    entering = entering.reshape(batch, time, kernel.shape[1])
    states = _start(recurrence, batch, recurrent_kernel, jnp.float32, initial_state)
    optional = {"with_bias": wide(recurrent_bias), "with_mask": wide(mask),
                "with_scale": None if scale is None else jnp.broadcast_to(wide(scale), states[0].shape)}
    every, *rest = forward(
        entering, recurrent_kernel, *states, *[array for array in optional.values() if array is not None],
        kind=recurrence.name, reverse=reverse, saving=False,
        **{name: array is not None for name, array in optional.items()})
    return every, tuple(state.astype(narrow) for state in (every[:, -1] if time else states[0], *rest))


def _start(recurrence, batch: int, recurrent_kernel, dtype, initial_state):
    """The states before the first step, in the type of what is computed."""
    shape = (batch, recurrent_kernel.shape[0])
    if initial_state is None:
        return (jnp.zeros(shape, dtype),) * recurrence.states
    return tuple(jnp.broadcast_to(jnp.asarray(state, dtype), shape) for state in initial_state)


def _multiplier(recurrent_kernel, recurrent_bias, scale):
    """The product of a state and some columns of the recurrent kernel, its bias added."""

    def multiply(h, columns=slice(None)):
        product = _product(h if scale is None else h * scale, recurrent_kernel[:, columns])
        return product if recurrent_bias is None else product + recurrent_bias[columns]

    return multiply


def _product(h, kernel):
    """`h @ kernel` in the type of the kernel, summed in that of `h`."""
    return jnp.matmul(h.astype(kernel.dtype), kernel, preferred_element_type=h.dtype)


def _scan(recurrence, functions, entering, recurrent_kernel, recurrent_bias, states, real, scale):
    """The states after every step, and what each step saved, steps first."""
    multiply = _multiplier(recurrent_kernel, recurrent_bias, scale)

    def advance(before, at):
        x, is_real = at
        after, saved = recurrence.step(x, multiply, before, *functions)
        if is_real is not None:
            after = jax.tree.map(functools.partial(jnp.where, is_real), after, before)
        return after, (after, saved)

    return lax.scan(advance, states, (entering, real))[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _walk(recurrence, entering, recurrent_kernel, recurrent_bias, states, real, scale):
    """The states after every step, with the usual activations."""
    return _walk_forward(recurrence, entering, recurrent_kernel, recurrent_bias, states, real, scale)[0]


def _walk_forward(recurrence, entering, recurrent_kernel, recurrent_bias, states, real, scale):
    every, saved = _scan(recurrence, (jnp.tanh, lax.logistic), entering, recurrent_kernel, recurrent_bias, states,
                         real, scale)
    return every, (every, saved, recurrent_kernel, recurrent_bias, states, real, scale)


def _walk_backward(recurrence, residuals, d_every):
    every, saved, recurrent_kernel, recurrent_bias, states, real, scale = residuals
    before_every = tuple(jnp.concatenate([first[None], rest[:-1]]) for first, rest in zip(states, every, strict=True))

    def retreat(d_after, at):
        d_outside, saved, before, after, is_real = at
        d_after = jax.tree.map(jnp.add, d_after, d_outside)
        dx, d_before = recurrence.backward(saved, before, after, d_after)
        through = _product(recurrence.inward(dx, saved), recurrent_kernel.T)
        d_before = (d_before[0] + (through if scale is None else through * scale), *d_before[1:])
        if is_real is not None:  # where the states were kept, they pass their gradients on
            dx = jnp.where(is_real, dx, 0)
            d_before = jax.tree.map(functools.partial(jnp.where, is_real), d_before, d_after)
        return d_before, dx

    d_states, d_entering = lax.scan(retreat, jax.tree.map(jnp.zeros_like, states),
                                    (d_every, saved, before_every, every, real), reverse=True)
    inward = recurrence.inward(d_entering, saved)
    h = before_every[0]
    steps = (h if scale is None else h * scale, inward)
    d_kernel = jnp.einsum("tni,tnj->ij", *(leaf.astype(recurrent_kernel.dtype) for leaf in steps))
    d_bias = None if recurrent_bias is None else inward.sum((0, 1))
    d_scale = None if scale is None else (h * _product(inward, recurrent_kernel.T)).sum(0)
    return d_entering, d_kernel, d_bias, d_states, None, d_scale


_walk.defvjp(_walk_forward, _walk_backward)


def _simple_step(x, multiply, states, activate, gate):
    h = activate(x + multiply(states[0]))
    return (h,), ()


def _simple_backward(saved, before, after, d_after):
    (h,), (dh,) = after, d_after
    return dh * (1 - h * h), (jnp.zeros_like(h),)


def _lstm_step(x, multiply, states, activate, gate):
    h, c = states
    i, f, g, o = jnp.split(x + multiply(h), 4, axis=-1)
    i, f, g, o = gate(i), gate(f), activate(g), gate(o)
    c = f * c + i * g
    return (o * activate(c), c), (i, f, g, o)


def _lstm_backward(saved, before, after, d_after):
    (i, f, g, o), (dh, dc) = saved, d_after
    squashed = jnp.tanh(after[1])
    dc = dc + dh * o * (1 - squashed * squashed)
    dx = jnp.concatenate([dc * g * i * (1 - i), dc * before[1] * f * (1 - f), dc * i * (1 - g * g),
                          dh * squashed * o * (1 - o)], axis=-1)
    return dx, (jnp.zeros_like(dh), dc * f)


def _gru_step(x, multiply, states, activate, gate):
    (h,) = states
    x_z, x_r, x_n = jnp.split(x, 3, axis=-1)
    m_z, m_r, m_n = jnp.split(multiply(h), 3, axis=-1)
    z, r = gate(x_z + m_z), gate(x_r + m_r)
    n = activate(x_n + r * m_n)
    return (z * h + (1 - z) * n,), (z, r, n, m_n)


def _gru_backward(saved, before, after, d_after):
    (z, r, n, m_n), (h,), (dh,) = saved, before, d_after
    dn = dh * (1 - z) * (1 - n * n)
    return jnp.concatenate([dh * (h - n) * z * (1 - z), dn * m_n * r * (1 - r), dn], axis=-1), (dh * z,)


def _gru_inward(dx, saved):
    d_z, d_r, d_n = jnp.split(dx, 3, axis=-1)
    return jnp.concatenate([d_z, d_r, d_n * saved[1]], axis=-1)


def _gru_reset_before_step(x, multiply, states, activate, gate):
    (h,) = states
    units = h.shape[-1]
    x_z, x_r, x_n = jnp.split(x, 3, axis=-1)
    m_z, m_r = jnp.split(multiply(h, slice(2 * units)), 2, axis=-1)
    z, r = gate(x_z + m_z), gate(x_r + m_r)
    n = activate(x_n + multiply(r * h, slice(2 * units, None)))
    return (z * h + (1 - z) * n,), ()


SIMPLE = Recurrence("simple", 1, _simple_step, _simple_backward, lambda dx, saved: dx)
LSTM = Recurrence("lstm", 2, _lstm_step, _lstm_backward, lambda dx, saved: dx)
GRU = Recurrence("gru", 1, _gru_step, _gru_backward, _gru_inward)
GRU_RESET_BEFORE = Recurrence("gru_reset_before", 1, _gru_reset_before_step, None, None)
