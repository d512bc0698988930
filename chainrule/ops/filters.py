"""Kernels with a name, to try on a photo: `convolve2d(photo, named_kernel("sobel_x"), padding="same")`.

Each is a float32 array (rows, columns) that is laid on the image as it stands, not turned round.
"""
import inspect
import math

import numpy as np

from chainrule.configuration import Registry
from chainrule.errors import SettingError


def identity(size: int = 3) -> np.ndarray:
    """The image itself: 1 in the middle, 0 elsewhere.

    Args:
        size: the height and width, odd.

    Example:
        >>> identity().tolist()
        [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    kernel = np.zeros((_odd(size, "identity"), size), "float32")
    kernel[size // 2, size // 2] = 1
    return kernel


def box_blur(size: int = 3) -> np.ndarray:
    """The mean of the neighbourhood: all entries `1 / size ** 2`.

    Args:
        size: the height and width, odd.

    Example:
        >>> float(box_blur(5).sum().round(6))
        1.0
    """
    return np.full((_odd(size, "box_blur"), size), 1 / size**2, "float32")


def gaussian_blur(size: int = 5, sigma: float = 1.0) -> np.ndarray:
    """A mean in which near pixels count more.

        kernel[i, j] = exp(-(i ** 2 + j ** 2) / (2 * sigma ** 2)) / sum,   i and j counted from the middle

    Args:
        size: the height and width, odd; about `6 * sigma` holds nearly all of the bell.
        sigma: its standard deviation, in pixels.

    Example:
        >>> (16 * gaussian_blur(3, sigma=0.85)).round().tolist()
        [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    if not isinstance(sigma, (int, float)) or not 0 < sigma < math.inf:
        raise SettingError(f"gaussian_blur: `sigma` must be a positive number; got {sigma!r}.")
    places = np.arange(_odd(size, "gaussian_blur")) - size // 2
    bell = np.exp(-(places**2) / (2 * sigma**2))
    bell /= bell.sum()
    return np.outer(bell, bell).astype("float32")


def sobel_x() -> np.ndarray:
    """How fast the brightness grows to the right: vertical edges, smoothed along them.

    Reference: Sobel and Feldman, A 3 x 3 Isotropic Gradient Operator for Image Processing (1968).

    Example:
        >>> sobel_x().tolist()
        [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
    """
    return np.outer([1, 2, 1], [-1, 0, 1]).astype("float32")


def sobel_y() -> np.ndarray:
    """How fast the brightness grows downwards: horizontal edges, smoothed along them.

    Reference: Sobel and Feldman, A 3 x 3 Isotropic Gradient Operator for Image Processing (1968).

    Example:
        >>> sobel_y().tolist()
        [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]
    """
    return np.outer([-1, 0, 1], [1, 2, 1]).astype("float32")


def prewitt_x() -> np.ndarray:
    """How fast the brightness grows to the right, the three rows counted alike.

    Reference: Prewitt, Object Enhancement and Extraction (1970).

    Example:
        >>> prewitt_x().tolist()
        [[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]
    """
    return np.outer([1, 1, 1], [-1, 0, 1]).astype("float32")


def prewitt_y() -> np.ndarray:
    """How fast the brightness grows downwards, the three columns counted alike.

    Reference: Prewitt, Object Enhancement and Extraction (1970).

    Example:
        >>> prewitt_y().tolist()
        [[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    return np.outer([-1, 0, 1], [1, 1, 1]).astype("float32")


def laplacian(diagonals: bool = False) -> np.ndarray:
    """How much brighter the neighbours are than the pixel, summed: lines, spots and edges of every direction.

    Args:
        diagonals: whether the neighbours at the corners count too.

    Reference: Gonzalez and Woods, Digital Image Processing (1992), section 3.6.

    Example:
        >>> laplacian().tolist()
        [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
    """
    corner = int(diagonals)
    return np.array([[corner, 1, corner], [1, -4 - 4 * corner, 1], [corner, 1, corner]], "float32")


def sharpen(amount: float = 1.0) -> np.ndarray:
    """The image with its edges made stronger: `identity - amount * laplacian`.

    Args:
        amount: how much stronger.

    Reference: Gonzalez and Woods, Digital Image Processing (1992), section 3.6.

    Example:
        >>> sharpen().tolist()
        [[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]]
    """
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not math.isfinite(amount):
        raise SettingError(f"sharpen: `amount` must be a number; got {amount!r}.")
    return identity() - np.float32(amount) * laplacian()


def emboss() -> np.ndarray:
    """The image as a relief, lit from the upper left.

    Example:
        >>> emboss().tolist()
        [[-2.0, -1.0, 0.0], [-1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]
    """
    return np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], "float32")


registry = Registry("kernel", [box_blur, emboss, gaussian_blur, identity, laplacian, prewitt_x, prewitt_y, sharpen,
                               sobel_x, sobel_y])


def named_kernel(name: str, **settings) -> np.ndarray:
    """The kernel of that name, float32, (rows, columns).

    Args:
        name: one of `kernel_names()`.
        settings: those of the kernel, such as `size` and `sigma` of `"gaussian_blur"`.

    Raises:
        UnknownNameError: there is none of that name.
        SettingError: the kernel has no such setting, or it cannot have that value.

    Example:
        >>> named_kernel("gaussian_blur", size=7, sigma=1.5).shape
        (7, 7)
    """
    make = registry.lookup(name)
    known = inspect.signature(make).parameters
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        takes = "takes " + " and ".join(f"`{setting}`" for setting in known) if known else "takes no settings"
        raise SettingError(f"The kernel {name!r} {takes}; got `{unknown[0]}`.")
    return make(**settings)


def kernel_names() -> list[str]:
    """The names that `named_kernel` takes.

    Example:
        >>> kernel_names()[:3]
        ['box_blur', 'emboss', 'gaussian_blur']
    """
    return sorted(registry.entries)


def _odd(size, name: str) -> int:
    """A size that has a middle."""
    if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1 or size % 2 == 0:
        raise SettingError(f"{name}: `size` must be odd and positive, so that there is a middle; got {size!r}.")
    return int(size)
