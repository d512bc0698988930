"""Convolution in 1 to 3 dimensions, channels last.

On a CPU, sequences and images of float32 and bfloat16 are left to the kernels, where those are built; all else to their
twin.
"""
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from chainrule import kernels
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.kernels import convolution_twin as twin
from chainrule.kernels.convolution import finish, kernels_for
from chainrule.kernels.convolution_twin import Windows
from chainrule.kernels.dense import ACTIVATIONS
from chainrule.ops.pooling import one_for_each_axis


def convolve(x, kernel, strides=1, padding="valid", dilation=1, groups: int = 1, *, bias=None,
             activation: str = "linear") -> jax.Array:
    """The sum of the entries under each window, weighted by a kernel that is the same everywhere.

        y[n, i, j, f] = sum over a, b, c of x[n, i * strides[0] + a * dilation[0], j * strides[1] + b * dilation[1], c]
                                            * kernel[a, b, c, f]

    The kernel is not turned round: mathematics calls this a cross-correlation.

    Shapes: x `(batch, *places, channels)` with 1, 2 or 3 axes of places, kernel `(*window, channels / groups, filters)`
    to `(batch, *places', filters)`. Along each axis, with `reach = (window - 1) * dilation + 1`,
    `places' = (places - reach) // strides + 1` with `"valid"` padding, `ceil(places / strides)` with `"same"` and
    `"causal"`.

    Args:
        x: the images (sequences, volumes).
        kernel: the weights of one window, for each filter.
        strides: how far apart windows are, one number or one for each axis of places.
        padding: `"valid"` takes windows inside the image only; `"same"` pads with zeros at both ends, evenly, the odd
            place at the far end; `"causal"` pads a sequence in front, so that no output sees a later input. Or the
            number of zeros at both ends of each axis: `[(1, 1), (0, 2)]`.
        dilation: how far apart the entries of one window are, likewise.
        groups: into how many parts the channels are divided; each part of the filters sees one part of the channels.
        bias: `(filters,)`, added to the sums.
        activation: what is applied to them then: `"linear"`, `"relu"`, `"tanh"`, `"sigmoid"` or `"elu"`.

    Raises:
        ShapeError: there is not even one window along some axis, or the channels do not fit the kernel.
        SettingError: a setting is not what it should be.

    Reference: LeCun et al., Gradient-Based Learning Applied to Document Recognition (1998).

    Example:
        >>> import numpy as np
        >>> x = np.array([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1)
        >>> convolve(x, np.array([-1.0, 1.0]).reshape(2, 1, 1)).ravel().tolist()
        [1.0, 2.0, 4.0]
    """
    x, kernel = _alike(x, kernel)
    _check_ranks(x, kernel, "convolve")
    windows = find_windows(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation, "convolve")
    channels, (inputs, filters) = x.shape[-1], kernel.shape[-2:]
    if not hasattr(groups, "__index__") or groups < 1 or filters % groups:
        raise SettingError(f"convolve: `groups` must be a positive integer that divides the {filters} filters of the "
                           f"kernel {format_shape(kernel.shape)}; got {groups!r}.")
    if inputs * groups != channels:
        of_groups = f" in {groups} groups" if groups > 1 else ""
        raise ShapeError(f"convolve: a kernel of shape {format_shape(kernel.shape)} is for {inputs * groups} channels"
                         f"{of_groups}; the input of shape {format_shape(x.shape)} has {channels}.")
    return _convolve(x, kernel, _of_type(bias, x), windows, int(groups), _checked(activation, "convolve"))


