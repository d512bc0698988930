"""ResNet-18 and ResNet-50 as torchvision publishes them.

These are ResNets of the first version. In ResNet-50 the block that halves the image has its stride in the 3x3
convolution; in the paper, and in Keras, it is in the first 1x1 convolution, so Keras's weights are for another network.

Reference: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition (2015).
"""
import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from chainrule.applications.building import POOLINGS, check_input_shape, check_pooling, initializer
from chainrule.applications.imagenet import decode_predictions, preprocess_input
from chainrule.applications.weights import Arrays, Published, check_weights, load_weights, torchvision
from chainrule.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ZeroPadding2D,
)
from chainrule.models import Model
from chainrule.network.graph import Input

__all__ = ["ResNet18", "ResNet50", "decode_predictions", "preprocess_input"]

_FILTERS = (64, 128, 256, 512)  # of the blocks in each of the four stages
_BASIC, _BOTTLENECK = ((3, 1), (3, 1)), ((1, 1), (3, 1), (1, 4))  # each convolution's size, and filters as a multiple
_HEAD = ("predictions",)


def ResNet18(include_top: bool = True, weights="imagenet", input_shape=None, pooling: str | None = None,  # noqa: N802
             classes: int = 1000, classifier_activation="softmax", seed: int | None = None,
             name: str | None = "resnet18") -> Model:
    """ResNet-18: a convolution, eight blocks of two 3x3 convolutions with a way around each, and a dense layer on top.

        block(x) = relu(shortcut(x) + bn(conv(relu(bn(conv(x))))))

    Layers are named as those of Keras's ResNets: `conv1_conv`, `conv1_bn`, `conv2_block1_1_conv`, ...,
    `conv5_block2_out`, `avg_pool`, `predictions`.

    Shapes: images `(batch, height, width, 3)`, prepared by `preprocess_input`, to `(batch, classes)`; without top to
    `(batch, height / 32, width / 32, 512)`, or pooled to `(batch, 512)`.

    Args:
        include_top: whether the dense layer stands on top.
        weights: `"imagenet"`, torchvision's weights; `None` to start at random; or the path of a file: `.pth` with the
            names of torchvision, `.safetensors` of `save_weights`. The published ones are looked for in
            `$CHAINRULE_DATA/torchvision`, else downloaded once (47 MB), held against the publisher's digest, and kept
            in the cache.
        input_shape: the shape of one image, of 32 x 32 or more; by default `(224, 224, 3)` with the top and open
            without.
        pooling: without the top, `"avg"` or `"max"` over all places of the last block; `None` for all of them.
        classes: the outputs of the top; 1,000 where published weights are loaded.
        classifier_activation: the activation of the top; `None` for what goes into the softmax.
        seed: decides the weights that start at random, whenever they are made.
        name: the name of the model.

    Returns:
        A `Model`.

    Raises:
        SettingError: settings that do not go together.
        ShapeError: an `input_shape` that does not fit.
        FileFormatError: a file that does not hold weights of this network.
        MissingDataError: the weights are not there and could not be downloaded.

    Reference: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition (2015).

    Example:
        >>> ResNet18(weights=None, include_top=False, input_shape=(64, 64, 3)).output.shape
        (None, 2, 2, 512)
    """
    return _build(_RESNET18, _BASIC, (2, 2, 2, 2), include_top, weights, input_shape, pooling, classes,
                  classifier_activation, seed, name)


def ResNet50(include_top: bool = True, weights="imagenet", input_shape=None, pooling: str | None = None,  # noqa: N802
             classes: int = 1000, classifier_activation="softmax", seed: int | None = None,
             name: str | None = "resnet50") -> Model:
    """ResNet-50: a convolution, sixteen blocks of 1x1, 3x3 and 1x1 convolutions with a way around each, a dense layer.

        block(x) = relu(shortcut(x) + bn(conv(relu(bn(conv(relu(bn(conv(x)))))))))

    The stride of a block that halves the image is in its 3x3 convolution, as torchvision has it (Keras has it in the
    first 1x1 convolution). Layers are named as in Keras: `conv1_conv`, `conv1_bn`, `conv2_block1_1_conv`, ...,
    `conv5_block3_out`, `avg_pool`, `predictions`.

    Shapes: images `(batch, height, width, 3)`, prepared by `preprocess_input`, to `(batch, classes)`; without top to
    `(batch, height / 32, width / 32, 2048)`, or pooled to `(batch, 2048)`.

    Args:
        include_top: whether the dense layer stands on top.
        weights: `"imagenet"`, torchvision's first weights; `"imagenet_v2"`, its later ones, trained by a better recipe;
            `None` to start at random; or the path of a file: `.pth` with the names of torchvision, `.safetensors` of
            `save_weights`. The published ones are looked for in `$CHAINRULE_DATA/torchvision`, else downloaded once
            (103 MB), held against the publisher's digest, and kept in the cache.
        input_shape: the shape of one image, of 32 x 32 or more; by default `(224, 224, 3)` with the top and open
            without.
        pooling: without the top, `"avg"` or `"max"` over all places of the last block; `None` for all of them.
        classes: the outputs of the top; 1,000 where published weights are loaded.
        classifier_activation: the activation of the top; `None` for what goes into the softmax.
        seed: decides the weights that start at random, whenever they are made.
        name: the name of the model.

    Returns:
        A `Model`.

    Raises:
        SettingError: settings that do not go together.
        ShapeError: an `input_shape` that does not fit.
        FileFormatError: a file that does not hold weights of this network.
        MissingDataError: the weights are not there and could not be downloaded.

    Reference: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition (2015).

    Example:
        >>> ResNet50(weights=None, include_top=False, pooling="avg").output.shape
        (None, 2048)
    """
    return _build(_RESNET50, _BOTTLENECK, (3, 4, 6, 3), include_top, weights, input_shape, pooling, classes,
                  classifier_activation, seed, name)


