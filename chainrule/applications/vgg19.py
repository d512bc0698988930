"""VGG-19: a network of nineteen layers with weights, for 1,000 classes of photos.

Reference: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition (2014).
"""
import functools
from types import MappingProxyType

from chainrule.applications import vgg
from chainrule.applications.imagenet import decode_predictions, preprocess_input
from chainrule.applications.weights import Published, keras, torchvision
from chainrule.models import Model

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]

_COUNTS = (2, 2, 4, 4, 4)  # convolutions in each block
_PUBLISHED = Published(
    "VGG19",
    MappingProxyType({
        "imagenet": torchvision("vgg19-dcbb9e9d.pth", 574_673_361,
                                "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44"),
        "imagenet_keras": keras("vgg19", (574_710_816, "cbe5617147190e668d6c5d5026f83318"),
                                (80_134_624, "253f8cb515780f3b799900260a226db6"))}),
    functools.partial(vgg.from_torchvision, _COUNTS), functools.partial(vgg.from_keras, _COUNTS), vgg.HEAD)


def VGG19(include_top: bool = True, weights="imagenet", input_shape=None, pooling: str | None = None,
          classes: int = 1000, classifier_activation="softmax", seed: int | None = None,
          name: str | None = "vgg19") -> Model:
    """VGG-19: sixteen 3x3 convolutions in five blocks, and three dense layers on top.

    Layers are named as in Keras: `block1_conv1`, `block1_conv2`, `block1_pool`, ..., `block5_pool`, `flatten`, `fc1`,
    `fc2`, `predictions`.

    Shapes: images `(batch, height, width, 3)`, prepared by `preprocess_input`, to `(batch, classes)`; without top to
    `(batch, height / 32, width / 32, 512)`, or pooled to `(batch, 512)`.

    Args:
        include_top: whether the three dense layers stand on top.
        weights: `"imagenet"`, torchvision's weights; `"imagenet_keras"`, those that Keras publishes; `None` to start at
            random; or the path of a file: `.pth` with the names of torchvision, `.h5` of Keras, `.safetensors` of
            `save_weights`. The published ones are looked for in `$CHAINRULE_DATA/torchvision` (or `/keras`), else
            downloaded once (575 MB), held against the publisher's digest, and kept in the cache. Weights in Keras's
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
        >>> VGG19(weights=None).count_params()
        143667240
    """
    return vgg.build(_PUBLISHED, _COUNTS, include_top, weights, input_shape, pooling, classes, classifier_activation,
                     seed, name)