def convolve_transposed(x, kernel, strides=1, padding: str = "valid", output_padding=None, dilation=1, *, bias=None,
                        activation: str = "linear") -> jax.Array:
    """The transpose of a convolution: each entry of the input adds the kernel, times itself, to a window of the output.

        y[n, i * strides[0] + a * dilation[0], j * strides[1] + b * dilation[1], f]
            = sum over all i, j, a, b that lead there, and c, of x[n, i, j, c] * kernel[a, b, f, c]

    As a matrix it is the transpose of `convolve` with the same kernel, which takes images of the output's size to ones
    of the input's; so it is also that one's gradient.

    Shapes: x `(batch, *places, channels)`, kernel `(*window, filters, channels)` to `(batch, *places', filters)`. Along
    each axis, with `reach = (window - 1) * dilation + 1`, `places' = (places - 1) * strides + max(reach, strides)` with
    `"valid"` padding and `places * strides` with `"same"`. With `output_padding` it is
    `(places - 1) * strides + reach + output_padding` and `(places - 1) * strides + reach % 2 + output_padding`.

    Args:
        x: the images (sequences, volumes).
        kernel: the weights of one window, for each filter.
        strides: how far apart windows of the output are, one number or one for each axis of places.
        padding: `"valid"` keeps all windows whole; `"same"` cuts the edges off.
        output_padding: places added at the far end, likewise, fewer than the strides.
        dilation: how far apart the entries of one window are, likewise.
        bias, activation: as for `convolve`.

    Raises:
        ShapeError: the output would be empty, or the channels do not fit the kernel.

    Reference: Zeiler, Krishnan, Taylor and Fergus, Deconvolutional Networks (2010); Dumoulin and Visin, A Guide to
    Convolution Arithmetic for Deep Learning (2016), section 4.

    Example:
        >>> import numpy as np
        >>> x = np.array([1.0, 2.0]).reshape(1, 2, 1)
        >>> convolve_transposed(x, np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1), strides=2).ravel().tolist()
        [1.0, 10.0, 102.0, 20.0, 200.0]
    """
    x, kernel = _alike(x, kernel)
    _check_ranks(x, kernel, "convolve_transposed")
    windows, places = find_transposed_windows(
        x.shape[1:-1], kernel.shape[:-2], strides, padding, output_padding, dilation, "convolve_transposed")
    if kernel.shape[-1] != x.shape[-1]:
        raise ShapeError(f"convolve_transposed: a kernel of shape {format_shape(kernel.shape)} (window, filters, "
                         f"channels) is for {kernel.shape[-1]} channels; the input of shape {format_shape(x.shape)} "
                         f"has {x.shape[-1]}.")
    activation = _checked(activation, "convolve_transposed")
    return _convolve_transposed(x, kernel, _of_type(bias, x), windows, places, activation)


def convolve_depthwise(x, kernel, strides=1, padding="valid", dilation=1, *, bias=None,
                       activation: str = "linear") -> jax.Array:
    """A convolution of each channel by itself, with one or several kernels of its own.

        y[n, i, j, c * multiplier + m] = sum over a, b of
            x[n, i * strides[0] + a * dilation[0], j * strides[1] + b * dilation[1], c] * kernel[a, b, c, m]

    Shapes: x `(batch, *places, channels)`, kernel `(*window, channels, multiplier)` to
    `(batch, *places', channels * multiplier)`, the places as for `convolve`.

    Args:
        x: the images (sequences, volumes).
        kernel: the weights of one window, for each channel.
        strides, padding, dilation, bias, activation: as for `convolve`.

    Reference: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions (2017).

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0, 10.0], [2.0, 20.0]]).reshape(1, 2, 2)
        >>> convolve_depthwise(x, np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1)).tolist()
        [[[7.0, 100.0]]]
    """
    x, kernel = _alike(x, kernel)
    _check_ranks(x, kernel, "convolve_depthwise")
    windows = find_windows(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation, "convolve_depthwise")
    channels, multiplier = kernel.shape[-2:]
    if channels != x.shape[-1]:
        raise ShapeError(f"convolve_depthwise: a kernel of shape {format_shape(kernel.shape)} (window, channels, "
                         f"multiplier) is for {channels} channels; the input of shape {format_shape(x.shape)} has "
                         f"{x.shape[-1]}.")
    kernel = kernel.reshape(*kernel.shape[:-2], 1, channels * multiplier)
    return _convolve(x, kernel, _of_type(bias, x), windows, channels, _checked(activation, "convolve_depthwise"))


