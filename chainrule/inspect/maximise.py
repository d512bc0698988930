"""Inputs made to order: what a unit of a network answers to most."""
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule import activations
from chainrule.errors import NotReadyError, SettingError, ShapeError, UnknownNameError, did_you_mean, format_shape
from chainrule.inspect.pictures import Picture, fitting_scale, grid
from chainrule.inspect.recording import KINDS, is_single, numbers_of, record, require_layer
from chainrule.inspect.scores import input_dtype, precision_of, survey
from chainrule.layers.binding import seed_words
from chainrule.models import Model, check_whole
from chainrule.ops import random


@dataclass(frozen=True, eq=False)
class Maximisation:
    """The input that `maximise` found for a unit; for several units, all arrays have an axis for them in front.

    Attributes:
        layer: the layer's name.
        unit: the number of the unit, or the list of them.
        image: `(height, width, channels)`, from 0 to 1, for showing.
        input: the same as the network takes it.
        activation: `(steps + 1,)`, the mean activation of the unit at the start and after each step, without jitter.
    """

    layer: str
    unit: int | list[int]
    image: np.ndarray
    input: np.ndarray
    activation: np.ndarray

    def __repr__(self) -> str:
        shown = format_shape(self.image.shape)
        return f"<Maximisation: {self.layer!r}, unit {self.unit}, image {shown}, steps {self.activation.shape[-1] - 1}>"

    @property
    def picture(self) -> Picture:
        """The image as a `Picture`, those of several units side by side."""
        images = self.image if isinstance(self.unit, list) else self.image[None]
        if images.ndim < 3 or images.ndim == 4 and images.shape[-1] not in (1, 3):
            raise ShapeError(f"Inputs of shape {format_shape(images.shape[1:])} are no images, so there is no picture "
                             f"of them; their values are in `image`.")
        return grid(images, scale=fitting_scale(images.shape[1]))


def maximise(model: Model, layer: str, unit: int | Iterable[int], *, steps: int = 100, learning_rate: float = 0.02,
             seed: int = 0, start=None, size: tuple[int, int] | None = None,
             value_range: tuple[float, float] = (0.0, 1.0), preprocess: Callable | None = None,
             total_variation: float = 0.1, blur: float = 1.0, jitter: int = 2,
             of: str | None = None) -> Maximisation:
    """The image that a unit of a layer answers to most, found by climbing along the derivative of its activation.

        a(image) = mean over places of the unit's activation for preprocess(low + (high - low) * image)
        step = blurred(d a / d image) / its root mean square - total_variation * d variation / d image
        image = clip(image + learning_rate * step, 0, 1)

    `low` and `high` are `value_range`; `variation` is half the sum of the squared differences between neighbours. The
    derivative is taken at the image moved by up to `jitter` pixels either way, another move in each step. These three
    keep the image from filling with the fine noise that networks answer to: smoothing the derivative, holding
    neighbours together, and asking for an answer that does not hang on single places. They act on rows and columns;
    inputs that are not images have none.

    Args:
        model: a model with one input.
        layer: the name of the layer.
        unit: the number of the unit, its place in the last axis of the output: a filter of a convolution, a class of
            the last layer. Of several, an image each, found together.
        steps: how many.
        learning_rate: how far the pixels move in a step, as a share of the range.
        seed: decides the start, grey with some noise, and the moves; also the weights of a model that has none yet.
        start: the image to begin at instead, values in `value_range`; a photo gives a dream of it.
        size: the height and width, where the model leaves them open.
        value_range: the range of the pixels before preprocessing: `(0, 255)` for the published networks.
        preprocess: what is done to images before the network, a function on JAX arrays such as
            `applications.vgg16.preprocess_input`; nothing by default.
        total_variation: how much neighbours are held together.
        blur: how far the derivative is smoothed, the standard deviation in pixels.
        jitter: how far the image is moved, in pixels.
        of: `"outputs"` or `"preactivations"`, what goes into the layer's activation function. By default outputs, but
            of a softmax or sigmoid, which flatten out, the preactivations; so also for a unit that is 0 everywhere,
            until it is not.

    Returns:
        A `Maximisation`: `image` from 0 to 1, `activation` over the steps, `picture`.

    Reference: Erhan, Bengio, Courville and Vincent, Visualizing Higher-Layer Features of a Deep Network (2009);
    Mahendran and Vedaldi, Visualizing Deep Convolutional Neural Networks Using Natural Pre-images (2016).

    Example:
        >>> from chainrule.layers import Dense, Flatten
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((8, 8)), Flatten(), Dense(3)])
        >>> found = maximise(model, "dense", unit=2, steps=20)
        >>> found.image.shape, found.activation.shape, bool(found.activation[-1] > found.activation[0])
        ((8, 8), (21,), True)
    """
    with precision_of(model, "maximise"):
        _check_settings(steps, learning_rate, total_variation, blur, jitter, of)
        low, high = _check_range(value_range)
        shape = _image_shape(model, size, start)
        weights, state = model.variables(seed)
        key = seed_words(seed)
        dtype = input_dtype(model)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise SettingError(f"maximise changes the input little by little, and the input of this model is {dtype}, "
                               f"whole numbers. Build a Model that begins behind it.")

        def network_input(images):
            values = low + (high - low) * images
            return values if preprocess is None else jnp.asarray(preprocess(values), dtype)

        blank = _traced_input(network_input, (1, *shape), dtype)
        _, recording, places = survey(model, weights, state, _wrapped(model, blank))
        units = _check_units(unit, layer, places)
        flattens = recording.functions.get(layer) in (activations.softmax, activations.sigmoid)
        kind = of or ("preactivations" if flattens else "outputs")
        ascent = _Ascent(steps, learning_rate, total_variation, blur, jitter)

        @jax.jit
        def climb(weights, state, first, units, key):
            def activation(images):
                _, recording = record(model, weights, state, _wrapped(model, network_input(images)))
                values = _mean_of_units(getattr(recording, kind)[layer], units)
                if of is not None:
                    return values
                return jnp.where(values == 0, _mean_of_units(recording.preactivations[layer], units), values)

            images, values = ascent.run(activation, jnp.broadcast_to(first, (len(units), *shape)), key)
            return images, network_input(images), values.T

        first = _first_image(start, shape, low, high, key, dtype)
        images, inputs, activation = map(np.array, climb(weights, state, first, np.array(units), key))
    if is_single(unit):
        return Maximisation(layer, units[0], images[0], inputs[0], activation[0])
    return Maximisation(layer, units, images, inputs, activation)


