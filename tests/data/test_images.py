"""Images from files: every format and mode, orientation, sizes, and what is said of files that are broken."""
import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from chainrule.data.images import ImageInfo, for_each, read_image, read_infos
from chainrule.errors import DataError, MissingDataError, SettingError

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (30, 41, 3), np.uint8)


@pytest.fixture
def smooth():
    """A picture without noise, which JPEG keeps: red grows downwards, green to the right."""
    rows, columns = np.mgrid[0:30, 0:41]
    return np.stack([rows * 8, columns * 6, np.full((30, 41), 90)], -1).astype("uint8")


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def failure(path, **options) -> str:
    with pytest.raises(DataError) as error:
        read_image(path, **options)
    return str(error.value)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_formats_without_loss(tmp_path, suffix):
    np.testing.assert_array_equal(read_image(saved(tmp_path / f"a.{suffix}", PHOTO)), PHOTO)


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {"quality": 95}), ("webp", {"quality": 100})])
def test_formats_with_loss(tmp_path, smooth, suffix, options):
    image = read_image(saved(tmp_path / f"a.{suffix}", smooth, **options))
    assert image.shape == smooth.shape and np.abs(image.astype(int) - smooth).mean() < 3


def test_what_counts_is_the_content_not_the_name(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), PHOTO)


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (5, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").reshape(-1, 3).tolist() == [[255, 0, 0]] * 20


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_modes(tmp_path, mode):
    """Black, white and grey come out as such from every mode that can say them."""
    grey = np.repeat([0, 255, 0, 255], 5).reshape(4, 5).astype("uint8")
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.fromarray(grey).convert("RGB" if mode == "CMYK" else "L").convert(mode).save(path)
    np.testing.assert_array_equal(read_image(path), np.repeat(grey[..., None], 3, -1))
    np.testing.assert_array_equal(read_image(path, color="grayscale"), grey[..., None])


def test_grayscale_is_the_luma_of_the_colours(tmp_path):
    path = saved(tmp_path / "a.png", PHOTO)
    expected = PHOTO @ [0.299, 0.587, 0.114]  # ITU-R 601
    assert np.abs(read_image(path, color="grayscale")[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_are_scaled_not_cut(tmp_path, suffix):
    values = np.array([[0, 257, 32896], [65535, 128, 129]], "uint16")
    path = saved(tmp_path / f"a.{suffix}", values)
    assert read_image(path, color="grayscale")[..., 0].tolist() == [[0, 1, 128], [255, 0, 1]]
    assert read_image(path).shape == (2, 3, 3)


def test_what_is_transparent_becomes_white(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [255, 0, 51]
    assert read_image(saved(tmp_path / "a.png", pixels))[0, :, 0].tolist() == [0, 255, 204]
    palette = Image.fromarray(np.array([[0, 1]], "uint8"), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(tmp_path / "b.png", transparency=bytes([0, 255]))
    assert read_image(tmp_path / "b.png").tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
def test_orientation(tmp_path, smooth, orientation, suffix):
    """The eight ways to hold a camera, each undone."""
    hold = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
            5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
            8: lambda a: np.rot90(a, -1)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", np.ascontiguousarray(hold(smooth)), exif=exif)
    assert read_infos([path]) == [ImageInfo(30, 41, False)]
    assert np.abs(read_image(path).astype(int) - smooth).mean() < 3
    small = read_image(path, size=(10, 14)).astype(int)
    assert np.abs(small - read_image(saved(tmp_path / "b.png", smooth), size=(10, 14))).mean() < 4


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_count_as_none(tmp_path):
    path = saved(tmp_path / "a.jpg", PHOTO, exif=b"Exif\0\0MM\0*\0\0\0\x08" + b"\xff" * 9)
    assert read_image(path).shape == PHOTO.shape


def test_stretch_crop_and_pad(tmp_path):
    """A wide picture of three colours: all of it, its middle, all of it between bars."""
    colors = np.zeros((20, 60, 3), np.uint8)
    for index in range(3):
        colors[:, 20 * index : 20 * index + 20, index] = 255
    path = saved(tmp_path / "a.png", colors)
    read = lambda **options: read_image(path, size=(30, 30), **options)
    assert [read()[15, column].argmax() for column in (4, 15, 25)] == [0, 1, 2]
    assert read(resize="crop").argmax(-1).tolist() == np.ones((30, 30)).tolist()
    padded = read(resize="pad")
    assert not padded[:10].any() and not padded[20:].any() and padded[10:20].any(-1).all()
    assert [padded[15, column].argmax() for column in (4, 15, 25)] == [0, 1, 2]


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (1, 1), (7, 3)])
def test_extreme_shapes(tmp_path, resize, shape):
    path = saved(tmp_path / "a.png", np.full((*shape, 3), 200, np.uint8))
    image = read_image(path, size=(9, 8), resize=resize)
    assert image.shape == (9, 8, 3) and image.max() == 200


def test_shrinking_averages(tmp_path):
    """A chessboard becomes grey: no pixel is passed over."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype("uint8")
    image = read_image(saved(tmp_path / "a.png", board), size=8, color="grayscale")
    assert np.abs(image.astype(int) - 127).max() <= 2


def test_a_large_jpeg_shrinks_like_its_pixels(tmp_path):
    rows, columns = np.mgrid[0:800, 0:900]
    waves = (127 + 120 * np.sin(rows / 70) * np.cos(columns / 90)).astype("uint8")
    jpeg = read_image(saved(tmp_path / "a.jpg", waves, quality=95), size=(40, 45)).astype(int)
    assert np.abs(jpeg - read_image(saved(tmp_path / "a.png", waves), size=(40, 45))).max() <= 4


def test_infos(tmp_path):
    paths = [saved(tmp_path / "a.png", PHOTO), saved(tmp_path / "b.png", PHOTO[..., 0]), tmp_path / "none.png"]
    first, second, third = read_infos(paths)
    assert (first, second) == (ImageInfo(30, 41, False), ImageInfo(30, 41, True))
    assert isinstance(third, DataError) and str(third) == f"There is no file {tmp_path / 'none.png'}."


def test_broken_files(tmp_path):
    path = tmp_path / "a.jpg"
    unknown = f"{path} cannot be read as an image: it is damaged, or none of JPEG, PNG, BMP, GIF, WebP and TIFF."
    path.write_bytes(b"")
    assert failure(path) == f"{path} cannot be read as an image: it is empty."
    path.write_bytes(b"no image at all")
    assert failure(path) == unknown
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert failure(path) == unknown
    Image.fromarray(PHOTO).save(path, "EPS")  # which Pillow would hand to Ghostscript
    assert failure(path) == unknown
    assert failure(tmp_path) == f"{tmp_path} cannot be read as an image: it is a folder."
    assert failure(tmp_path / "none.jpg") == f"There is no file {tmp_path / 'none.jpg'}."


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert failure(tmp_path / "a.png") == (
        f"{tmp_path / 'a.png'} cannot be read as an image: it is a pipe or a device, which may not end.")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "tiff"])
def test_truncated_files(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", PHOTO)
    data = path.read_bytes()
    for length in (len(data) // 2, len(data) // 10, 20):
        path.write_bytes(data[:length])
        assert failure(path).startswith(f"{path} cannot be read as an image: ")


def test_flipped_bytes_never_raise_anything_else(tmp_path):
    random = np.random.default_rng(0)
    for suffix in ("jpg", "png", "gif", "bmp", "webp", "tiff"):
        data = saved(tmp_path / f"a.{suffix}", PHOTO).read_bytes()
        for _ in range(15):
            changed = bytearray(data)
            for place in random.integers(0, len(data), 5):
                changed[place] = random.integers(256)
            (tmp_path / "b").write_bytes(changed)
            try:
                assert read_image(tmp_path / "b", size=8).shape == (8, 8, 3)
            except DataError as error:
                assert str(error).startswith(str(tmp_path / "b"))


def test_floating_point_pixels(tmp_path):
    path = saved(tmp_path / "a.tiff", np.zeros((3, 3), "float32"))
    assert failure(path) == (f"{path} cannot be read as an image: its pixels are floating-point numbers, whose range "
                             f"is unknown; give them as an array.")
    path = saved(tmp_path / "b.tiff", np.full((3, 3), 70000, "int32"))
    assert failure(path) == (f"{path} cannot be read as an image: its pixels run from 70000 to 70000; expected at most "
                             f"16 bits.")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("pixels", [10_000, 20_000])
def test_a_decompression_bomb(tmp_path, pixels):
    """100 or 400 million pixels in a file of a few bytes: Pillow warns of the first and refuses the second."""
    path = saved(tmp_path / "a.png", PHOTO)
    data = path.read_bytes()
    head = b"IHDR" + struct.pack(">IIBBBBB", pixels, pixels, 8, 2, 0, 0, 0)
    path.write_bytes(data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:])
    message = f"{path} has more than 89,478,485 pixels (PIL.Image.MAX_IMAGE_PIXELS): it could be a decompression bomb."
    if pixels == 10_000:
        with pytest.warns(Image.DecompressionBombWarning):
            assert failure(path, size=8) == message
    else:
        assert failure(path, size=8) == message


def test_settings(tmp_path):
    path = saved(tmp_path / "a.png", PHOTO)
    for options, message in [
        ({"size": (0, 5)}, "size is (height, width) in pixels, such as (96, 96), or one number for both; got (0, 5)."),
        ({"size": 2.5}, "size is (height, width) in pixels, such as (96, 96), or one number for both; got 2.5."),
        ({"size": (1, 2, 3)},
         "size is (height, width) in pixels, such as (96, 96), or one number for both; got (1, 2, 3)."),
        ({"color": "grey"}, "color is 'rgb' or 'grayscale'; got 'grey'."),
        ({"resize": "fit"}, "resize is 'stretch', 'crop' or 'pad'; got 'fit'."),
    ]:
        with pytest.raises(SettingError) as error:
            read_image(path, **options)
        assert str(error.value) == message
    with pytest.raises(SettingError) as error:
        read_infos([path], workers=0)
    assert str(error.value) == "workers is the number of threads, 1 or more; got 0."


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDataError) as error:
        read_image(tmp_path / "a.png")
    assert str(error.value) == "Images are read with Pillow, which is not installed: pip install 'chainrule[images]'."


@pytest.mark.parametrize("count", [0, 1, 5, 16, 17, 1000])
@pytest.mark.parametrize("workers", [1, 3, None])
def test_for_each_index_once(count, workers):
    met = []
    for_each(met.append, count, workers)
    assert sorted(met) == list(range(count))