def convolve2d(image, kernel, strides=1, padding="valid", dilation=1) -> jax.Array:
    """A convolution of one plain image, or of a batch of them, as `convolve` defines it.

    Shapes (those of a batch have one axis more in front):

        image       kernel        output
        (H, W)      (h, w)        (H', W')
        (H, W, C)   (h, w)        (H', W', C)   the same kernel on each channel by itself
        (H, W, C)   (h, w, C)     (H', W')      one kernel over all channels, summed
        (H, W, C)   (h, w, C, F)  (H', W', F)   a bank of F such kernels

    Args:
        image: the image `(H, W)` or `(H, W, C)`, or images `(N, H, W, C)`. Whole numbers are taken as float32.
        kernel: the weights.
        strides: how far apart windows are, one number or two.
        padding: `"valid"`, `"same"`, or the zeros at both ends of both axes, `[(1, 1), (1, 1)]`.
        dilation: how far apart the entries of one window are, one number or two.

    Raises:
        ShapeError: image and kernel do not fit, or the output would be empty.

    Example:
        >>> import numpy as np
        >>> image = np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
        >>> convolve2d(image, np.array([[-1.0, 1.0]])).tolist()
        [[1.0, 2.0], [1.0, 2.0]]
    """
    image, kernel = _alike(image, kernel)
    if image.ndim not in (2, 3, 4):
        raise ShapeError(f"convolve2d takes an image, (height, width) or (height, width, channels), or a batch of "
                         f"them, (batch, height, width, channels); got {format_shape(image.shape)}.")
    channels = 1 if image.ndim == 2 else image.shape[-1]
    if not channels:
        raise ShapeError(f"convolve2d: an image of shape {format_shape(image.shape)} has no channels.")
    fits = kernel.ndim == 2 or (image.ndim > 2 and kernel.ndim in (3, 4) and kernel.shape[2] == channels)
    if not fits:
        banks = "" if image.ndim == 2 else (
            f", (height, width, {channels}) for all channels together, or (height, width, {channels}, filters)")
        raise ShapeError(f"convolve2d: an image of shape {format_shape(image.shape)} takes a kernel (height, width)"
                         f"{banks}; got {format_shape(kernel.shape)}.")
    images = image[..., None] if image.ndim == 2 else image
    images = images if image.ndim == 4 else images[None]
    windows = find_windows(images.shape[1:-1], kernel.shape[:2], strides, padding, dilation, "convolve2d")
    if kernel.ndim == 2:
        each = jnp.broadcast_to(kernel[..., None, None], (*kernel.shape, 1, channels))
        y = _convolve(images, each, None, windows, channels, "linear")
    else:
        y = _convolve(images, kernel if kernel.ndim == 4 else kernel[..., None], None, windows, 1, "linear")
    y = y[..., 0] if image.ndim == 2 or kernel.ndim == 3 else y
    return y if image.ndim == 4 else y[0]