@dataclass(frozen=True)
class _Ascent:
    """How images climb; the settings are those of `maximise`."""

    steps: int
    learning_rate: float
    total_variation: float
    blur: float
    jitter: int

    def run(self, activation: Callable, images, key):
        """The images after all steps, and their activations before each step and at the end `(steps + 1, images)`."""
        is_flat = images.ndim < 3  # inputs without rows and columns: nothing moves, and nothing is a neighbour
        move = (lambda images, number: images) if is_flat else functools.partial(_moved, key=key, jitter=self.jitter)

        def step(images, number):
            def total(images):
                values = activation(move(images, number=number))
                return values.sum(), values  # rows do not mix: each image gets the derivative of its own

            gradient, before = jax.grad(total, has_aux=True)(images)
            before = activation(images) if self.jitter and not is_flat else before
            direction = self._direction(images, gradient, is_flat)
            return jnp.clip(images + self.learning_rate * direction, 0, 1), before

        images, values = lax.scan(step, images, jnp.arange(self.steps))
        return images, jnp.concatenate([values, activation(images)[None]])

    def _direction(self, images, gradient, is_flat: bool):
        if self.blur and not is_flat:
            rows, columns = (_blur_matrix(size, self.blur, images.dtype) for size in images.shape[1:3])
            gradient = jnp.einsum("ij,ujk...,kl->uil...", rows, gradient, columns)
        length = jnp.sqrt((gradient**2).mean(tuple(range(1, images.ndim)), keepdims=True))
        direction = gradient / jnp.where(length > 0, length, 1)
        return direction if is_flat else direction - self.total_variation * jax.grad(_variation)(images)


def _mean_of_units(values, units):
    """The mean over all places of an array `(images, ..., units)`, of each image for a unit of its own."""
    means = values.reshape(len(units), -1, values.shape[-1]).mean(1)
    return jnp.take_along_axis(means, units[:, None], axis=1)[:, 0]


def _moved(images, number, key, jitter: int):
    """Images moved up or down and sideways by up to `jitter` pixels, what leaves one side entering at the other."""
    if not jitter:
        return images
    moves = (random.uniform(random.fold_in(key, number + 1), (2,)) * (2 * jitter + 1)).astype(jnp.int32) - jitter
    return jnp.roll(images, (moves[0], moves[1]), (1, 2))


def _variation(images):
    """Half the sum of the squared differences between neighbours."""
    return ((images[:, 1:] - images[:, :-1]) ** 2).sum() / 2 + ((images[:, :, 1:] - images[:, :, :-1]) ** 2).sum() / 2


