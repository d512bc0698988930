import io
import sys

import numpy as np
import pytest
from PIL import Image

from chainrule.errors import ChainruleError, FileAccessError, SettingError, ShapeError
from chainrule.inspect import Picture, grid, overlay
from chainrule.inspect.pictures import GAP, spread

BLACK = np.zeros((4, 5, 3), "uint8")


def test_a_picture_is_its_pixels():
    picture = Picture(BLACK)
    np.testing.assert_array_equal(np.asarray(picture), BLACK, strict=True)
    assert np.asarray(picture, "float32").dtype == "float32"
    assert repr(picture) == "<Picture: 4 rows of 5 pixels>"


def test_a_picture_is_kept_in_a_file_and_shown_in_a_notebook(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), "uint8")
    picture = Picture(pixels)
    picture.save(tmp_path / "noise.png")
    with Image.open(tmp_path / "noise.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    with Image.open(io.BytesIO(picture._repr_png_())) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    picture.save(tmp_path / "noise.jpg")
    assert (tmp_path / "noise.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(FileAccessError) as error:
        Picture(BLACK).save(tmp_path / "noise.xyz")
    assert str(error.value) == (f"The picture cannot be written to '{tmp_path}/noise.xyz': unknown file extension: "
                                f".xyz.")
    with pytest.raises(FileAccessError) as error:
        Picture(BLACK).save(tmp_path / "nowhere" / "noise.png")
    assert str(error.value).startswith(f"The picture cannot be written to '{tmp_path}/nowhere/noise.png': [Errno 2]")


def test_without_pillow_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError) as error:
        Picture(BLACK).save(tmp_path / "black.png")
    assert str(error.value) == ("Files of pictures are written with Pillow, which is not installed: "
                                "pip install 'chainrule[images]'.")


def test_show_opens_the_viewer(monkeypatch):
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda image: shown.append(image.size))
    Picture(BLACK).show()
    assert shown == [(5, 4)]


def test_a_grid_puts_images_side_by_side():
    images = np.arange(1, 6, dtype="uint8")[:, None, None] * np.ones((5, 2, 3), "uint8")
    sheet = grid(images, columns=2, gap=1).image
    assert sheet.shape == (2 + 1 + 2 + 1 + 2, 3 + 1 + 3, 3)
    assert sheet[0, 0].tolist() == [1, 1, 1] and sheet[0, 6].tolist() == [2, 2, 2]
    assert sheet[3, 0].tolist() == [3, 3, 3] and sheet[7, 2].tolist() == [5, 5, 5]
    assert all((part == GAP).all() for part in (sheet[2], sheet[:, 3], sheet[6:, 4:]))
    assert grid(images, gap=0).image.shape == (4, 9, 3)  # three in a row
    assert grid(images[:1], scale=3).image.shape == (6, 9, 3)
    assert grid(list(images), columns=9, gap=0).image.shape == (2, 15, 3)


@pytest.mark.parametrize(("image", "pixel"), [
    (np.full((2, 2), 0.5), [128] * 3),
    (np.full((2, 2), 128.4, "float32"), [128] * 3),
    (np.full((2, 2, 1), True), [255] * 3),
    (np.full((2, 2, 3), [0, 100, 200]), [0, 100, 200]),
    (np.zeros((2, 2), "float32"), [0] * 3),
])
def test_numbers_become_pixels(image, pixel):
    assert grid(image[None]).image[0, 0].tolist() == pixel


def test_spread():
    tiles = np.array([[-1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 2.0, 4.0]])
    each = spread(tiles, around_zero=True, together=False)
    np.testing.assert_allclose(each, [[0, 0.5, 0.75], [0.5] * 3, [0.5, 0.75, 1]])
    np.testing.assert_allclose(spread(tiles, around_zero=True, together=True)[0], [0.375, 0.5, 0.5625])
    np.testing.assert_allclose(spread(tiles, around_zero=False, together=False),
                               [[0, 1 / 1.5, 1], [0, 0, 0], [0, 0.5, 1]])
    np.testing.assert_allclose(spread(tiles, around_zero=False, together=True)[2], [0.2, 0.6, 1])


