"""Convolution of images with bias and activation, `y = activation(convolve(x, kernel) + bias)`, and its transpose.

Shapes: x `(images, *places, channels)`, kernel `(*window, channels / groups, filters)`. All kernels take the settings
`windows` (two axes of them), `groups` and `activation`.
"""
import jax

from chainrule.kernels import convolution_twin, dense
from chainrule.kernels.convolution_twin import Windows
from chainrule.kernels.registry import Kernel


def finish(z, *bias, activation: str):
    """Bias and activation."""
    return dense.FUNCTIONS[activation](z + bias[0] if bias else z)


def _forward(x, kernel, *bias, windows: Windows, groups: int, activation: str):
    return [finish(convolution_twin.convolve(x, kernel, windows, groups), *bias, activation=activation)]


def _input(dy, kernel, *bias, windows: Windows, groups: int, activation: str, places: tuple[int, int]):
    z = convolution_twin.convolve_transposed(dy, kernel, windows, groups, places)
    return [finish(z, *bias, activation=activation)]


def _weights(x, dy, *y, windows: Windows, groups: int, activation: str, window: tuple[int, int], with_bias: bool,
             with_entered: bool):
    dz = dy * dense.SLOPES[activation](y[0]) if y else dy
    kernel = jax.ShapeDtypeStruct((*window, x.shape[-1] // groups, dy.shape[-1]), x.dtype)
    forward = lambda kernel: convolution_twin.convolve(x, kernel, windows, groups)
    results = [jax.linear_transpose(forward, kernel)(dz)[0]]
    if with_bias:
        results.append(dz.sum((0, 1, 2)))
    if with_entered:
        results.append(dz)
    return results


def _forward_gradient(arrays, results, cotangents, wanted, *, windows: Windows, groups: int, activation: str):
    x, kernel, *bias = arrays
    (y,), (dy,), linear = results, cotangents, activation == "linear"
    settings = {"windows": windows, "groups": groups}
    dx = dkernel = dbias = None
    if wanted[1] or any(wanted[2:]):
        found = convolution_weights(x, dy, *([] if linear else [y]), **settings, activation=activation,
                                    window=kernel.shape[:2], with_bias=any(wanted[2:]),
                                    with_entered=wanted[0] and not linear)
        dkernel = found.pop(0)
        dbias = found.pop(0) if any(wanted[2:]) else None
        dz = dy if linear else found[0] if wanted[0] else None
    else:
        dz = dy * dense.SLOPES[activation](y)
    if wanted[0]:
        dx, = convolution_input(dz, kernel, **settings, activation="linear", places=x.shape[1:3])
    return [dx, dkernel if wanted[1] else None, *[dbias] * len(bias)]


def _input_gradient(arrays, results, cotangents, wanted, *, windows: Windows, groups: int, activation: str, places):
    dy, kernel, *bias = arrays
    settings = {"windows": windows, "groups": groups, "activation": "linear"}
    entered = cotangents[0] if activation == "linear" else cotangents[0] * dense.SLOPES[activation](results[0])
    back = dkernel = None
    if wanted[0]:
        back, = convolution_forward(entered, kernel, **settings)
    if wanted[1]:
        dkernel, = convolution_weights(entered, dy, **settings, window=kernel.shape[:2], with_bias=False,
                                       with_entered=False)
    return [back, dkernel, *[entered.sum((0, 1, 2))] * len(bias)]


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
