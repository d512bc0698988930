"""Named kernels: what they answer to, where they look, and what is refused."""
import numpy as np
import pytest

from chainrule import ops
from chainrule.errors import SettingError, UnknownNameError

NAMES = ["box_blur", "emboss", "gaussian_blur", "identity", "laplacian", "prewitt_x", "prewitt_y", "sharpen", "sobel_x",
         "sobel_y"]


def response(kernel, image):
    """The sum of products where the kernel lies in the middle of an image of its own size."""
    return float((kernel * image).sum())


def test_the_names_and_what_they_stand_for():
    assert ops.kernel_names() == NAMES
    for name in NAMES:
        kernel = ops.named_kernel(name)
        assert kernel.dtype == np.float32 and kernel.ndim == 2 and kernel.shape[0] % 2 == kernel.shape[1] % 2 == 1
        flat = 0 if name.startswith(("sobel", "prewitt", "laplacian")) else 1
        assert kernel.sum() == pytest.approx(flat, abs=1e-6)
        kernel[:] = 7
        assert not (ops.named_kernel(name) == 7).any()


def test_directions():
    rows, columns = np.mgrid[-1:2, -1:2].astype("float32")
    for family, weight in (("sobel", 8), ("prewitt", 6)):
        across, down = ops.named_kernel(f"{family}_x"), ops.named_kernel(f"{family}_y")
        assert (response(across, columns), response(across, rows)) == (weight, 0)
        assert (response(down, columns), response(down, rows)) == (0, weight)
    assert response(ops.named_kernel("laplacian"), rows**2 + columns**2) == 4
    assert response(ops.named_kernel("laplacian", diagonals=True), rows**2 + columns**2) == 12
    assert response(ops.named_kernel("emboss"), rows + columns) > 0


def test_settings():
    blur = ops.named_kernel("gaussian_blur", size=7, sigma=0.8)
    rows, columns = np.mgrid[-3:4, -3:4]
    assert blur.shape == (7, 7) and (blur == blur.T).all() and blur.argmax() == 24
    assert (blur * columns**2).sum() == pytest.approx(0.8**2, rel=0.01)  # the variance along one axis
    np.testing.assert_allclose(ops.named_kernel("box_blur", size=5), np.full((5, 5), 0.04), rtol=1e-6)
    np.testing.assert_array_equal(ops.named_kernel("sharpen", amount=0), ops.named_kernel("identity"))
    assert ops.named_kernel("identity", size=1).tolist() == [[1.0]]


def test_a_kernel_on_an_image():
    image = np.zeros((5, 6), "float32")
    image[:, 3:] = 1
    edges = ops.convolve2d(image, ops.named_kernel("sobel_x"))
    assert edges.tolist() == [[0, 4, 4, 0]] * 3
    np.testing.assert_array_equal(ops.convolve2d(image, ops.named_kernel("sobel_y")), np.zeros((3, 4)))


@pytest.mark.parametrize("make, error, message", [
    (lambda: ops.named_kernel("sobelx"), UnknownNameError, "There is no kernel 'sobelx'. Did you mean 'sobel_x'?"),
    (lambda: ops.named_kernel("sobel_x", size=5), SettingError, "The kernel 'sobel_x' takes no settings; got `size`."),
    (lambda: ops.named_kernel("gaussian_blur", width=5), SettingError,
     "The kernel 'gaussian_blur' takes `size` and `sigma`; got `width`."),
    (lambda: ops.named_kernel("box_blur", size=4), SettingError,
     "box_blur: `size` must be odd and positive, so that there is a middle; got 4."),
    (lambda: ops.named_kernel("sharpen", amount="much"), SettingError,
     "sharpen: `amount` must be a number; got 'much'."),
    (lambda: ops.named_kernel("gaussian_blur", sigma=0), SettingError,
     "gaussian_blur: `sigma` must be a positive number; got 0."),
])
def test_what_is_refused(make, error, message):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == message
