"""Layers that apply the same weights at every place of a sequence, an image or a volume."""
from typing import Any

import jax.numpy as jnp

from chainrule import kernels
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.activation import fused_name, prepare_activation
from chainrule.layers.base import Layer
from chainrule.layers.dense import check_count, known_last_axis
from chainrule.layers.pooling import check_data_format
from chainrule.ops.convolution import (
    convolve,
    convolve_depthwise,
    convolve_transposed,
    find_transposed_windows,
    find_windows,
)
from chainrule.ops.pooling import one_for_each_axis

_PLACES = {1: "steps", 2: "height, width", 3: "depth, height, width"}


class _Windowed(Layer):
    """What the layers of this file have in common: a window over 1 to 3 axes, then a bias and an activation."""

    axes = 0  # of places, between the batch and the channels

    def __post_init__(self):
        owner = type(self).__name__
        check_data_format(self)
        for setting in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, setting, one_for_each_axis(getattr(self, setting), self.axes, setting, owner))
        self._check_places((None,) * self.axes, owner)
        prepare_activation(self)

    def _channels(self, input_shape) -> int:
        """How many channels come in, for an input that has the right axes and gives an output that is not empty."""
        owner = type(self).__name__
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) != self.axes + 2:
            grey = input_shape[1:] if len(input_shape) == self.axes + 1 and None not in input_shape[1:] else None
            fix = "" if grey is None else f" Give each place one channel: Reshape({(*grey, 1)}), or x[..., None]."
            raise ShapeError(f"{owner} takes inputs (batch, {_PLACES[self.axes]}, channels); got "
                             f"{format_shape(input_shape)}.{fix}")
        self._check_places(input_shape[1:-1], owner)
        return known_last_axis(self, input_shape)

    goes_on = True  # what it carries from step to step serves for sequences of any length

    def can_step(self, inputs: tuple, options: dict) -> bool:
        """Whether `step` gives what a call like this would: where no output sees a later input."""
        return getattr(self, "padding", None) == "causal" and tuple(self.strides) == (1,) and not options

    def initial_cache(self, batch: int, length: int):
        """The inputs before the first that a window reaches back to: zeros, as causal padding puts them."""
        reach = (self.kernel_size[0] - 1) * self.dilation_rate[0]
        return jnp.zeros((batch, reach, self._built_shape[-1]), self._bound.dtype)

    def step(self, x, cache):
        """The output for the next entries of a sequence, `(batch, steps, channels)`, and the inputs to remember.

        To be used on a bound copy, inside the `call` or `step` of another layer.
        """
        reach, entries = cache.shape[1], jnp.concatenate([cache, x], 1)
        return type(self).call(self, entries)[:, reach:], entries[:, entries.shape[1] - reach:]

    def _check_places(self, places, owner: str) -> None:
        find_windows(places, self.kernel_size, self.strides, self.padding, self.dilation_rate, owner)

    def _add_kernel(self, shape, kind: str = "kernel"):
        """A kernel with the settings `<kind>_initializer` and so on."""
        return self.add_weight(shape, getattr(self, f"{kind}_initializer"),
                               regularizer=getattr(self, f"{kind}_regularizer"),
                               constraint=getattr(self, f"{kind}_constraint"))

    def _add_bias(self, outputs: int) -> None:
        if self.use_bias:
            self.bias = self._add_kernel((outputs,), "bias")

    def _ended(self, function, x, *settings):
        """A function of `ops.convolution`, then the bias and the activation: in one, where a kernel does it in one."""
        bias = self.bias if self.use_bias else None
        if not kernels.serve(x):
            y = function(x, *settings)
            return self._activate(y if bias is None else y + bias)
        if fused := fused_name(self):
            return function(x, *settings, bias=bias, activation=fused)
        return self._activate(function(x, *settings, bias=bias))


