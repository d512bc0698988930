"""What the networks trained on ImageNet share: its 1,000 classes, how images are prepared, and how answers are read.

All of them take images prepared by one `preprocess_input`, whoever published the weights. Sources of
`imagenet_classes.txt`: the names are torchvision's (BSD licence), the WordNet ids those of the data set, in its order.

Reference: Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge (2015).
"""
import warnings
from importlib import resources

import jax.numpy as jnp
import numpy as np

from chainrule.errors import SettingError, ShapeError, format_shape

# Mean and standard deviation of red, green and blue over ImageNet, of values from 0 to 1, as torchvision takes them.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def preprocess_input(x):
    """Images as the networks take them: each channel at mean 0 and deviation 1 over ImageNet.

        y = (x / 255 - mean) / deviation,  mean = (0.485, 0.456, 0.406),  deviation = (0.229, 0.224, 0.225)

    This is torchvision's convention. Weights that Keras published expect another; networks that are given those begin
    with a layer that turns the one into the other, so that this function is right for all.

    Args:
        x: images of 0 to 255, red, green and blue: `(height, width, 3)` or `(batch, height, width, 3)`, a NumPy or a
            JAX array, integers or floats.

    Returns:
        An array of the same kind and shape, of type float32 where it was of integers.

    Raises:
        ShapeError: they are not images of three channels.

    Example:
        >>> preprocess_input(np.array([[[255.0, 0.0, 128.0]]])).round(2).tolist()
        [[[2.25, -2.04, 0.43]]]
    """
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if x.ndim not in (3, 4) or x.shape[-1] != 3:
        raise ShapeError(f"preprocess_input takes images (height, width, 3) or (batch, height, width, 3) in red, green "
                         f"and blue; got an array of shape {format_shape(x.shape)}.")
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else np.dtype("float32")
    if isinstance(x, np.ndarray) and dtype == x.dtype and x.size and 0 < x.max() <= 1:
        warnings.warn("preprocess_input takes images of 0 to 255, and the largest value is "
                      f"{float(x.max()):.3g}. Multiply by 255 if they are of 0 to 1.", stacklevel=2)
    mean, deviation = np.asarray(MEAN, dtype), np.asarray(DEVIATION, dtype)
    return (x.astype(dtype) / 255 - mean) / deviation


def classes() -> tuple[tuple[str, str], ...]:
    """The 1,000 classes of ImageNet in the order of the networks' outputs, each as `(WordNet id, name)`.

    Example:
        >>> classes()[207], len(classes())
        (('n02099601', 'golden retriever'), 1000)
    """
    text = resources.files("chainrule.applications").joinpath("imagenet_classes.txt").read_text("ascii")
    return tuple(tuple(line.split(" ", 1)) for line in text.splitlines())


def decode_predictions(preds, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The classes that a network holds for the most likely, for each image the likeliest first.

    Args:
        preds: `(batch, 1000)`, what a network with `include_top=True` puts out.
        top: how many a row.

    Returns:
        For each image a list of `(WordNet id, name, probability)`.

    Raises:
        ShapeError: there are not 1,000 classes a row.
        SettingError: `top` is not from 1 to 1,000.

    Example:
        >>> decode_predictions(np.eye(1000)[[207]], top=1)
        [[('n02099601', 'golden retriever', 1.0)]]
    """
    preds = np.asarray(preds)
    if preds.ndim != 2 or preds.shape[1] != 1000:
        raise ShapeError(f"decode_predictions takes the outputs for the 1,000 classes of ImageNet, (batch, 1000); got "
                         f"an array of shape {format_shape(preds.shape)}.")
    if isinstance(top, bool) or not hasattr(top, "__index__") or not 1 <= top <= 1000:
        raise SettingError(f"decode_predictions: `top` is an integer from 1 to 1000; got {top!r}.")
    named = classes()
    likeliest = np.argsort(-preds, axis=1, kind="stable")[:, :top]
    return [[(*named[index], float(row[index])) for index in best] for row, best in zip(preds, likeliest, strict=True)]
