"""Published weights: where they are, and how they become a network's.

`weights="imagenet"` is downloaded once, held against the digest that the publisher states, converted and kept in the
cache as safetensors. A file of one's own is read where it lies: `.pth` and `.pt` of PyTorch, `.h5` of Keras, and
`.safetensors` of `save_weights`, or of PyTorch's names.
"""
import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chainrule import saving
from chainrule.applications import imagenet
from chainrule.datasets.sources import RemoteFile, Source, cache_folder, locate
from chainrule.errors import FileFormatError, MissingDataError, SettingError, did_you_mean, format_shape
from chainrule.layers.binding import branch, walk
from chainrule.saving import archive, tensors

Arrays = dict[str, np.ndarray]  # by names such as "weights/block1_conv1/kernel" and "state/conv1_bn/moving_mean"

_PYTORCH, _KERAS, _OWN = (".pth", ".pt"), (".h5", ".hdf5"), (".safetensors",)


class Published(NamedTuple):
    """What is known of one network's weights.

    Attributes:
        network: its name, for messages.
        sources: by the word that `weights` may be, the files with and without the classifier on top.
        from_pytorch: the arrays for torchvision's tensors.
        from_keras: the arrays for Keras's, by layer; `None` where Keras's network of that name is another.
        head: the layers that a network without its top lacks.
    """

    network: str
    sources: Mapping[str, tuple[Source, Source]]
    from_pytorch: Callable[[Mapping[str, np.ndarray]], Arrays]
    from_keras: Callable[[Mapping[str, list[np.ndarray]]], Arrays] | None
    head: tuple[str, ...]

    def names(self, weights) -> bool:
        """Whether that is one of the words, and not a path."""
        return isinstance(weights, str) and weights in self.sources


def torchvision(name: str, size: int, digest: str) -> tuple[Source, Source]:
    """A file of torchvision's; the first digits of its SHA-256 digest stand in its name. It is for both networks."""
    source = Source("The file of torchvision's weights", "torchvision", (RemoteFile(name, size, digest),),
                    ("https://download.pytorch.org/models/",), group="weights")
    return source, source


def keras(network: str, *files: tuple[int, str]) -> tuple[Source, Source]:
    """Keras's files for a network with and without its top: sizes, and the MD5 digests that its source states."""
    names = (f"{network}_weights_tf_dim_ordering_tf_kernels{top}.h5" for top in ("", "_notop"))
    address = f"https://storage.googleapis.com/tensorflow/keras-applications/{network}/"
    with_top, without = (Source("The file of Keras's weights", "keras", (RemoteFile(name, *file, "md5"),), (address,),
                                group="weights") for name, file in zip(names, files, strict=True))
    return with_top, without


def check_weights(published: Published, weights, include_top: bool, classes: int, activation) -> None:
    """Raise where `weights` is nothing that can be loaded, or does not go with other settings."""
    if weights is None:
        return
    network = published.network
    if published.names(weights):
        if include_top and classes != 1000:
            raise SettingError(f"{network}: the weights {weights!r} are those of ImageNet's 1000 classes; got "
                               f"classes={classes}. Use include_top=False and put a Dense({classes}) on top.")
        if include_top and activation not in (None, "softmax"):
            raise SettingError(f"{network}: the weights {weights!r} were trained with classifier_activation='softmax' "
                               f"(or None for what goes into it); got {activation!r}.")
    elif not isinstance(weights, (str, os.PathLike)) or not Path(weights).suffix:
        names = ["imagenet", *(name for name in published.sources if name != "imagenet")]
        hint = f" {did_you_mean(weights, names)}" if isinstance(weights, str) else ""
        raise SettingError(f"{network}: `weights` is None, {', '.join(map(repr, names))}, or the path of a file; got "
                           f"{weights!r}.{hint}")
    elif (suffix := Path(weights).suffix.lower()) not in (*_PYTORCH, *_KERAS, *_OWN):
        raise SettingError(f"{network}: weights are read from files of PyTorch (.pth), Keras (.h5) and chainrule "
                           f"(.safetensors); got {os.fspath(weights)!r}.")
    elif suffix in _KERAS and published.from_keras is None:
        raise SettingError(f"{network}: Keras's network of this name has its strides in other places, so its weights "
                           f"do not fit. Use weights='imagenet', or a file of torchvision (.pth).")
    elif not Path(weights).expanduser().is_file():
        raise MissingDataError(f"There is no file {os.fspath(weights)}. Give the path of a file of weights, or "
                               f"weights='imagenet' to have the published ones downloaded.")