def find_windows(places, lengths, strides, padding, dilation, owner: str) -> Windows:
    """The windows of a convolution of places, of which some may be open (`None`).

    Raises:
        ShapeError: there is not even one along some axis.
        SettingError: a setting is not what it should be; `owner` (a function or a layer) names it.

    Example:
        >>> find_windows((28, None), (3, 3), 1, "same", 1, "Conv2D").counts
        (28, None)
    """
    axes = len(places)
    strides = one_for_each_axis(strides, axes, "strides", owner)
    dilation = one_for_each_axis(dilation, axes, "dilation", owner)
    check_padding(padding, axes, owner)
    if 0 in lengths:
        raise ShapeError(f"{owner}: a kernel of size {format_shape(lengths)} has no entries. Expected at least one "
                         f"along each axis.")
    reaches = [(length - 1) * step + 1 for length, step in zip(lengths, dilation, strict=True)]
    pairs = [_padding_of(padding, axis, size, reach, stride)
             for axis, (size, reach, stride) in enumerate(zip(places, reaches, strides, strict=True))]
    counts = [size and max((size + sum(pair) - reach) // stride + 1, 0)  # no places, or an unknown number, stay so
              for size, pair, reach, stride in zip(places, pairs, reaches, strides, strict=True)]
    if 0 in counts:
        dilated = f", dilation {format_shape(dilation)}" if max(dilation) > 1 else ""
        padded = "" if isinstance(padding, str) else f", padded by {pairs}"
        fix = "a larger input" if 0 in places else "padding='same', a smaller kernel or a larger input"
        raise ShapeError(f"{owner}: the output would be empty. A kernel of size {format_shape(lengths)} (strides "
                         f"{format_shape(strides)}{dilated}) does not fit into an input of size "
                         f"{format_shape(places)}{padded}. Use {fix}.")
    return Windows(tuple(counts), strides, dilation, tuple(pairs))


def find_transposed_windows(places, lengths, strides, padding, output_padding, dilation,
                            owner: str) -> tuple[Windows, tuple[int | None, ...]]:
    """The windows of the convolution that a transposed one is the transpose of, and the places of its output.

    Raises:
        ShapeError: there would be no places.
        SettingError: a setting is not what it should be; `owner` (a function or a layer) names it.

    Example:
        >>> find_transposed_windows((7, None), (3, 3), 2, "same", None, 1, "Conv2DTranspose")[1]
        (14, None)
    """
    axes = len(places)
    strides = one_for_each_axis(strides, axes, "strides", owner)
    dilation = one_for_each_axis(dilation, axes, "dilation", owner)
    if padding not in ("valid", "same"):
        raise SettingError(f"{owner}: `padding` must be 'valid' or 'same'; got {padding!r}.")
    extra = (None,) * axes if output_padding is None else _checked_output_padding(output_padding, strides, owner)
    pairs, outputs = [], []
    for size, length, step, stride, more in zip(places, lengths, dilation, strides, extra, strict=True):
        reach = (length - 1) * step + 1
        whole = None if size is None else (size - 1) * stride + reach  # what all windows cover
        if padding == "valid":
            before, after = 0, reach - (max(reach, stride) if more is None else reach + more)
        else:
            cut = reach - (stride if more is None else reach % 2 + more)
            before = max(cut // 2, 0)
            after = cut - before
        pairs.append((before, after))
        outputs.append(size and whole - before - after)
    if any(size is not None and size <= 0 for size in outputs):
        raise ShapeError(f"{owner}: the output would be empty. An input of size {format_shape(places)}, with a kernel "
                         f"of size {format_shape(lengths)} and strides {format_shape(strides)}, gives one of size "
                         f"{format_shape(outputs)}. Use a larger input or a larger `output_padding`.")
    return Windows(tuple(places), strides, dilation, tuple(pairs)), tuple(outputs)


def check_padding(padding, axes: int, owner: str) -> None:
    """Padding is a name, or pairs of numbers; `"causal"` is for sequences.

    Raises:
        SettingError: it is something else; `owner` (a function or a layer) names it.
    """
    names = ("valid", "same", "causal") if axes == 1 else ("valid", "same")
    are_ends = lambda pair: isinstance(pair, Sequence) and len(pair) == 2 and all(
        hasattr(end, "__index__") and end >= 0 for end in pair)
    are_pairs = isinstance(padding, Sequence) and len(padding) == axes and all(map(are_ends, padding))
    if not (padding in names if isinstance(padding, str) else are_pairs):
        raise SettingError(f"{owner}: `padding` must be {', '.join(map(repr, names))} or {axes} "
                           f"pair{'s' if axes > 1 else ''} of numbers, the zeros at both ends of each axis; got "
                           f"{padding!r}.")


def _checked_output_padding(output_padding, strides, owner: str) -> tuple[int, ...]:
    axes = len(strides)
    values = tuple(output_padding) if isinstance(output_padding, Sequence) else (output_padding,) * axes
    fits = lambda value, stride: hasattr(value, "__index__") and 0 <= value < stride
    if len(values) != axes or not all(map(fits, values, strides)):
        raise SettingError(f"{owner}: `output_padding` must be a number from 0 to below the strides "
                           f"{format_shape(strides)}, or one for each axis; got {output_padding!r}.")
    return values


def _padding_of(padding, axis: int, size: int | None, reach: int, stride: int) -> tuple[int, int]:
    """The zeros before and after the places of one axis."""
    if not isinstance(padding, str):
        return int(padding[axis][0]), int(padding[axis][1])
    if padding == "causal":
        return reach - 1, 0
    if padding == "valid" or not size:
        return 0, 0
    missing = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return missing // 2, missing - missing // 2


def _alike(x, kernel) -> tuple[jax.Array, jax.Array]:
    """Two arrays in one type of floating-point numbers."""
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    dtype = dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.float32
    return x.astype(dtype), kernel.astype(dtype)


def _check_ranks(x, kernel, owner: str) -> None:
    plain = "" if x.ndim != 2 else " For a plain image there is convolve2d."
    if x.ndim not in (3, 4, 5):
        raise ShapeError(f"{owner} takes (batch, *places, channels) with 1, 2 or 3 axes of places; got "
                         f"{format_shape(x.shape)}.{plain}")
    if kernel.ndim != x.ndim:
        raise ShapeError(f"{owner}: an input of shape {format_shape(x.shape)} takes a kernel of {x.ndim} axes, "
                         f"{x.ndim - 2} for the window and two for channels; got {format_shape(kernel.shape)}.")


def _of_type(bias, x):
    """The bias in the type of the images."""
    return None if bias is None else jnp.asarray(bias).astype(x.dtype)


def _checked(activation: str, owner: str) -> str:
    if activation not in ACTIVATIONS:
        raise SettingError(f"{owner}: `activation` must be one of {', '.join(map(repr, ACTIVATIONS))}; got "
                           f"{activation!r}.")
    return activation


# Both are compiled once for each shape also where nothing around them is.
@functools.partial(jax.jit, static_argnames=("windows", "groups", "activation"))
def _convolve(x, kernel, bias, windows: Windows, groups: int, activation: str) -> jax.Array:
    """The convolution itself, for settings that fit."""
    biases = [] if bias is None else [bias]
    is_depthwise = groups > 1 and kernel.shape[-2] == 1
    if not _has_kernel(x):
        return finish(twin.convolve(x, kernel, windows, groups), *biases, activation=activation)
    if is_depthwise and x.dtype == jnp.bfloat16:  # no product, which bfloat16 would be faster for
        y = _convolve(*(array.astype(jnp.float32) for array in (x, kernel)), bias, windows, groups, activation)
        return y.astype(x.dtype)
    if is_depthwise:  # each channel as often as there are filters for it
        x, groups = jnp.repeat(x, kernel.shape[-1] // groups, -1), kernel.shape[-1]
    images, bank, wide = _as_images(x, kernel, windows)
    y, = kernels_for(x.dtype).forward(images, bank, *_wide(biases), windows=wide, groups=groups, activation=activation)
    return y if x.ndim == 4 else y[:, 0]


@functools.partial(jax.jit, static_argnames=("windows", "places", "activation"))
def _convolve_transposed(x, kernel, bias, windows: Windows, places: tuple[int, ...], activation: str) -> jax.Array:
    """The transposed convolution, to images of so many places."""
    biases = [] if bias is None else [bias]
    if not _has_kernel(x):
        return finish(twin.convolve_transposed(x, kernel, windows, 1, places), *biases, activation=activation)
    images, bank, wide = _as_images(x, kernel, windows)
    y, = kernels_for(x.dtype).input(images, bank, *_wide(biases), windows=wide, groups=1, activation=activation,
                                    places=places if x.ndim == 4 else (1, *places))
    return y if x.ndim == 4 else y[:, 0]


def _has_kernel(x) -> bool:
    """Whether a kernel serves, and may be used: for sequences and images of float32 or bfloat16."""
    return x.ndim < 5 and (kernels.serve(x) or kernels.serve_bfloat16(x))


def _wide(arrays) -> list:
    """In the type in which the kernels take a bias."""
    return [array.astype(jnp.float32) for array in arrays]


def _as_images(x, kernel, windows: Windows):
    """Sequences as images of one row."""
    if x.ndim == 4:
        return x, kernel, windows
    return x[:, None], kernel[None], Windows((1, *windows.counts), (1, *windows.strides), (1, *windows.dilation),
                                             ((0, 0), *windows.padding))
