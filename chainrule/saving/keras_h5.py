"""Weights in HDF5 files of Keras: what `save_weights` and `save` write, of Keras 1 to 3. Needs h5py.

Keras 1 and 2 keep a group for each layer, listed in the attribute `layer_names`, whose own attribute `weight_names`
lists its arrays. Keras 3 keeps them in `layers/.../vars/0`, `1`, ..., the layer's name as an attribute of `vars`.
"""
import os

import numpy as np

from chainrule.errors import FileFormatError, SettingError


def read_keras(path) -> dict[str, list[np.ndarray]]:
    """The arrays of each layer in an HDF5 file of Keras, by the layer's name, in the order of `get_weights`.

    Only numbers are read, and only from this file: links to others, and arrays that are packed, are refused. In files
    of Keras 3 the layers inside of others (an LSTM's cell) go by their own names.

    Args:
        path: the file, `.h5`, of `model.save_weights(path)` or `model.save(path)`.

    Raises:
        FileFormatError: it is damaged, or not such a file.
        SettingError: h5py is not installed.

    Example:
        >>> read_keras("vgg16_weights_tf_dim_ordering_tf_kernels.h5")["block1_conv1"][0].shape  # doctest: +SKIP
        (3, 3, 3, 64)
    """
    try:
        import h5py
    except ImportError as error:
        raise SettingError("Files of Keras (.h5) are read by h5py, which is not installed: "
                           "pip install 'chainrule[hdf5]'.") from error
    with open(path, "rb"):
        pass  # a missing file is the system's error, not one of the format
    try:
        with h5py.File(path, "r") as file:
            _check_links(file, h5py)
            named = _grouped_arrays(file["model_weights"] if "model_weights" in file else file) or _listed_arrays(file)
            _check_sizes([array for arrays in named.values() for array in arrays], os.path.getsize(path), h5py)
            if not any(named.values()):
                raise FileFormatError("it holds no arrays of layers")
            return {name: [array[()] for array in arrays] for name, arrays in named.items() if arrays}
    except FileFormatError as error:
        raise FileFormatError(f"{path} cannot be read as weights of Keras: {error}.") from error
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise FileFormatError(f"{path} cannot be read as weights of Keras: it is not an HDF5 file of Keras, or a "
                              f"damaged one ({' '.join(str(error).split()) or type(error).__name__}).") from error


def _check_links(file, h5py) -> None:
    found = file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name)
    if found is not None:
        raise FileFormatError(f"{found!r} in it is a link to somewhere else")


def _check_sizes(arrays: list, file_size: int, h5py) -> None:
    """Every array stands in the file as it is, and all of them fit into it."""
    for array in arrays:
        if not isinstance(array, h5py.Dataset) or array.dtype.kind not in "fiub":
            raise FileFormatError(f"{array.name!r} in it is not an array of numbers")
        if array.is_virtual or array.external or array.id.get_storage_size() != array.nbytes:
            raise FileFormatError(f"{array.name!r} in it is packed, or not in this file")
    if sum(array.nbytes for array in arrays) > file_size:
        raise FileFormatError("its arrays are larger than the file")


def _grouped_arrays(group) -> dict[str, list]:
    """Keras 1 and 2: by the attributes `layer_names` and `weight_names`."""
    return {layer: [group[layer][name] for name in _texts(group[layer], "weight_names")]
            for layer in _texts(group, "layer_names")}


def _texts(group, attribute: str) -> list[str]:
    """A list of names in an attribute; long ones are spread over `name0`, `name1`, ..."""
    parts, index = list(group.attrs.get(attribute, [])), 0
    while f"{attribute}{index}" in group.attrs:
        parts += list(group.attrs[f"{attribute}{index}"])
        index += 1
    return [part.decode() if isinstance(part, bytes) else str(part) for part in parts]


def _listed_arrays(file) -> dict[str, list]:
    """Keras 3: by the numbers in the groups `vars`."""
    named = {}

    def visit(path, item):
        if path.startswith("layers/") and path.endswith("/vars") and len(item):
            name = item.attrs.get("name", path.split("/")[-2])
            if name in named:
                raise FileFormatError(f"it has two layers called {name!r}")
            named[str(name)] = [item[number] for number in sorted(item, key=int)]

    file.visititems(visit)
    return named