def _build(published: Published, kind, counts, include_top, weights, input_shape, pooling, classes,
           classifier_activation, seed, name) -> Model:
    """A network of that many blocks of one kind in each stage."""
    check_weights(published, weights, include_top, classes, classifier_activation)
    check_pooling(published.network, pooling)
    x = inputs = Input(check_input_shape(published.network, input_shape, include_top, weights, flattens=False))
    x = Activation("relu", name="conv1_relu")(_convolution(x, 64, 7, 2, seed, "conv1"))
    x = MaxPooling2D(3, strides=2, name="pool1_pool")(ZeroPadding2D(1, name="pool1_pad")(x))  # no value is below zero
    for stage, (count, filters) in enumerate(zip(counts, _FILTERS, strict=True), start=2):
        for index in range(1, count + 1):
            stride = 2 if index == 1 and stage > 2 else 1
            x = _block(x, kind, filters, stride, seed, f"conv{stage}_block{index}")
    if include_top:
        x = GlobalAveragePooling2D(name="avg_pool")(x)
        x = Dense(classes, classifier_activation, kernel_initializer=initializer(seed, "predictions"),
                  name="predictions")(x)
    elif pooling:
        x = POOLINGS[pooling](name=f"{pooling}_pool")(x)
    model = Model(inputs, x, name=name)
    load_weights(model, published, weights, include_top)
    return model


def _block(x, kind, filters: int, stride: int, seed, name: str):
    """Convolutions and the way around them, which is one too where they change the shape."""
    strided = next(index for index, (size, _) in enumerate(kind) if size == 3)
    y, shortcut = x, x
    for index, (size, multiple) in enumerate(kind):
        y = _convolution(y, filters * multiple, size, stride if index == strided else 1, seed, f"{name}_{index + 1}")
        if index + 1 < len(kind):
            y = Activation("relu", name=f"{name}_{index + 1}_relu")(y)
    if stride != 1 or x.shape[-1] != y.shape[-1]:
        shortcut = _convolution(x, y.shape[-1], 1, stride, seed, f"{name}_0")
    return Activation("relu", name=f"{name}_out")(Add(name=f"{name}_add")([shortcut, y]))


def _convolution(x, filters: int, size: int, stride: int, seed, name: str):
    """A convolution without bias and its normalisation. Where it strides, both sides are padded alike."""
    padding = "same"
    if stride != 1 and size > 1:
        x, padding = ZeroPadding2D(size // 2, name=f"{name}_pad")(x), "valid"
    x = Conv2D(filters, size, strides=stride, padding=padding, use_bias=False,
               kernel_initializer=initializer(seed, f"{name}_conv"), name=f"{name}_conv")(x)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _convolutions(kind, counts) -> Iterator[tuple[str, str, str]]:
    """Each convolution's name here, and torchvision's of it and of its normalisation."""
    yield "conv1", "conv1", "bn1"
    for stage, count in enumerate(counts, start=1):
        for block in range(count):
            ours, theirs = f"conv{stage + 1}_block{block + 1}", f"layer{stage}.{block}"
            if block == 0 and (stage > 1 or kind[-1][1] != 1):
                yield f"{ours}_0", f"{theirs}.downsample.0", f"{theirs}.downsample.1"
            for index in range(1, len(kind) + 1):
                yield f"{ours}_{index}", f"{theirs}.conv{index}", f"{theirs}.bn{index}"


def _from_torchvision(kind, counts, tensors: Mapping[str, np.ndarray]) -> Arrays:
    """torchvision's tensors under our names."""
    arrays = {}
    for ours, convolution, normalisation in _convolutions(kind, counts):
        arrays[f"weights/{ours}_conv/kernel"] = tensors[f"{convolution}.weight"].transpose(2, 3, 1, 0)
        arrays[f"weights/{ours}_bn/gamma"] = tensors[f"{normalisation}.weight"]
        arrays[f"weights/{ours}_bn/beta"] = tensors[f"{normalisation}.bias"]
        arrays[f"state/{ours}_bn/moving_mean"] = tensors[f"{normalisation}.running_mean"]
        arrays[f"state/{ours}_bn/moving_variance"] = tensors[f"{normalisation}.running_var"]
    if "fc.weight" in tensors:
        arrays["weights/predictions/kernel"] = tensors["fc.weight"].T
        arrays["weights/predictions/bias"] = tensors["fc.bias"]
    return arrays


_RESNET18 = Published(
    "ResNet18",
    MappingProxyType({
        "imagenet": torchvision("resnet18-f37072fd.pth", 46_830_571,
                                "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec")}),
    functools.partial(_from_torchvision, _BASIC, (2, 2, 2, 2)), None, _HEAD)
_RESNET50 = Published(
    "ResNet50",
    MappingProxyType({
        "imagenet": torchvision("resnet50-0676ba61.pth", 102_530_333,
                                "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a"),
        "imagenet_v2": torchvision("resnet50-11ad3fa6.pth", 102_540_417,
                                   "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca")}),
    functools.partial(_from_torchvision, _BOTTLENECK, (3, 4, 6, 3)), None, _HEAD)
