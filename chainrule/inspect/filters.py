"""Pictures of what layers have learned to look for, and of what they find in an image."""
import math
from collections.abc import Iterable

import jax
import numpy as np

from chainrule import layers
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.inspect.activations import activations
from chainrule.inspect.pictures import TILE, Picture, fitting_scale, grid, spread
from chainrule.inspect.recording import is_single, numbers_of, require_layer, require_model
from chainrule.layers.base import Layer
from chainrule.layers.binding import lookup, walk
from chainrule.models import Model

TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)

# Of a layer with many channels in, the picture shows this many filters and channels unless more are asked for.
ROWS, COLUMNS = 16, 16


def filters(model: Model, layer: str, *, units: int | Iterable[int] | None = None,
            channels: int | Iterable[int] | None = None, input_shape: tuple[int, ...] | None = None,
            together: bool = False, columns: int | None = None, scale: int | None = None) -> Picture:
    """A picture of the kernel of a layer, one tile for each filter.

        shade = 0.5 + 0.5 * kernel / max |kernel|

    A weight of 0 is the middle grey, the largest positive weight white, the largest negative one black.

    - A convolution over one channel: a grey tile for each filter. Over three: a tile in colour. Over more: one row for
      each filter, one grey tile in it for each channel; with a single channel chosen, a tile for each filter.
    - A convolution along one axis: a tile for each filter, the channels below one another. Along three: the slices of
      the first of them beside one another.
    - A dense layer: a tile for each unit, its weights put into the shape of the image that they look at; where that is
      not known, the whole kernel as one picture, inputs down and units to the right.

    Args:
        model: the model.
        layer: the name of the layer.
        units: which filters are shown; by default all, or the first 16 of a convolution over more than three channels.
        channels: which channels they look at; by default all, or the first 16.
        input_shape: for a dense layer, the shape of the image, `(28, 28)` or `(32, 32, 3)`; by default that of the
            model's input where the sizes agree.
        together: whether shades mean the same in all tiles; by default each tile has its own largest weight.
        columns: how many tiles stand in a row.
        scale: how many pixels wide and high one weight is drawn; by default so that a tile is about 64.

    Returns:
        A `Picture`: `picture.save("filters.png")`, `picture.image`.

    Reference: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014).

    Example:
        >>> from chainrule.layers import Dense, Flatten
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((28, 28)), Flatten(), Dense(10)])
        >>> filters(model, "dense", columns=5, scale=1)
        <Picture: 59 rows of 152 pixels>
    """
    require_model(model, "filters")
    model._require_built("filters")
    weights, _ = model.variables()
    found = dict(walk(model))
    path = require_layer(layer, [name for name in found if name])
    kernel = np.asarray(_kernel(found[path], lookup(weights, path), path, found), "float64")
    if kernel.ndim == 2:
        tiles = _dense_tiles(kernel, path, units, channels, _image_shape(model, kernel, input_shape))
    elif input_shape is not None:
        raise SettingError(f"`input_shape` is for dense layers; {found[path].describe(path)} has windows of shape "
                           f"{format_shape(kernel.shape[:-2])}.")
    else:
        tiles, row = _convolution_tiles(kernel, path, units, channels)
        columns = row if columns is None else columns
    scale = fitting_scale(tiles.shape[1], TILE if len(tiles) > 1 else 4 * TILE) if scale is None else scale
    return grid(spread(tiles, around_zero=True, together=together), columns=columns, scale=scale)


def feature_maps(model: Model, x, layer: str, *, channels: int | Iterable[int] | None = None, together: bool = False,
                 columns: int | None = None, scale: int | None = None) -> Picture:
    """A picture of what a layer finds in one image, a grey tile for each channel of its output.

        shade = (y - min y) / (max y - min y)

    Args:
        model: the model.
        x: one image, as for `predict`; the batch axis may be left out.
        layer: the name of the layer, with an output `(batch, height, width, channels)`, or `(batch, steps, channels)`:
            that is one tile, the channels below one another.
        channels: which are shown; by default all.
        together: whether shades mean the same in all tiles; by default each tile has its own darkest and brightest.
        columns: how many tiles stand in a row.
        scale: how many pixels wide and high one entry is drawn; by default so that a tile is about 64.

    Returns:
        A `Picture`. The numbers themselves are `activations(model, x, layers=layer)[layer]`.

    Example:
        >>> from chainrule.layers import Dense
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((8, 8, 3)), Dense(4, name="mixed")])
        >>> feature_maps(model, np.ones((8, 8, 3)), "mixed", scale=2)
        <Picture: 35 rows of 35 pixels>
    """
    require_model(model, "feature_maps")
    maps = activations(model, _one_row(model, x), layers=layer)[layer]
    shape = getattr(maps, "shape", ())
    if len(shape) not in (3, 4):
        raise ShapeError(f"feature_maps shows outputs of shape (batch, height, width, channels) or (batch, steps, "
                         f"channels); that of the layer {layer!r} is {format_shape(shape) if shape else 'a structure'}."
                         f" Name a layer before the maps are flattened or averaged.")
    if len(maps) != 1:
        raise ShapeError(f"feature_maps shows one image; got {len(maps)}. Give one of them: x[:1].")
    chosen = _chosen(channels, shape[-1], "channels", layer, shape[-1])
    tiles = maps[0][..., chosen].T[None] if maps.ndim == 3 else np.moveaxis(maps[0], -1, 0)[chosen]
    scale = fitting_scale(tiles.shape[1], TILE if len(tiles) > 1 else 4 * TILE) if scale is None else scale
    return grid(spread(tiles, around_zero=False, together=together), columns=columns, scale=scale)


