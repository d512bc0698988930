"""`chainrule augment`: what stands on the sheet, what is printed, and how it fails."""
import builtins

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from chainrule.cli.main import app

RUNNER = CliRunner()
DRAW = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of photos of several sizes, and one beside it."""
    for place, size in [("photos/a", (40, 30)), ("photos/a", (30, 50)), ("photos/b", (64, 64)), ("photos/b", (20, 20))]:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        photo = DRAW.integers(0, 255, (*size, 3)).astype("uint8")
        Image.fromarray(photo).save(tmp_path / place / f"{size[0]}.png")
    Image.fromarray(DRAW.integers(0, 255, (30, 60, 3)).astype("uint8")).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return RUNNER.invoke(app, ["augment", *map(str, arguments)])


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def cells(path, height, width):
    """The images on a sheet, by row and column."""
    sheet = pixels(path)
    return [[sheet[top:top + height, left:left + width] for left in range(4, sheet.shape[1], width + 4)]
            for top in range(4, sheet.shape[0], height + 4)]


def test_one_photo_and_its_variants(folder):
    result = run("photo.png", "--translation", 0.2, "--brightness", 0.1, "--rows", 2, "--columns", 3, "--size", 60)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "photo.png in training, changed by\n"
        "  RandomTranslation(height_factor=0.2, width_factor=0.2, fill_mode='reflect')\n"
        "  RandomBrightness(factor=0.1)\n"
        "5 variants beside the original written to augmented.png (196 × 72 pixels)\n")
    grid = cells("augmented.png", 30, 60)
    assert [len(line) for line in grid] == [3, 3]
    np.testing.assert_array_equal(grid[0][0], pixels("photo.png"))
    assert len({image.tobytes() for line in grid for image in line}) == 6


def test_several_photos_have_a_row_each_from_all_folders(folder):
    result = run("photos", "--cutmix", "--rows", 2, "--columns", 4, "--size", 20, "--output", "sheet.png")
    assert result.exit_code == 0, result.output
    assert result.stdout == ("2 of 4 photos in training, changed by\n  CutMix(factor=(1, 1))\n"
                             "6 variants beside the originals written to sheet.png (100 × 52 pixels)\n")
    first, second = cells("sheet.png", 20, 20)
    np.testing.assert_array_equal(second[0], pixels(folder / "photos" / "b" / "20.png"))
    for image in first[1:]:  # every pixel is from one of the two, in its place
        assert ((image == first[0]) | (image == second[0])).all()
    assert run("photos", "photo.png", "--rows", 9).stdout.startswith("5 photos in training, changed by\n")


def test_every_option(folder):
    result = run("photos", "--flip", "vertical", "--crop", 0.5, "--rotation", 0.1, "--translation", 0.1, "--zoom", 0.1,
                 "--shear", 0.1, "--brightness", 0.1, "--contrast", 0.1, "--saturation", 0.2, "--noise", 0.1,
                 "--erasing", 1, "--mixup", 0.5, "--cutmix", "--fill", "wrap", "--size", 24, "--output", "all.jpg")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:-1] == [
        "  RandomFlip(mode='vertical')", "  RandomCrop(height=12, width=12)",
        "  RandomRotation(factor=0.1, fill_mode='wrap')",
        "  RandomTranslation(height_factor=0.1, width_factor=0.1, fill_mode='wrap')",
        "  RandomZoom(height_factor=0.1, fill_mode='wrap')",
        "  RandomShear(x_factor=0.1, y_factor=0.1, fill_mode='wrap')", "  RandomBrightness(factor=0.1)",
        "  RandomContrast(factor=0.1)", "  RandomSaturation(factor=(0.3, 0.7))", "  RandomNoise(stddev=0.1)",
        "  RandomErasing(factor=(1.0, 1.0))", "  MixUp(alpha=0.5)", "  CutMix(factor=(1, 1))"]
    with Image.open("all.jpg") as sheet:
        assert sheet.format == "JPEG" and f"({sheet.width} × {sheet.height} pixels)" in result.stdout


def test_the_seed_decides(folder):
    for name, seed in [("a.png", 1), ("b.png", 1), ("c.png", 2)]:
        assert run("photo.png", "--size", 30, "--seed", seed, "--output", name).exit_code == 0
    first, again, other = ((folder / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert first == again != other


def test_what_it_does_without_options(folder):
    assert run("photo.png", "--size", 30).stdout.splitlines()[1:-1] == [
        "  RandomFlip(mode='horizontal')", "  RandomRotation(factor=0.03, fill_mode='reflect')",
        "  RandomTranslation(height_factor=0.1, width_factor=0.1, fill_mode='reflect')",
        "  RandomZoom(height_factor=0.1, fill_mode='reflect')"]


@pytest.mark.parametrize("arguments, message", [
    (["nothing.jpg"], "There is no file nothing.jpg."),
    (["text.png"],
     "text.png cannot be read as an image: it is damaged, or none of JPEG, PNG, BMP, GIF, WebP and TIFF."),
    (["empty"], "empty holds no images."),
    (["photo.png", "--mixup", "1"],
     "--mixup and --cutmix mix a photo with others. Give several photos, or a folder of them, and as many --rows."),
    (["photo.png", "--flip", "sideways"],
     "RandomFlip: `mode` is one of 'horizontal', 'vertical', 'horizontal_and_vertical'; got 'sideways'."),
    (["photo.png", "--rotation", "0.1", "--fill", "reflekt"],
     "There is no fill mode 'reflekt'. Did you mean 'reflect'?"),
    (["photo.png", "--output", "sheet.xyz"],
     "sheet.xyz cannot be written: the end of its name says no format of pictures. Call it sheet.png."),
    (["photo.png", "--output", "photos.png"],
     "photos.png is a folder. Give the name of a file in it: photos.png/augmented.png."),
    (["photo.png", "--output", "photo.png"],
     "photo.png is one of the photos, which would be overwritten. Give another --output."),
])
def test_what_is_refused(folder, arguments, message):
    (folder / "text.png").write_text("no image")
    (folder / "empty").mkdir()
    (folder / "photos.png").mkdir()
    before = {path.name for path in folder.iterdir()}
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {message}\n")
    assert {path.name for path in folder.iterdir()} == before


def test_a_photo_of_another_row_is_not_overwritten_either(folder):
    result = run("photos", "photo.png", "--rows", 1, "--output", "photo.png")
    assert result.exit_code == 1 and "is one of the photos" in result.stderr


def test_values_out_of_bounds_are_errors_of_use(folder):
    result = run("photo.png", "--rotation", 2)
    assert result.exit_code == 2 and "Invalid value for '--rotation'" in result.stderr


def test_without_pillow_it_says_what_to_install(folder, monkeypatch):
    load = builtins.__import__

    def missing(name, *arguments, **options):
        if name.split(".")[0] == "PIL":
            raise ImportError(name)
        return load(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    result = run("photo.png")
    assert (result.exit_code, result.stderr) == (
        1, "Error: Images are read with Pillow, which is not installed: pip install 'chainrule[images]'.\n")
