"""Fashion-MNIST: pictures of clothes in the form of MNIST, and harder.

Reference: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms, arXiv 1708.07747, 2017. MIT licence, Zalando SE.
"""
from os import PathLike

from chainrule.datasets.mnist import Arrays, load_images
from chainrule.datasets.sources import RemoteFile, Source

class_names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
               "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

source = Source(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    files=(
        RemoteFile("train-images-idx3-ubyte.gz", 26421880,
                   "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        RemoteFile("train-labels-idx1-ubyte.gz", 29515,
                   "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        RemoteFile("t10k-images-idx3-ubyte.gz", 4422102,
                   "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        RemoteFile("t10k-labels-idx1-ubyte.gz", 5148,
                   "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    # This address has no TLS; the digests make sure of what comes.
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
)


def load_data(path: str | PathLike | None = None) -> tuple[Arrays, Arrays]:
    """Fashion-MNIST as numpy arrays: images `(rows, 28, 28)` of 0 to 255, labels `(rows,)` of 0 to 9.

    Args:
        path: the folder that holds the four files. Without it they are looked for in `$CHAINRULE_DATA/fashion-mnist`
            and in the cache, and downloaded where they are in neither.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, all of type uint8: 60,000 and 10,000 rows. `class_names` names the
        labels.

    Raises:
        MissingDataError: the files are not on this machine and could not be downloaded.
        FileFormatError: a file is damaged, or does not hold what its name says.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> class_names[y_train[0]]  # doctest: +SKIP
        'Ankle boot'
    """
    return load_images(source, path)