def _kernel(layer: Layer, own: dict, path: str, found: dict[str, Layer]):
    """The kernel of a layer, `(inputs, units)` or `(*window, channels, filters)`."""
    for name in ("kernel", "depthwise_kernel"):
        if name in own and own[name].ndim > 1:
            kernel = own[name]
            if name == "depthwise_kernel" or isinstance(layer, DEPTHWISE):  # filters of one channel each
                return kernel.reshape(*kernel.shape[:-2], 1, -1)
            return kernel.swapaxes(-1, -2) if isinstance(layer, TRANSPOSED) else kernel
    known = [name for name, other in found.items()
             if name and {"kernel", "depthwise_kernel"} & other.own_weights().keys()]
    listed = ", ".join(map(repr, known)) or "none"
    raise SettingError(f"The {layer.describe(path)} has no kernel to show. Layers with one: {listed}.")


def _convolution_tiles(kernel: np.ndarray, path: str, units, channels) -> tuple[np.ndarray, int | None]:
    """The tiles of a convolution, and how many belong into a row, where that is not free."""
    window, (inputs, count) = kernel.shape[:-2], kernel.shape[-2:]
    is_colour = inputs == 3 and channels is None and len(window) == 2
    many = inputs > 3 and len(window) == 2
    rows = _chosen(units, count, "units", path, ROWS if many and not is_single(channels) else count)
    if len(window) == 1:
        columns = _chosen(channels, inputs, "channels", path, inputs)
        return kernel[:, columns][..., rows].transpose(2, 1, 0), None
    if len(window) == 3:
        column = _chosen(channels, inputs, "channels", path, 1)
        if len(column) > 1:
            raise SettingError(f"The layer {path!r} has windows of three axes, of which one channel is shown; got "
                               f"channels={channels!r}.")
        slices = kernel[..., column[0], rows].transpose(3, 1, 0, 2)  # filter, height, slice, width
        return slices.reshape(*slices.shape[:2], -1), None
    if is_colour:
        return kernel[..., rows].transpose(3, 0, 1, 2), None
    columns = _chosen(channels, inputs, "channels", path, COLUMNS)
    tiles = kernel[:, :, columns][..., rows].transpose(3, 2, 0, 1)  # filter, channel, height, width
    return tiles.reshape(-1, *window), len(columns) if len(columns) > 1 else None


def _dense_tiles(kernel: np.ndarray, path: str, units, channels, shape: tuple[int, ...] | None) -> np.ndarray:
    rows = _chosen(units, kernel.shape[1], "units", path, kernel.shape[1])
    if shape is None:
        columns = _chosen(channels, kernel.shape[0], "channels", path, kernel.shape[0])
        return kernel[columns][:, rows][None]
    tiles = kernel[:, rows].T.reshape(len(rows), *shape)
    if len(shape) == 2:
        return tiles
    columns = _chosen(channels, shape[2], "channels", path, shape[2])
    if len(columns) not in (1, 3):
        raise SettingError(f"The weights of the layer {path!r} belong to images of {shape[2]} channels. Choose one to "
                           f"look at: channels=0.")
    return tiles[..., columns]


def _image_shape(model: Model, kernel: np.ndarray, input_shape) -> tuple[int, ...] | None:
    """The shape of the image that a dense layer looks at, if it is known."""
    if input_shape is not None:
        shape = tuple(input_shape)
        if len(shape) not in (2, 3) or math.prod(shape) != len(kernel):
            raise ShapeError(f"`input_shape` is (height, width) or (height, width, channels) of images with "
                             f"{len(kernel)} values, as many as the layer has inputs; got {input_shape}.")
        return shape
    graph = model.__dict__.get("_graph")
    shape = jax.tree.leaves(graph.inputs)[0].shape[1:] if graph is not None else ()
    return shape if len(shape) in (2, 3) and None not in shape and math.prod(shape) == len(kernel) else None


def _chosen(wanted, count: int, name: str, layer: str, default: int) -> list[int]:
    """The numbers of the units or channels to show."""
    return list(range(min(count, default))) if wanted is None else numbers_of(name, wanted, count, name, layer)


def _one_row(model: Model, x):
    """One image as a batch of one."""
    graph = model.__dict__.get("_graph")
    is_bare = graph is not None and hasattr(x, "ndim") and x.ndim == jax.tree.leaves(graph.inputs)[0].ndim - 1
    return x[None] if is_bare else x
