"""What the published networks are built with: settings that all of them check alike."""
import zlib
from types import MappingProxyType

from chainrule.errors import SettingError, ShapeError
from chainrule.initializers import GlorotUniform
from chainrule.layers import GlobalAveragePooling2D, GlobalMaxPooling2D

POOLINGS = MappingProxyType({"avg": GlobalAveragePooling2D, "max": GlobalMaxPooling2D})


def check_input_shape(network: str, input_shape, include_top: bool, weights, flattens: bool) -> tuple:
    """The shape of one image, checked, with its default filled in."""
    if input_shape is None:
        return (224, 224, 3) if include_top else (None, None, 3)
    shape = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else ()
    whole = all(size is None or (isinstance(size, int) and size > 0) for size in shape)
    if len(shape) != 3 or not whole or shape[2] is None:
        raise ShapeError(f"{network}: `input_shape` is (height, width, channels), such as (224, 224, 3); got "
                         f"{input_shape!r}.")
    if any(size is not None and size < 32 for size in shape[:2]):
        raise ShapeError(f"{network} halves its images five times, so they must have at least 32 x 32 pixels; got "
                         f"input_shape={input_shape!r}.")
    if weights is not None and shape[2] != 3:
        raise ShapeError(f"{network}: the weights are for images of 3 channels; got input_shape={input_shape!r}. Use "
                         f"weights=None to train from scratch.")
    if include_top and flattens and (None in shape or (weights is not None and shape[:2] != (224, 224))):
        raise ShapeError(
            f"{network}: its dense layers are made for images of one size, 224 x 224 where weights are loaded; got "
            f"input_shape={input_shape!r}. Use include_top=False for other sizes.")
    return shape


def check_pooling(network: str, pooling) -> None:
    """Raise where `pooling` is none of its three values."""
    if pooling is not None and pooling not in POOLINGS:
        raise SettingError(f"{network}: `pooling` is None, 'avg' or 'max'; got {pooling!r}.")


def initializer(seed: int | None, layer: str) -> GlorotUniform:
    """How a layer's kernel starts: by the model's seed where it has one, each layer in its own way."""
    return GlorotUniform(seed=None if seed is None else zlib.crc32(f"{seed}/{layer}".encode()))