def test_overlay_shows_the_photo_where_it_is_cold():
    photo = np.random.default_rng(0).integers(0, 256, (6, 8, 3), "uint8")
    heat = np.zeros((6, 8))
    np.testing.assert_array_equal(overlay(photo, heat).image, photo)
    heat[2, 3] = 0.25
    shown = overlay(photo, heat, strength=1).image
    assert shown[2, 3].tolist() == [255, 250, 175]  # the hottest place, whatever its number
    shown[2, 3] = photo[2, 3]
    np.testing.assert_array_equal(shown, photo)
    np.testing.assert_array_equal(overlay(photo, heat, strength=0).image, photo)


def test_overlay_takes_what_the_functions_return():
    photo = np.random.default_rng(0).random((1, 6, 8, 3))
    heat = np.random.default_rng(1).random((1, 6, 8))
    expected = overlay(photo[0], heat[0]).image
    for photos, heats in ((photo, heat), (photo[0], heat), (photo[0], -heat[0]), (photo, heat[..., None])):
        np.testing.assert_array_equal(overlay(photos, heats).image, expected)
    channels = np.stack([heat[0], heat[0] / 2], -1)
    np.testing.assert_array_equal(overlay(photo[0], channels).image, expected)
    assert overlay(photo.repeat(2, 0), heat.repeat(2, 0)).image.shape == (6, 19, 3)
    assert overlay(np.zeros((28, 28)), np.eye(7)).image.shape == (28, 28, 3)


@pytest.mark.parametrize(("make", "kind", "message"), [
    (lambda: Picture(np.zeros((4, 5))), ShapeError,
     "A Picture is made of an array (height, width, 3) of uint8; `inspect.grid` makes one of other arrays."),
    (lambda: grid(np.zeros((4, 5, 2, 7))), ShapeError,
     "An image has the shape (height, width), (height, width, 1) or (height, width, 3); got (5, 2, 7)."),
    (lambda: grid([np.zeros((2, 2)), np.zeros((2, 3))]), ShapeError,
     "Images side by side need one size; got (2, 2), (2, 3)."),
    (lambda: grid([]), ShapeError, "Images side by side need one size; got none."),
    (lambda: grid(np.full((1, 2, 2), -103.9)), SettingError,
     "`images` has values from -103.9 to -103.9; pixels go from 0 to 255, or from 0 to 1. Give images as they were "
     "before preprocessing."),
    (lambda: grid(np.full((1, 2, 2), np.nan)), SettingError,
     "`images` has values from nan to nan; pixels go from 0 to 255, or from 0 to 1. Give images as they were before "
     "preprocessing."),
    (lambda: grid(np.zeros((2, 2, 2)), columns=0), SettingError, "columns must be an integer of at least 1; got 0."),
    (lambda: grid(np.zeros((2, 2, 2)), scale=1.5), SettingError, "scale must be an integer of at least 1; got 1.5."),
    (lambda: overlay(np.zeros((4, 4, 3)), np.zeros(4)), ShapeError,
     "`overlay` takes a photo (height, width, 3) and heat (height, width) for it; got (4, 4, 3) and (4,)."),
    (lambda: overlay(np.zeros((2, 4, 4, 3)), np.zeros((3, 4, 4))), ShapeError,
     "`overlay` takes a photo (height, width, 3) and heat (height, width) for it; got (2, 4, 4, 3) and (3, 4, 4)."),
    (lambda: overlay(np.zeros((4, 4, 3)), np.full((4, 4), np.inf)), SettingError,
     "`heat` holds NaN or infinite values."),
    (lambda: overlay(np.zeros((4, 4, 3)), np.zeros((4, 4)), strength=2), SettingError,
     "`strength` is a number from 0 to 1; got 2."),
])
def test_what_is_no_picture_is_said(make, kind, message):
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message and isinstance(error.value, ChainruleError)
