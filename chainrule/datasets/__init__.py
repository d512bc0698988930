"""Named data sets: found in a folder, in the cache, or downloaded once with a checked digest.

`CHAINRULE_DATA` names a folder of data sets to look into first, `CHAINRULE_CACHE` the folder that downloads go to
(see `chainrule.datasets.sources`).

Example:
    >>> from chainrule.datasets import mnist
    >>> (x_train, y_train), (x_test, y_test) = mnist.load_data()  # doctest: +SKIP
"""
from chainrule.datasets import cifar10, digits, fashion_mnist, mnist
from chainrule.datasets.idx import read_idx, write_idx

__all__ = ["cifar10", "digits", "fashion_mnist", "mnist", "read_idx", "write_idx"]