def _blur_matrix(size: int, deviation: float, dtype):
    """The matrix that smooths an axis. It is positive definite, so that a smoothed derivative still leads up."""
    distance = np.arange(size)[:, None] - np.arange(size)
    return np.exp(-(distance**2) / (2 * deviation**2)).astype(dtype)


def _traced_input(network_input: Callable, shape: tuple[int, ...], dtype) -> jax.ShapeDtypeStruct:
    """The shape and dtype of what preprocessing makes of images."""
    try:
        return jax.eval_shape(network_input, jax.ShapeDtypeStruct(shape, dtype))
    except jax.errors.TracerArrayConversionError as error:
        raise SettingError("`preprocess` runs inside the compiled loop and is differentiated, so it must be written "
                           "with jax.numpy or plain arithmetic; this one makes a NumPy array of its input.") from error


def _wrapped(model: Model, images):
    """Images in the structure that the model takes."""
    graph = model.__dict__.get("_graph")
    return images if graph is None else jax.tree.unflatten(jax.tree.structure(graph.inputs), [images])


def _image_shape(model: Model, size, start) -> tuple[int, ...]:
    """The shape of one input, its open axes filled from the size that is wanted or from the first image."""
    if not model.built:
        raise NotReadyError("maximise needs to know the shape of the model's input, and the model has met no data yet. "
                            "Give the first layer an input shape: Input(...).")
    symbols = jax.tree.leaves(model.inputs if model.__dict__.get("_graph") else model.__dict__["_input_symbols"])
    if len(symbols) != 1:
        raise SettingError(f"maximise takes a model with one input; this one has {len(symbols)}.")
    declared = symbols[0].shape[1:]
    if size is not None and (not isinstance(size, (tuple, list)) or len(size) != 2 or not all(
            hasattr(part, "__index__") and part > 0 for part in size)):
        raise SettingError(f"`size` is a height and a width; got {size!r}.")
    wanted = declared
    if size is not None:
        wanted = (*map(int, size), *declared[2:])
    elif start is not None:
        wanted = np.shape(start)
    fits = len(wanted) == len(declared) and all(
        known is None or known == new for known, new in zip(declared, wanted, strict=True))
    if not fits or (start is not None and np.shape(start) != wanted):
        given = f"`start` has the shape {format_shape(np.shape(start))}" if start is not None else f"`size` is {size}"
        raise ShapeError(f"The model takes inputs of shape {format_shape(declared)}; {given}"
                         + (f" and `size` is {size}." if size is not None and start is not None else "."))
    if None in wanted:
        raise SettingError(f"The model takes inputs of any height and width, {format_shape(declared)}: say which, "
                           f"size=(224, 224).")
    return wanted


def _first_image(start, shape: tuple[int, ...], low: float, high: float, key, dtype):
    """The image to begin at, from 0 to 1."""
    if start is None:
        return jnp.clip(0.5 + 0.05 * random.normal(random.fold_in(key, 0), shape, dtype), 0, 1)
    start = np.asarray(start, "float64")
    if not (start.min() >= low and start.max() <= high):
        raise SettingError(f"`start` has values from {start.min():.4g} to {start.max():.4g}, and `value_range` is "
                           f"({low:g}, {high:g}). Give the range of the image: value_range=(0, 255).")
    return jnp.asarray((start - low) / (high - low), dtype)


def _check_units(unit, layer: str, places: dict) -> list[int]:
    shape = places[require_layer(layer, places)].shape
    if len(shape) < 2:
        raise ShapeError(f"maximise needs a layer with an output (batch, ..., units); that of {layer!r} is "
                         f"{format_shape(shape) if shape else 'a structure of arrays'}.")
    return numbers_of("unit", unit, shape[-1], "units", layer)


def _check_settings(steps, learning_rate, total_variation, blur, jitter, of) -> None:
    check_whole("steps", steps, minimum=0)
    check_whole("jitter", jitter, minimum=0)
    for name, value in (("learning_rate", learning_rate), ("total_variation", total_variation), ("blur", blur)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise SettingError(f"`{name}` is a number, 0 or more; got {value!r}.")
    if of is not None and of not in KINDS:
        raise UnknownNameError(f"There are no activations of {of!r}. {did_you_mean(of, KINDS)}")


def _check_range(value_range) -> tuple[float, float]:
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise SettingError(f"`value_range` is the lowest and the highest value of a pixel, such as (0, 255); got "
                           f"{value_range!r}.")
    return low, high
