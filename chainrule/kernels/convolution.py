"""Convolution of images with bias and activation, `y = activation(convolve(x, kernel) + bias)`, and its transpose.

Shapes: x `(images, *places, channels)`, kernel `(*window, channels / groups, filters)`. All kernels take the settings
`windows` (two axes of them), `groups` and `activation`.

There are kernels for images and weights of float32, and for those of bfloat16, with the same twins. The bias and the
gradients of weights are float32 in both.
"""
from typing import NamedTuple

import jax
import jax.numpy as jnp

from chainrule.kernels import convolution_twin, dense
from chainrule.kernels.convolution_twin import Windows
from chainrule.kernels.registry import Kernel


def finish(z, *bias, activation: str):
    """Bias and activation."""
    return dense.FUNCTIONS[activation](z + bias[0] if bias else z)


def _wide(array):
    return array.astype(jnp.float32)


def _finished(z, *bias, activation: str):
    """Bias and activation, in float32, and the type of `z`."""
    return [finish(_wide(z), *bias, activation=activation).astype(z.dtype)]


def _forward(x, kernel, *bias, windows: Windows, groups: int, activation: str):
    return _finished(convolution_twin.convolve(x, kernel, windows, groups), *bias, activation=activation)


def _input(dy, kernel, *bias, windows: Windows, groups: int, activation: str, places: tuple[int, int]):
    z = convolution_twin.convolve_transposed(dy, kernel, windows, groups, places)
    return _finished(z, *bias, activation=activation)


def _weights(x, dy, *y, windows: Windows, groups: int, activation: str, window: tuple[int, int], with_bias: bool,
             with_entered: bool):
    dz = _entered(dy, *y, activation=activation)
    narrow = dz.astype(dy.dtype)
    kernel = jax.ShapeDtypeStruct((*window, x.shape[-1] // groups, dy.shape[-1]), x.dtype)
    forward = lambda kernel: convolution_twin.convolve(x, kernel, windows, groups)
    results = [_wide(jax.linear_transpose(forward, kernel)(narrow)[0])]
    if with_bias:
        results.append(dz.sum((0, 1, 2)))
    if with_entered:
        results.append(narrow)
    return results


def _entered(dy, *y, activation: str):
    """The gradient of what enters the activation, in float32."""
    return _wide(dy) * dense.SLOPES[activation](_wide(y[0])) if y else _wide(dy)


def _forward_gradient(arrays, results, cotangents, wanted, *, windows: Windows, groups: int, activation: str):
    x, kernel, *bias = arrays
    (y,), (dy,), linear = results, cotangents, activation == "linear"
    settings = {"windows": windows, "groups": groups}
    by = kernels_for(x.dtype)
    dx = dkernel = dbias = None
    if wanted[1] or any(wanted[2:]):
        found = by.weights(x, dy, *([] if linear else [y]), **settings, activation=activation,
                                    window=kernel.shape[:2], with_bias=any(wanted[2:]),
                                    with_entered=wanted[0] and not linear)
        dkernel = found.pop(0).astype(kernel.dtype)
        dbias = found.pop(0) if any(wanted[2:]) else None
        dz = dy if linear else found[0] if wanted[0] else None
    else:
        dz = _entered(dy, y, activation=activation).astype(dy.dtype)
    if wanted[0]:
        dx, = by.input(dz, kernel, **settings, activation="linear", places=x.shape[1:3])
    return [dx, dkernel if wanted[1] else None, *[dbias] * len(bias)]


def _input_gradient(arrays, results, cotangents, wanted, *, windows: Windows, groups: int, activation: str, places):
    dy, kernel, *bias = arrays
    settings = {"windows": windows, "groups": groups, "activation": "linear"}
    wide = _entered(cotangents[0], *([] if activation == "linear" else results), activation=activation)
    entered, by = wide.astype(dy.dtype), kernels_for(dy.dtype)
    back = dkernel = None
    if wanted[0]:
        back, = by.forward(entered, kernel, **settings)
    if wanted[1]:
        dkernel, = by.weights(entered, dy, **settings, window=kernel.shape[:2], with_bias=False, with_entered=False)
        dkernel = dkernel.astype(kernel.dtype)
    return [back, dkernel, *[wide.sum((0, 1, 2))] * len(bias)]


def _numbered(settings: dict) -> dict:
    """The settings as the C++ code takes them; the padding behind shows in the shape of the result."""
    windows = settings["windows"]
    numbered = {"strides": windows.strides, "dilation": windows.dilation,
                "padding": tuple(before for before, _ in windows.padding), "groups": settings["groups"],
                "activation": dense.ACTIVATIONS.index(settings["activation"])}
    return numbered | {name: settings[name] for name in ("with_bias", "with_entered") if name in settings}


convolution_forward = Kernel("chainrule_convolution_forward", _forward, _forward_gradient, _numbered)
convolution_input = Kernel("chainrule_convolution_input", _input, _input_gradient, _numbered)
convolution_weights = Kernel("chainrule_convolution_weights", _weights, attributes=_numbered)
convolution_forward_bf16 = Kernel("chainrule_convolution_forward_bf16", _forward, _forward_gradient, _numbered)
convolution_input_bf16 = Kernel("chainrule_convolution_input_bf16", _input, _input_gradient, _numbered)
convolution_weights_bf16 = Kernel("chainrule_convolution_weights_bf16", _weights, attributes=_numbered)


class Kernels(NamedTuple):
    """Those for one type of numbers."""

    forward: Kernel
    input: Kernel
    weights: Kernel


def kernels_for(dtype) -> Kernels:
    """The kernels for images of float32 or of bfloat16."""
    if dtype == jnp.float32:
        return Kernels(convolution_forward, convolution_input, convolution_weights)
    return Kernels(convolution_forward_bf16, convolution_input_bf16, convolution_weights_bf16)
