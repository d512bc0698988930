"""A recurrence along whole sequences, from what enters each step: the simple one, the LSTM and the GRU.

Arrays have the batch first, `(batch, time, ...)`. A reversed walk begins with the last step: its outputs come in the
order of the walk, everything else lies in the order of the inputs. The gates lie side by side in the last axis.

There is a pair of kernels for float32 and one for bfloat16, with the same twin. In bfloat16 are what enters, the
kernel, and all that has a place for each step, but for what the LSTM remembers; states, bias, mask and factors of the
state are float32, and so is the work between two products.
"""
import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad

from chainrule.kernels.registry import Kernel

# In the order of `enum class Cell` in recurrence.h.
KINDS = ("simple", "lstm", "gru")


def _simple(x, product, h):
    h = jnp.tanh(x + product)
    return (h,), ()


def _lstm(x, product, h, c):
    i, f, g, o = jnp.split(x + product, 4, -1)
    i, f, g, o = lax.logistic(i), lax.logistic(f), jnp.tanh(g), lax.logistic(o)
    c = f * c + i * g
    return (o * jnp.tanh(c), c), (jnp.concatenate([i, f, g, o], -1), c)


def _gru(x, product, h):
    (x_z, x_r, x_n), (m_z, m_r, m_n) = jnp.split(x, 3, -1), jnp.split(product, 3, -1)
    z, r = lax.logistic(x_z + m_z), lax.logistic(x_r + m_r)
    n = jnp.tanh(x_n + r * m_n)
    return (z * h + (1 - z) * n,), (jnp.concatenate([z, r, n], -1), m_n)


_STEPS = {"simple": _simple, "lstm": _lstm, "gru": _gru}


def _wide(array):
    return array.astype(jnp.float32)