def are_keras_weights(published: Published, weights) -> bool:
    """Whether these are weights that expect images prepared as Keras does it."""
    if published.names(weights):
        return published.sources[weights][0].folder == "keras"
    return weights is not None and Path(weights).suffix.lower() in _KERAS


def load_weights(model, published: Published, weights, include_top: bool) -> None:
    """Fill a network: where `weights` is a word, download and convert, and name the classes; else read the file."""
    if weights is None:
        return
    path = Path(weights).expanduser()
    if published.names(weights):
        path = _converted(published, published.sources[weights][not include_top])
        if include_top:
            model.class_names = [name for _, name in imagenet.classes()]
    _fill(model, published, path)


def _converted(published: Published, source: Source) -> Path:
    """The published file as safetensors in the cache, made where it is not there yet."""
    target = cache_folder() / source.group / f"{Path(source.files[0].name).stem}.safetensors"
    if not target.is_file():
        [original] = locate(source)
        arrays = _read(published, original)
        target.parent.mkdir(parents=True, exist_ok=True)
        archive.write_atomically(target, lambda file: file.write(tensors.pack(arrays)))
        if original.is_relative_to(target.parent):
            original.unlink()  # what was downloaded for this; a file of the user's stays
    return target


def _read(published: Published, path: Path, left_out: tuple[str, ...] = ()) -> Arrays:
    """The arrays in a file, under the network's names; those of layers that are left out may be missing."""
    suffix = path.suffix.lower()
    try:
        if suffix in _KERAS:
            return published.from_keras(saving.read_keras(path))
        found = saving.read_pytorch(path) if suffix in _PYTORCH else _read_safetensors(path, left_out)
        is_own = all(name.startswith(("weights/", "state/")) for name in found)
        return dict(found) if is_own and suffix in _OWN else published.from_pytorch(found)
    except FileFormatError:
        raise
    except KeyError as error:
        raise FileFormatError(f"{path} does not hold weights of {published.network}: there is no "
                              f"{error.args[0]!r}.") from error
    except (ValueError, IndexError) as error:
        raise FileFormatError(f"{path} does not hold weights of {published.network}: its arrays have other shapes "
                              f"({error}).") from error


def _read_safetensors(path: Path, left_out: tuple[str, ...]) -> Arrays:
    """The arrays in a file of safetensors, without those of some layers: three quarters of VGG-16 are in one."""
    try:
        if not path.stat().st_size:
            raise FileFormatError("it is empty")
        found = {}
        with open(path, "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                specs = tensors.read_header(data, "the file")
            for name, spec in specs.items():
                if f"{name}/".split("/")[1] not in left_out:
                    file.seek(spec.start)
                    found[name] = np.frombuffer(file.read(spec.stop - spec.start), spec.dtype).reshape(spec.shape)
        return found
    except FileFormatError as error:
        raise FileFormatError(f"{path} cannot be read as safetensors: {error}.") from error


def _fill(model, published: Published, path: Path) -> None:
    """The arrays of a file into a network, each held against what its layers declare."""
    layers = dict(walk(model))
    left_out = tuple(layer for layer in published.head if layer not in layers)
    found = _read(published, path, left_out)
    trees = {"weights": {}, "state": {}}
    for layer_path, layer in layers.items():
        for name, weight in layer.own_weights().items():
            kind = "weights" if weight.trainable else "state"
            array = found.pop(f"{kind}/{layer_path}/{name}", None)
            if array is None:
                raise FileFormatError(f"{path} does not hold weights of this {published.network}: there is no "
                                      f"{layer_path}/{name}.")
            if array.shape != weight.shape:
                raise FileFormatError(
                    f"{path} does not hold weights of this {published.network}: {layer_path}/{name} has the shape "
                    f"{format_shape(array.shape)} there and {format_shape(weight.shape)} here.")
            branch(trees[kind], layer_path)[name] = array
    for name in found:
        if name.split("/")[1] not in left_out:
            raise FileFormatError(f"{path} does not hold weights of this {published.network}: it has {name!r}, which "
                                  f"belongs to nothing here.")
    model.set_variables(trees["weights"], trees["state"])
