"""VGG-16: a network of sixteen layers with weights, for 1,000 classes of photos.

Reference: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition (2014).
"""
import functools
from types import MappingProxyType

from chainrule.applications import vgg
from chainrule.applications.imagenet import decode_predictions, preprocess_input
from chainrule.applications.weights import Published, keras, torchvision
from chainrule.models import Model

__all__ = ["VGG16", "decode_predictions", "preprocess_input"]

_COUNTS = (2, 2, 3, 3, 3)  # convolutions in each block
_PUBLISHED = Published(
    "VGG16",
    MappingProxyType({
        "imagenet": torchvision("vgg16-397923af.pth", 553_433_881,
                                "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"),
        "imagenet_keras": keras("vgg16", (553_467_096, "64373286793e3c8b2b4e3219cbf3544b"),
                                (58_889_256, "6d6bbae143d832006294945121d1f1fc"))}),
    functools.partial(vgg.from_torchvision, _COUNTS), functools.partial(vgg.from_keras, _COUNTS), vgg.HEAD)


def VGG16(include_top: bool = True, weights="imagenet", input_shape=None, pooling: str | None = None,
          classes: int = 1000, classifier_activation="softmax", seed: int | None = None,
          name: str | None = "vgg16") -> Model:
    """VGG-16: thirteen 3x3 convolutions in five blocks, and three dense layers on top.

    Layers are named as in Keras: `block1_conv1`, `block1_conv2`, `block1_pool`, ..., `block5_pool`, `flatten`, `fc1`,
    `fc2`, `predictions`.

    Fine-tuning on ten classes of one's own: first the new top alone, then the last block too, at a lower rate.

        body = applications.VGG16(include_top=False, pooling="avg")
        body.trainable = False
        model = Sequential([body, Dense(10, activation="softmax")])
        model.compile(optimizer=Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=5)

        body.trainable = True
        for layer in body.layers:
            layer.trainable = layer.name.startswith("block5")
        model.compile(optimizer=MultiOptimizer({"^vgg16/": Adam(1e-5)}, default=Adam(1e-4)),
                      loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=5)

    Shapes: images `(batch, height, width, 3)`, prepared by `preprocess_input`, to `(batch, classes)`; without top to
    `(batch, height / 32, width / 32, 512)`, or pooled to `(batch, 512)`.

    Args:
        include_top: whether the three dense layers stand on top.
        weights: `"imagenet"`, torchvision's weights; `"imagenet_keras"`, those that Keras publishes; `None` to start at
            random; or the path of a file: `.pth` with the names of torchvision, `.h5` of Keras, `.safetensors` of
            `save_weights`. The published ones are looked for in `$CHAINRULE_DATA/torchvision` (or `/keras`), else
            downloaded once (553 MB), held against the publisher's digest, and kept in the cache. Weights in Keras's
            files belong to images prepared in Keras's way: a network that has them begins with the layer `keras_mean`,
            and takes images as all others do. Keras's files need `pip install 'chainrule[hdf5]'`.
        input_shape: the shape of one image: `(224, 224, 3)` with the top, any size from 32 x 32 without, open where
            left out.
        pooling: without the top, `"avg"` or `"max"` over all places of the last block; `None` for all of them.
        classes: the outputs of the top; 1,000 where published weights are loaded.
        classifier_activation: the activation of the top; `None` for what goes into the softmax.
        seed: decides the weights that start at random, whenever they are made.
        name: the name of the model.

    Returns:
        A `Model`. Its weights are made or copied to the device when they are first needed.

    Raises:
        SettingError: settings that do not go together.
        ShapeError: an `input_shape` that does not fit.
        FileFormatError: a file that does not hold weights of this network.
        MissingDataError: the weights are not there and could not be downloaded.

    Reference: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition (2014).

    Example:
        >>> VGG16(weights=None).count_params()
        138357544
    """
    return vgg.build(_PUBLISHED, _COUNTS, include_top, weights, input_shape, pooling, classes, classifier_activation,
                     seed, name)