class _Convolution(_Windowed):
    """A convolution with filters that see all channels, or one group of them."""

    filters: int
    kernel_size: Any
    strides: Any = 1
    padding: Any = "valid"
    data_format: str | None = None
    dilation_rate: Any = 1
    groups: int = 1
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    def __post_init__(self):
        super().__post_init__()
        check_count(self, "filters", self.filters)
        check_count(self, "groups", self.groups)
        if self.filters % self.groups:
            raise SettingError(f"{type(self).__name__}: `filters` must be a multiple of `groups`; got {self.filters} "
                               f"filters in {self.groups} groups.")

    def build(self, input_shape):
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ShapeError(f"{type(self).__name__} cannot divide {channels} channels into {self.groups} equal "
                             f"groups; got an input of shape {format_shape(input_shape)}. Set `groups` to a divisor "
                             f"of {channels}.")
        self.kernel = self._add_kernel((*self.kernel_size, channels // self.groups, self.filters))
        self._add_bias(self.filters)

    def call(self, x):
        return self._ended(convolve, x, self.kernel, self.strides, self.padding, self.dilation_rate, self.groups)


class _TransposedConvolution(_Windowed):
    """The transpose of a convolution."""

    filters: int
    kernel_size: Any
    strides: Any = 1
    padding: str = "valid"
    output_padding: Any = None
    data_format: str | None = None
    dilation_rate: Any = 1
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    def __post_init__(self):
        super().__post_init__()
        check_count(self, "filters", self.filters)

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.kernel = self._add_kernel((*self.kernel_size, self.filters, channels))
        self._add_bias(self.filters)

    def call(self, x):
        return self._ended(convolve_transposed, x, self.kernel, self.strides, self.padding, self.output_padding,
                           self.dilation_rate)

    def _check_places(self, places, owner: str) -> None:
        find_transposed_windows(places, self.kernel_size, self.strides, self.padding, self.output_padding,
                                self.dilation_rate, owner)


class _DepthwiseConvolution(_Windowed):
    """A convolution of each channel by itself."""

    kernel_size: Any
    strides: Any = 1
    padding: Any = "valid"
    depth_multiplier: int = 1
    data_format: str | None = None
    dilation_rate: Any = 1
    activation: Any = None
    use_bias: bool = True
    depthwise_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    depthwise_regularizer: Any = None
    bias_regularizer: Any = None
    depthwise_constraint: Any = None
    bias_constraint: Any = None

    def __post_init__(self):
        super().__post_init__()
        check_count(self, "depth_multiplier", self.depth_multiplier)

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.kernel = self._add_kernel((*self.kernel_size, channels, self.depth_multiplier), "depthwise")
        self._add_bias(channels * self.depth_multiplier)

    def call(self, x):
        return self._ended(convolve_depthwise, x, self.kernel, self.strides, self.padding, self.dilation_rate)


class _SeparableConvolution(_Windowed):
    """A convolution of each channel by itself, and a mixture of the channels at each place."""

    filters: int
    kernel_size: Any
    strides: Any = 1
    padding: Any = "valid"
    data_format: str | None = None
    dilation_rate: Any = 1
    depth_multiplier: int = 1
    activation: Any = None
    use_bias: bool = True
    depthwise_initializer: Any = "glorot_uniform"
    pointwise_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    depthwise_regularizer: Any = None
    pointwise_regularizer: Any = None
    bias_regularizer: Any = None
    depthwise_constraint: Any = None
    pointwise_constraint: Any = None
    bias_constraint: Any = None

    def __post_init__(self):
        super().__post_init__()
        check_count(self, "filters", self.filters)
        check_count(self, "depth_multiplier", self.depth_multiplier)

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.depthwise_kernel = self._add_kernel((*self.kernel_size, channels, self.depth_multiplier), "depthwise")
        mixed = channels * self.depth_multiplier
        self.pointwise_kernel = self._add_kernel((*(1,) * self.axes, mixed, self.filters), "pointwise")
        self._add_bias(self.filters)

    def call(self, x):
        y = convolve_depthwise(x, self.depthwise_kernel, self.strides, self.padding, self.dilation_rate)
        return self._ended(convolve, y, self.pointwise_kernel)


class Conv1D(_Convolution):
    """A convolution of sequences: each filter is a weighted sum of the steps in a window that slides along.

        y[t, f] = activation(sum over a, c of x[t * strides + a * dilation_rate, c] * kernel[a, c, f] + bias[f])

    Shapes: `(batch, steps, channels)` to `(batch, steps', filters)`; kernel `(size, channels / groups, filters)`, bias
    `(filters,)`. `steps'` is `steps / strides`, rounded up, with `"same"` and `"causal"` padding; with `"valid"` it is
    `(steps - reach) // strides + 1`, where `reach = (kernel_size - 1) * dilation_rate + 1`.

    Args:
        filters: the number of outputs at each step.
        kernel_size: the number of steps in a window.
        strides: how far apart windows are.
        padding: `"valid"` takes whole windows only; `"same"` pads with zeros at both ends; `"causal"` pads in front, so
            that no output sees a later step. Or the zeros at both ends, `[(1, 2)]`.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the steps of one window are.
        groups: into how many parts channels and filters are divided; each part of the filters sees one of the channels.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Waibel et al., Phoneme Recognition Using Time-Delay Neural Networks (1989); van den Oord et al., WaveNet
    (2016), for causal padding.

    Example:
        >>> import numpy as np
        >>> Conv1D(8, 3, padding="causal")(np.ones((2, 10, 4), "float32")).shape
        (2, 10, 8)
    """

    axes = 1


class Conv2D(_Convolution):
    """A convolution of images: each filter is a weighted sum of the entries in a window that slides over the image.

        y[i, j, f] = activation(sum over a, b, c of x[i * s + a * d, j * s + b * d, c] * kernel[a, b, c, f] + bias[f])

    with `s` the strides and `d` the dilation rate, which may differ between the axes.

    Shapes: `(batch, height, width, channels)` to `(batch, height', width', filters)`; kernel
    `(*kernel_size, channels / groups, filters)`, bias `(filters,)`. `height'` is `height / strides`, rounded up, with
    `"same"` padding; with `"valid"` it is `(height - reach) // strides + 1`, where
    `reach = (kernel_size - 1) * dilation_rate + 1`.

    Args:
        filters: the number of outputs at each place.
        kernel_size: the height and width of a window, one number or two.
        strides: how far apart windows are, likewise.
        padding: `"valid"` takes whole windows only; `"same"` pads with zeros at both ends of each axis, evenly, the odd
            one at the far end. Or the zeros at both ends of both axes, `[(1, 1), (1, 1)]`.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the entries of one window are, likewise.
        groups: into how many parts channels and filters are divided; each part of the filters sees one of the channels.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: LeCun et al., Gradient-Based Learning Applied to Document Recognition (1998).

    Example:
        >>> import numpy as np
        >>> Conv2D(8, 3, strides=2, activation="relu")(np.ones((2, 28, 28, 1), "float32")).shape
        (2, 13, 13, 8)
    """

    axes = 2


class Conv3D(_Convolution):
    """A convolution of volumes or films: each filter is a weighted sum of the entries in a window that slides over it.

    The equation is that of `Conv2D` with one axis more.

    Shapes: `(batch, depth, height, width, channels)` to `(batch, depth', height', width', filters)`; kernel
    `(*kernel_size, channels / groups, filters)`, bias `(filters,)`.

    Args:
        filters: the number of outputs at each place.
        kernel_size: the depth, height and width of a window, one number or three.
        strides: how far apart windows are, likewise.
        padding: `"valid"`, `"same"`, or the zeros at both ends of the three axes, as for `Conv2D`.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the entries of one window are, likewise.
        groups: into how many parts channels and filters are divided; each part of the filters sees one of the channels.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Ji, Xu, Yang and Yu, 3D Convolutional Neural Networks for Human Action Recognition (2013).

    Example:
        >>> import numpy as np
        >>> Conv3D(4, (1, 3, 3))(np.ones((2, 5, 8, 8, 1), "float32")).shape
        (2, 5, 6, 6, 4)
    """

    axes = 3


class Conv1DTranspose(_TransposedConvolution):
    """The transpose of a convolution of sequences: each step of the input adds the kernel to a window of the output.

        y[t * strides + a * dilation_rate, f] += sum over c of x[t, c] * kernel[a, f, c],  then bias and activation

    Shapes: `(batch, steps, channels)` to `(batch, steps', filters)`; kernel `(size, filters, channels)`, bias
    `(filters,)`. `steps'` is `steps * strides` with `"same"` padding and `(steps - 1) * strides + max(reach, strides)`
    with `"valid"`, where `reach = (kernel_size - 1) * dilation_rate + 1`.

    Args:
        filters: the number of outputs at each step.
        kernel_size: the number of steps in a window.
        strides: how far apart windows of the output are.
        padding: `"valid"` keeps all windows whole; `"same"` cuts the ends off.
        output_padding: sets the number of steps itself, below the strides: `(steps - 1) * strides + reach +
            output_padding` with `"valid"` padding, with `"same"` 1 or 0 (`reach` odd or even) in the place of `reach`.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the steps of one window are.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Dumoulin and Visin, A Guide to Convolution Arithmetic for Deep Learning (2016), section 4.

    Example:
        >>> import numpy as np
        >>> Conv1DTranspose(8, 3, strides=2, padding="same")(np.ones((2, 10, 4), "float32")).shape
        (2, 20, 8)
    """

    axes = 1


class Conv2DTranspose(_TransposedConvolution):
    """The transpose of a convolution of images: each entry of the input adds the kernel to a window of the output.

        y[i * s + a * d, j * s + b * d, f] += sum over c of x[i, j, c] * kernel[a, b, f, c],  then bias and activation

    with `s` the strides and `d` the dilation rate, which may differ between the axes.

    Shapes: `(batch, height, width, channels)` to `(batch, height', width', filters)`; kernel
    `(*kernel_size, filters, channels)`, bias `(filters,)`. With `"same"` padding `height'` is `height * strides`; with
    `"valid"` it is `(height - 1) * strides + max(reach, strides)`, where
    `reach = (kernel_size - 1) * dilation_rate + 1`.

    Args:
        filters: the number of outputs at each place.
        kernel_size: the height and width of a window, one number or two.
        strides: how far apart windows of the output are, likewise.
        padding: `"valid"` keeps all windows whole; `"same"` cuts the edges off.
        output_padding: sets the size itself, below the strides, one number or two: `(height - 1) * strides + reach +
            output_padding` with `"valid"` padding, with `"same"` 1 or 0 (`reach` odd or even) in the place of `reach`.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the entries of one window are, likewise.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Zeiler, Krishnan, Taylor and Fergus, Deconvolutional Networks (2010); Dumoulin and Visin, A Guide to
    Convolution Arithmetic for Deep Learning (2016), section 4.

    Example:
        >>> import numpy as np
        >>> Conv2DTranspose(8, 3, strides=2, padding="same")(np.ones((2, 7, 7, 4), "float32")).shape
        (2, 14, 14, 8)
    """

    axes = 2


class Conv3DTranspose(_TransposedConvolution):
    """The transpose of a convolution of volumes: each entry of the input adds the kernel to a window of the output.

    Equation and sizes are those of `Conv2DTranspose` with one axis more.

    Shapes: `(batch, depth, height, width, channels)` to `(batch, depth', height', width', filters)`; kernel
    `(*kernel_size, filters, channels)`, bias `(filters,)`.

    Args:
        filters: the number of outputs at each place.
        kernel_size: the depth, height and width of a window, one number or three.
        strides: how far apart windows of the output are, likewise.
        padding: `"valid"` keeps all windows whole; `"same"` cuts the edges off.
        output_padding: sets the size itself, one number or three, as for `Conv2DTranspose`.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the entries of one window are, likewise.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Dumoulin and Visin, A Guide to Convolution Arithmetic for Deep Learning (2016), section 4.

    Example:
        >>> import numpy as np
        >>> Conv3DTranspose(4, 2, strides=2)(np.ones((1, 3, 4, 4, 2), "float32")).shape
        (1, 6, 8, 8, 4)
    """

    axes = 3


class DepthwiseConv1D(_DepthwiseConvolution):
    """A convolution of each channel of a sequence by itself, with one or several kernels of its own.

        y[t, c * depth_multiplier + m] = activation(
            sum over a of x[t * strides + a * dilation_rate, c] * kernel[a, c, m] + bias[c * depth_multiplier + m])

    Shapes: `(batch, steps, channels)` to `(batch, steps', channels * depth_multiplier)`, the steps as for `Conv1D`;
    kernel `(size, channels, depth_multiplier)`, bias `(channels * depth_multiplier,)`.

    Args:
        kernel_size: the number of steps in a window.
        strides: how far apart windows are.
        padding: `"valid"`, `"same"`, `"causal"`, or the zeros at both ends, as for `Conv1D`.
        depth_multiplier: the number of kernels for each channel.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the steps of one window are.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        depthwise_initializer, bias_initializer: how kernel and bias start.
        depthwise_regularizer, bias_regularizer: penalties on them, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        depthwise_constraint, bias_constraint: projections of them after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions (2017).

    Example:
        >>> import numpy as np
        >>> DepthwiseConv1D(3, depth_multiplier=2)(np.ones((2, 10, 4), "float32")).shape
        (2, 8, 8)
    """

    axes = 1


class DepthwiseConv2D(_DepthwiseConvolution):
    """A convolution of each channel of an image by itself, with one or several kernels of its own.

        y[i, j, c * depth_multiplier + m] = activation(sum over a, b of
            x[i * s + a * d, j * s + b * d, c] * kernel[a, b, c, m] + bias[c * depth_multiplier + m])

    with `s` the strides and `d` the dilation rate, which may differ between the axes.

    Shapes: `(batch, height, width, channels)` to `(batch, height', width', channels * depth_multiplier)`, the places as
    for `Conv2D`; kernel `(*kernel_size, channels, depth_multiplier)`, bias `(channels * depth_multiplier,)`.

    Args:
        kernel_size: the height and width of a window, one number or two.
        strides: how far apart windows are, likewise.
        padding: `"valid"`, `"same"`, or the zeros at both ends of both axes, as for `Conv2D`.
        depth_multiplier: the number of kernels for each channel.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the entries of one window are, likewise.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        depthwise_initializer, bias_initializer: how kernel and bias start.
        depthwise_regularizer, bias_regularizer: penalties on them, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        depthwise_constraint, bias_constraint: projections of them after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Howard et al., MobileNets (2017).

    Example:
        >>> import numpy as np
        >>> DepthwiseConv2D(3, padding="same")(np.ones((2, 8, 8, 4), "float32")).shape
        (2, 8, 8, 4)
    """

    axes = 2


class SeparableConv1D(_SeparableConvolution):
    """A convolution of sequences in two parts: along the steps for each channel, then over the channels for each step.

        y = activation(convolve(convolve_depthwise(x, depthwise_kernel), pointwise_kernel) + bias)

    Shapes: `(batch, steps, channels)` to `(batch, steps', filters)`, the steps as for `Conv1D`; depthwise kernel
    `(size, channels, depth_multiplier)`, pointwise kernel `(1, channels * depth_multiplier, filters)`, bias
    `(filters,)`.

    Args:
        filters: the number of outputs at each step.
        kernel_size: the number of steps in a window.
        strides: how far apart windows are.
        padding: `"valid"`, `"same"`, `"causal"`, or the zeros at both ends, as for `Conv1D`.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the steps of one window are.
        depth_multiplier: the number of depthwise kernels for each channel.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        depthwise_initializer, pointwise_initializer, bias_initializer: how the weights start.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer: penalties on them, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        depthwise_constraint, pointwise_constraint, bias_constraint: projections of them after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions (2017).

    Example:
        >>> import numpy as np
        >>> SeparableConv1D(8, 3)(np.ones((2, 10, 4), "float32")).shape
        (2, 8, 8)
    """

    axes = 1


class SeparableConv2D(_SeparableConvolution):
    """A convolution of images in two parts: over the places for each channel, then over the channels for each place.

        y = activation(convolve(convolve_depthwise(x, depthwise_kernel), pointwise_kernel) + bias)

    Shapes: `(batch, height, width, channels)` to `(batch, height', width', filters)`, the places as for `Conv2D`;
    depthwise kernel `(*kernel_size, channels, depth_multiplier)`, pointwise kernel
    `(1, 1, channels * depth_multiplier, filters)`, bias `(filters,)`.

    Args:
        filters: the number of outputs at each place.
        kernel_size: the height and width of a window, one number or two.
        strides: how far apart windows are, likewise.
        padding: `"valid"`, `"same"`, or the zeros at both ends of both axes, as for `Conv2D`.
        data_format: `"channels_last"`, the only one there is.
        dilation_rate: how far apart the entries of one window are, likewise.
        depth_multiplier: the number of depthwise kernels for each channel.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there is a bias.
        depthwise_initializer, pointwise_initializer, bias_initializer: how the weights start.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer: penalties on them, added to the loss.
        activity_regularizer: a penalty on the output, divided by the rows.
        depthwise_constraint, pointwise_constraint, bias_constraint: projections of them after each update.

    Raises:
        ShapeError: the output would be empty, or the input has other axes.

    Reference: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions (2017).

    Example:
        >>> import numpy as np
        >>> SeparableConv2D(8, 3)(np.ones((2, 8, 8, 4), "float32")).shape
        (2, 6, 6, 8)
    """

    axes = 2