def _product(a, kernel):
    """In the type of the kernel, summed in float32."""
    return jnp.matmul(a.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def _steps_first(array):
    return None if array is None else jnp.moveaxis(array, 1, 0)


def _in_order(array, reverse: bool):
    """From the order of the inputs to that of the walk, and back."""
    return None if array is None else jnp.flip(array, 0) if reverse else array


def _forward(entering, kernel, *rest, kind: str, reverse: bool, with_bias: bool, with_mask: bool, with_scale: bool,
             saving: bool):
    """The outputs, for an LSTM the last c, and with `saving` what the gradients need."""
    states, bias, real, scale = _parted(rest, kind, with_bias, with_mask, with_scale)

    def advance(before, at):
        x, is_real = at
        factors = before[0] if scale is None else before[0] * scale
        product = _product(factors, kernel)
        after, saved = _STEPS[kind](_wide(x), product if bias is None else product + bias, *before)
        if is_real is not None:
            after = tuple(jnp.where(is_real[:, None] != 0, new, old) for new, old in zip(after, before, strict=True))
        if kind == "lstm":
            saved = (saved[0], after[1])
        gates = [gate.astype(kernel.dtype) for gate in saved[:1]]
        return after, (after[0].astype(kernel.dtype), (*gates, *saved[1:], factors.astype(kernel.dtype)))

    steps = tuple(_in_order(_steps_first(array), reverse) for array in (entering, real))
    last, (every, saved) = lax.scan(advance, states, steps)
    saved = [jnp.moveaxis(_in_order(array, reverse), 0, 1) for array in saved] if saving else []
    return [jnp.moveaxis(every, 0, 1), *last[1:], *saved]


def _parted(rest, kind: str, with_bias: bool, with_mask: bool, with_scale: bool):
    """The states, and what there is of recurrent bias, mask and factors of the state."""
    rest = list(rest)
    states = tuple(rest.pop(0) for _ in range(2 if kind == "lstm" else 1))
    return states, *(rest.pop(0) if given else None for given in (with_bias, with_mask, with_scale))


def _simple_back(gates, memory, before, d_h, d_c):
    return d_h * (1 - gates * gates), jnp.zeros_like(d_h), None


def _lstm_back(gates, memory, before, d_h, d_c):
    i, f, g, o = jnp.split(gates, 4, -1)
    squashed = jnp.tanh(memory)
    d_c = d_c + d_h * o * (1 - squashed * squashed)
    dx = [d_c * g * i * (1 - i), d_c * before * f * (1 - f), d_c * i * (1 - g * g), d_h * squashed * o * (1 - o)]
    return jnp.concatenate(dx, -1), jnp.zeros_like(d_h), d_c * f


def _gru_back(gates, memory, before, d_h, d_c):
    z, r, n = jnp.split(gates, 3, -1)
    d_n = d_h * (1 - z) * (1 - n * n)
    return jnp.concatenate([d_h * (before - n) * z * (1 - z), d_n * memory * r * (1 - r), d_n], -1), d_h * z, None


_STEPS_BACK = {"simple": _simple_back, "lstm": _lstm_back, "gru": _gru_back}


def _backward(gates, kernel, *rest, kind: str, reverse: bool, with_bias: bool, with_mask: bool, with_scale: bool):
    """The gradients of what enters, the kernel, the states, for a GRU what r is multiplied by, and the bias."""
    rest = list(rest)
    memory, before = (rest.pop(0), rest.pop(0)) if kind != "simple" else (None, None)
    factors, d_every = rest.pop(0), rest.pop(0)
    d_c = rest.pop(0) if kind == "lstm" else None
    real = rest.pop(0) if with_mask else None
    scale = rest.pop(0) if with_scale else None
    units = kernel.shape[0]

    def inward(dx, gates):
        """The gradient by the product of the state and the kernel."""
        if kind != "gru":
            return dx
        return jnp.concatenate([dx[..., :2 * units], dx[..., 2 * units:] * gates[..., units:2 * units]], -1)

    def retreat(d_states, at):
        d_h, d_c = d_states
        d_outside, gates, memory, before, is_real = at
        d_h, gates = d_h + _wide(d_outside), _wide(gates)
        dx, d_h_before, d_c_before = _STEPS_BACK[kind](gates, memory, before, d_h, d_c)
        through = _product(inward(dx, gates), kernel.T)
        d_h_before = d_h_before + (through if scale is None else through * scale)
        if is_real is not None:  # where the states were kept, they pass their gradients on
            is_real = is_real[:, None] != 0
            dx, d_h_before = jnp.where(is_real, dx, 0), jnp.where(is_real, d_h_before, d_h)
            d_c_before = None if d_c is None else jnp.where(is_real, d_c_before, d_c)
        return (d_h_before, d_c_before), (dx, inward(dx, gates))

    steps = [_in_order(_steps_first(array), reverse) for array in (gates, memory, real)]
    if kind == "lstm":
        before = jnp.concatenate([before[None], steps[1]])[:-1]  # c before each step, from the one before the first
    elif kind == "gru":
        before = _wide(_in_order(_steps_first(before), reverse))
    (d_h, d_c), found = lax.scan(
        retreat, (jnp.zeros((factors.shape[0], units)), d_c),
        (_steps_first(d_every), steps[0], steps[1], before, steps[2]), reverse=True)
    d_entering, d_product = (jnp.moveaxis(_in_order(array, reverse), 0, 1).astype(kernel.dtype) for array in found)
    d_kernel = jnp.einsum("nti,ntj->ij", factors, d_product, preferred_element_type=jnp.float32)
    results = [d_entering, d_kernel, d_h]
    results += [d_c] if kind == "lstm" else [d_product[..., 2 * units:]] if kind == "gru" else []
    return [*results, _wide(d_product).sum((0, 1))] if with_bias else results


def _gradient(arrays, results, cotangents, wanted, *, kind: str, reverse: bool, with_bias: bool, with_mask: bool,
              with_scale: bool, saving: bool):
    kernel = arrays[1]
    states, bias, real, scale = _parted(arrays[2:], kind, with_bias, with_mask, with_scale)
    every, *saved, factors = results
    d_every, *d_last = cotangents[:len(states)]
    last_c = [saved.pop(0)] if kind == "lstm" else []
    h_before = factors
    if scale is not None:
        h_before = jnp.concatenate([states[0][:, None].astype(every.dtype), every], 1)[:, :-1]
        h_before = jnp.flip(h_before, 1) if reverse else h_before
    if kind == "simple":
        operands = [jnp.flip(every, 1) if reverse else every, kernel]
    else:
        operands = [saved[0], kernel, saved[1], states[1] if last_c else h_before]
    operands += [factors, d_every, *d_last]
    operands += [array for array in (real, scale) if array is not None]
    back = recurrence_backward if kernel.dtype == jnp.float32 else recurrence_backward_bf16
    found = list(back(*operands, kind=kind, reverse=reverse, with_bias=with_bias, with_mask=with_mask,
                      with_scale=with_scale))
    d_entering, d_kernel, d_h = found[:3]
    d_states = [d_h, found[3]] if kind == "lstm" else [d_h]
    gradients = [d_entering, d_kernel.astype(kernel.dtype), *d_states]
    if with_bias:
        gradients.append(found[-1])
    if with_mask:
        gradients.append(None)
    if with_scale:
        gradients.append(None)
        if wanted[len(gradients) - 1]:
            units = kernel.shape[0]
            d_product = jnp.concatenate([d_entering[..., :2 * units], found[3]], -1) if kind == "gru" else d_entering
            gradients[-1] = (_wide(h_before) * _product(d_product, kernel.T)).sum(1)
    return gradients


class _Recurrence(Kernel):
    """A kernel that gives more where it is differentiated: what its gradient needs, and nobody else sees."""

    def _jvp(self, arrays, tangents, *, members, **settings):
        if settings["saving"]:  # a derivative of the derivative: by what was saved as well
            twin = functools.partial(self._run_twin, members=members, **settings)
            results = self._primitive.bind(*arrays, members=members, **settings)
            return results, jax.jvp(twin, tuple(arrays), tuple(map(ad.instantiate_zeros, tangents)))[1]
        results, moved = super()._jvp(arrays, tangents, members=members, **(settings | {"saving": True}))
        count = 2 if settings["kind"] == "lstm" else 1
        return results[:count], moved[:count]


def _numbered(settings: dict) -> dict:
    return settings | {"kind": KINDS.index(settings["kind"])}


# The gradient of what enters is written over the gates.
recurrence_forward = _Recurrence("chainrule_recurrence_forward", _forward, _gradient, _numbered)
recurrence_backward = Kernel("chainrule_recurrence_backward", _backward, attributes=_numbered, aliases={0: 0})
recurrence_forward_bf16 = _Recurrence("chainrule_recurrence_forward_bf16", _forward, _gradient, _numbered)
recurrence_backward_bf16 = Kernel("chainrule_recurrence_backward_bf16", _backward, attributes=_numbered,
                                  aliases={0: 0})
