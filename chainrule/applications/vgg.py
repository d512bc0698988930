"""What VGG-16 and VGG-19 share: blocks of 3x3 convolutions, and three dense layers on top."""
from collections.abc import Mapping

import numpy as np

from chainrule.applications import imagenet
from chainrule.applications.building import POOLINGS, check_input_shape, check_pooling, initializer
from chainrule.applications.weights import Arrays, Published, are_keras_weights, check_weights, load_weights
from chainrule.layers import Conv2D, Dense, Flatten, MaxPooling2D, Rescaling
from chainrule.models import Model
from chainrule.network.graph import Input

FILTERS = (64, 128, 256, 512, 512)  # of the convolutions of each block
HEAD = ("fc1", "fc2", "predictions")
# What Keras subtracts from images of 0 to 255.
_KERAS_MEAN = (123.68, 116.779, 103.939)


def build(published: Published, counts: tuple[int, ...], include_top, weights, input_shape, pooling, classes,
          classifier_activation, seed, name) -> Model:
    """A network of that many convolutions in each block."""
    check_weights(published, weights, include_top, classes, classifier_activation)
    check_pooling(published.network, pooling)
    x = inputs = Input(check_input_shape(published.network, input_shape, include_top, weights, flattens=True))
    if are_keras_weights(published, weights):
        x = Rescaling(1.0, offset=_keras_shift(), name="keras_mean")(x)
    for block, (count, filters) in enumerate(zip(counts, FILTERS, strict=True), start=1):
        for index in range(1, count + 1):
            layer = f"block{block}_conv{index}"
            x = Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initializer(seed, layer),
                       name=layer)(x)
        x = MaxPooling2D(2, name=f"block{block}_pool")(x)
    if include_top:
        x = Flatten(name="flatten")(x)
        for layer, units, activation in zip(HEAD, (4096, 4096, classes), ("relu", "relu", classifier_activation),
                                            strict=True):
            x = Dense(units, activation, kernel_initializer=initializer(seed, layer), name=layer)(x)
    elif pooling:
        x = POOLINGS[pooling]()(x)
    model = Model(inputs, x, name=name)
    load_weights(model, published, weights, include_top)
    return model


def from_torchvision(counts: tuple[int, ...], tensors: Mapping[str, np.ndarray]) -> Arrays:
    """torchvision's tensors under our names: `features.N` in order, `classifier.0`, `.3` and `.6`."""
    arrays, place = {}, 0
    for block, count in enumerate(counts, start=1):
        for index in range(1, count + 1):
            layer = f"block{block}_conv{index}"
            arrays[f"weights/{layer}/kernel"] = tensors[f"features.{place}.weight"].transpose(2, 3, 1, 0)
            arrays[f"weights/{layer}/bias"] = tensors[f"features.{place}.bias"]
            place += 2  # the convolution and its ReLU
        place += 1  # the pooling
    for layer, place in zip(HEAD, (0, 3, 6), strict=True):
        if f"classifier.{place}.weight" in tensors:
            kernel = tensors[f"classifier.{place}.weight"]
            if layer == "fc1":  # its inputs are (channels, 7, 7) there, (7, 7, channels) here
                kernel = kernel.reshape(-1, FILTERS[-1], 7, 7).transpose(0, 2, 3, 1).reshape(len(kernel), -1)
            arrays[f"weights/{layer}/kernel"] = kernel.T
            arrays[f"weights/{layer}/bias"] = tensors[f"classifier.{place}.bias"]
    return arrays


def from_keras(counts: tuple[int, ...], found: Mapping[str, list[np.ndarray]]) -> Arrays:
    """Keras's arrays under our names, the first kernel in red, green, blue and in the scale of `preprocess_input`.

    Keras's images are blue, green, red, of 0 to 255 less a mean: `255 * deviation * x + shift` of ours.
    """
    layers = [f"block{block}_conv{index}" for block, count in enumerate(counts, start=1)
              for index in range(1, count + 1)]
    arrays = {}
    for layer in [*layers, *(layer for layer in HEAD if layer in found)]:
        arrays[f"weights/{layer}/kernel"], arrays[f"weights/{layer}/bias"] = found[layer]
    first = f"weights/{layers[0]}/kernel"
    scale = 255 * np.asarray(imagenet.DEVIATION, arrays[first].dtype)
    arrays[first] = arrays[first][:, :, ::-1] * scale[:, None]
    return arrays


def _keras_shift() -> list[float]:
    """What is left of the difference of the two conventions: below 0.01 of our deviations a channel.

    A layer of its own adds it: in the bias it would be wrong at the borders, where the convolution sees zeros.
    """
    return [(255 * mean - keras_mean) / (255 * deviation)
            for mean, keras_mean, deviation in zip(imagenet.MEAN, _KERAS_MEAN, imagenet.DEVIATION, strict=True)]
