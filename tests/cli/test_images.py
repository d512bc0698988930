"""Images on the command line: folders to train on, photos to look at, and every mistake in a line."""
import csv
import os
import re
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from chainrule.cli import images, networks, terminal
from chainrule.cli.data import Part
from chainrule.cli.main import app
from chainrule.data import source
from chainrule.layers import Dense, MaxPooling2D
from chainrule.models import Input, Sequential, load_model

RUNNER = CliRunner()
COLORS = {"blue": (30, 30, 200), "green": (30, 200, 30), "red": (200, 30, 30)}


def draw(path, color, size=(24, 20), seed=0):
    """A noisy image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-25, 25, (*size[::-1], 3))
    Image.fromarray((np.array(color) + noise).astype("uint8")).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos of three colours, 12 of each, and a broken one."""
    root = tmp_path_factory.mktemp("cli")
    for name, color in COLORS.items():
        for number in range(12):
            suffix = ("png", "jpg", "bmp")[number % 3]
            draw(root / "photos" / name / f"{number}.{suffix}", color, (24 + number, 20), number)
    (root / "photos" / "red" / "99.jpg").write_bytes(b"nothing")
    return root


@pytest.fixture(scope="module")
def trained(folder):
    """`chainrule fit` on the photos, run once: the model's file and what was printed."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        result = RUNNER.invoke(app, ["fit", "photos/", "--size", "16", "--epochs", "25", "--no-augment"])
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    return folder / "photos.chain", result


def run(*arguments, code=0):
    result = RUNNER.invoke(app, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result


def failure(*arguments) -> str:
    """What a command that fails says, on the error output alone."""
    result = run(*arguments, code=1)
    assert not result.stdout and "Traceback" not in result.output
    return result.stderr


def rows(text: str) -> list[dict]:
    return list(csv.DictReader(text.splitlines()))


def test_fit(trained):
    path, result = trained
    assert result.stdout.startswith(
        "photos: 29 images of 16 × 16 pixels to train on, 7 to test on\n"
        "Classes: blue 12, green 12, red 12\n"
        "Network: 16 × 16 × 3 → 8 × 8 × 16 → 4 × 4 × 32 → 3, 5,331 weights\n\n")
    assert result.stderr == (
        f"Left out: {os.path.join('photos', 'red', '99.jpg')} cannot be read as an image: it is damaged, or none of "
        f"JPEG, PNG, BMP, GIF, WebP and TIFF.\n")
    accuracy = float(re.search(r"Held-out accuracy: ([\d.]+) % \(\d of 7\)", result.stdout)[1])
    assert accuracy >= 85
    assert load_model(path).class_names == ["blue", "green", "red"]


def test_what_to_try_next_works(trained, folder, monkeypatch):
    monkeypatch.chdir(folder)
    lines = re.findall(r"^  chainrule (.*?)  ", trained[1].stdout, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["predict", "fit"]
    assert lines[1] == "fit photos --size 128 --output larger.chain"
    result = RUNNER.invoke(app, lines[0].split())
    assert result.exit_code == 1 and len(rows(result.stdout)) == 36 * 3  # one is broken


def test_predict_photos(trained, folder):
    path, _ = trained
    photo = folder / "photos" / "green" / "1.jpg"
    found = rows(run("predict", path, photo).stdout)
    assert [row["image"] for row in found] == [str(photo)] * 3 and found[0]["class"] == "green"
    assert abs(sum(float(row["probability"]) for row in found) - 1) < 1e-3
    assert sorted((float(row["probability"]) for row in found), reverse=True) == [
        float(row["probability"]) for row in found]
    two = run("predict", path, photo, folder / "photos" / "blue" / "3.png", "--top", 1).stdout
    assert [row["class"] for row in rows(two)] == ["green", "blue"]
    blue = rows(run("predict", path, folder / "photos" / "blue", "--top", "1").stdout)
    assert [row["image"] for row in blue] == sorted(row["image"] for row in blue) and len(blue) == 12


def test_predict_goes_on_behind_a_broken_photo(trained, folder):
    result = run("predict", trained[0], folder / "photos" / "red" / "99.jpg", folder / "none.jpg",
                 folder / "photos" / "red" / "0.png", "--top", 1, code=1)
    assert [row["class"] for row in rows(result.stdout)] == ["red"]
    assert result.stderr == (
        f"Left out: {folder / 'photos' / 'red' / '99.jpg'} cannot be read as an image: it is damaged, or none of JPEG, "
        f"PNG, BMP, GIF, WebP and TIFF.\nLeft out: There is no file {folder / 'none.jpg'}.\n")


def test_predict_into_a_file(trained, tmp_path):
    draw(tmp_path / "a, b" / '"1".png', COLORS["red"])
    result = run("predict", trained[0], tmp_path / "a, b", "--top", 2, "--output", tmp_path / "out.csv")
    assert result.stdout == f"2 rows written to {tmp_path / 'out.csv'}\n"
    with open(tmp_path / "out.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["image"] for row in found] == [str(tmp_path / "a, b" / '"1".png')] * 2 and found[0]["class"] == "red"


def test_the_table_on_a_terminal(monkeypatch, capsys):
    from chainrule.cli import predict

    lines = [[f"{photo}.jpg", name, "0.5"] for photo in range(22) for name in ("[red]", "dog")]
    predict._show(["image", "class", "probability"], lines)
    shown = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in shown[:3]] == [
        "image   class  probability", "0.jpg   [red]  0.5", "        dog    0.5"]
    assert len(shown) == 1 + 40 + 2 and shown[-1].startswith("… and 2 more rows.")


def test_evaluate(trained, folder, tmp_path):
    result = run("evaluate", trained[0], folder / "photos")
    assert result.stdout.startswith(f"{trained[0]} on 36 images in {folder / 'photos'}\n\nLoss:     ")
    assert float(re.search(r"Accuracy: ([\d.]+) % \(\d+ of 36\)", result.stdout)[1]) >= 85
    for number in range(4):
        draw(tmp_path / "more" / "test" / "red" / f"{number}.png", COLORS["red"])
        draw(tmp_path / "more" / "train" / "blue" / f"{number}.png", COLORS["blue"])
    result = run("evaluate", trained[0], tmp_path / "more")
    assert f"on 4 images in {tmp_path / 'more' / 'test'}\n" in result.stdout and "(4 of 4)" in result.stdout
    draw(tmp_path / "other" / "reds" / "1.png", COLORS["red"])
    assert failure("evaluate", trained[0], tmp_path / "other") == (
        f"Error: {tmp_path / 'other' / 'reds'} is a folder of none of the classes. Did you mean 'red'?\n")


def test_quiet_and_seeded(folder, tmp_path):
    for name in ("a", "b"):
        result = run("fit", folder / "photos", "-q", "--size", 8, "--network", "dense", "--hidden", 0, "--epochs", 2,
                     "--output", tmp_path / name)
        assert re.fullmatch(r"[01]\.\d{4}\n", result.stdout)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_images_that_do_not_fit_into_memory(folder, tmp_path, monkeypatch):
    """Streamed, the same model as from memory."""
    command = ["fit", folder / "photos", "--size", 8, "--network", "dense", "--hidden", 4, "--epochs", 3]
    run(*command, "--output", tmp_path / "memory")
    monkeypatch.setattr(source, "MEMORY_SHARE", 0)
    output = run(*command, "--output", tmp_path / "streamed").stdout
    assert "Held-out accuracy" in output
    for first, second in zip(load_model(tmp_path / "memory").get_weights(),
                             load_model(tmp_path / "streamed").get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.fixture
def parts(tmp_path):
    def make(*names):
        for place, name in enumerate(names):
            for color in ("red", "green"):
                for number in range(4 + place):
                    draw(tmp_path / "data" / name / color / f"{number}.png", COLORS[color])
        return tmp_path / "data"
    return make


@pytest.mark.parametrize(("names", "sizes"), [
    (("train",), (6, 2, None)), (("train", "test"), (8, 10, None)), (("Train", "val"), (8, 10, None)),
    (("training", "testing", "validation"), (8, 10, 12))])
def test_parts_of_a_data_set(parts, names, sizes):
    found = images.load_folder(parts(*names), None, 0.2, seed=0)
    assert (len(found.train), len(found.test), found.validation and len(found.validation)) == sizes
    assert found.name == "data" and found.class_names == ("green", "red") and found.train.shape == (20, 24, 3)


def test_folders_named_like_parts_can_be_classes(tmp_path):
    for name in ("train", "plane"):
        draw(tmp_path / name / "1.png", COLORS["red"])
    assert images.find_parts(tmp_path) == {} == images.find_parts(tmp_path / "none")


@pytest.mark.parametrize(("sizes", "expected"), [
    ([(28, 28)], (28, 28)), ([(90, 50)], (50, 90)), ([(500, 300)], (96, 96)), ([(5, 9), (6, 6)], (8, 8)),
    ([(50, 41), (60, 70), (43, 99)], (40, 40)), ([(97, 20)], (16, 16))])
def test_the_size_that_is_chosen(tmp_path, sizes, expected):
    for number, size in enumerate(sizes):
        draw(tmp_path / f"{number}.png", COLORS["red"], size)
    assert images.choose_size(sorted(tmp_path.iterdir())) == (expected, "rgb")


def test_grey_images_stay_grey(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    assert images.choose_size([tmp_path / "a.png"]) == ((9, 9), "grayscale")
    draw(tmp_path / "b.png", COLORS["red"], (9, 9))
    assert images.choose_size([tmp_path / "a.png", tmp_path / "b.png"]) == ((9, 9), "rgb")
    (tmp_path / "c.png").write_bytes(b"")
    assert images.choose_size([tmp_path / "c.png"]) == ((96, 96), "rgb")


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (96, 96, 3), (32, 32, 3), (40, 17, 1), (2, 3, 3)])
@pytest.mark.parametrize("row_count", [100, 10_000])
def test_networks_are_as_they_are_described(shape, row_count):
    about = networks.Images(shape, 7, row_count)
    for kind in networks.KINDS:
        recipe = networks.recipe("photos", kind, about)._replace(hidden=(5,))
        model = networks.build(recipe, about, "relu", 0.2)
        assert model.inputs[0].shape[1:] == shape and model.outputs[0].shape == (None, 7)
        text, pools = networks.describe(recipe, about), [
            node.outputs.shape[1:] for node in model._graph.nodes if isinstance(node.layer, MaxPooling2D)]
        sizes = [shape, *pools] if kind == "convolutional" else []
        begins = " → ".join(" × ".join(map(str, size)) for size in sizes) or str(np.prod(shape))
        assert text == f"{begins} → 5 → 7{' units' * (kind == 'dense')}"
        assert ("flip" in recipe.augmentation) == (kind == "convolutional" and shape[2:] == (3,))


def test_every_recipe_can_be_built():
    for name in ("digits", "mnist", "fashion_mnist", "cifar10"):
        for kind in networks.KINDS:
            about = networks.Images((28, 28), 10, 60_000)
            assert networks.build(networks.recipe(name, kind, about), about, "relu", 0.2).built


def test_a_named_data_set_with_convolutions(tmp_path):
    result = run("fit", "digits", "--network", "convolutional", "--no-augment", "--epochs", 1, "--output",
                 tmp_path / "digits.chain")
    assert "Network: 8 × 8 → 4 × 4 × 16 → 10, 378 weights\n" in result.stdout and "Augmentation" not in result.stdout
    assert f"chainrule predict {tmp_path / 'digits.chain'} digits" in result.stdout
    Image.new("RGB", (50, 40), "white").save(tmp_path / "paper.png")
    found = rows(run("predict", tmp_path / "digits.chain", tmp_path / "paper.png").stdout)
    assert len(found) == 5 and {row["class"] for row in found} <= set("0123456789")


def test_a_part_of_a_data_set_is_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    records = np.random.default_rng(0).integers(0, 10, (40, 3073), np.uint8)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / "cifar10" / name).write_bytes(records.tobytes())
    result = run("fit", "cifar10", "--network", "dense", "--hidden", 0, "--epochs", 1, "-q", "--output",
                 tmp_path / "m.chain")
    assert result.stderr == (f"Note: {tmp_path / 'cifar10'} holds a part of CIFAR-10: 40 of 50,000 images to train on, "
                             f"40 of 10,000 to test on.\n")
    assert load_model(tmp_path / "m.chain").class_names[0] == "airplane"


def test_mistakes_are_said(folder, trained, tmp_path, monkeypatch):
    model = tmp_path / "model.chain"
    Sequential([Input((3,)), Dense(2)]).save(model)
    photo = folder / "photos" / "red" / "0.png"
    assert failure("fit", tmp_path / "phots") == f"Error: There is no folder {tmp_path / 'phots'}.\n"
    assert failure("fit", "phots/") == "Error: There is no folder phots.\n"
    assert failure("fit", photo).startswith(f"Error: {photo} is a file. Images are read from a folder that holds one ")
    assert failure("fit", folder / "photos" / "red").startswith(
        f"Error: {folder / 'photos' / 'red'} holds 13 images, but no folders. Expected a folder of images for each ")
    assert failure("fit", "digits", "--network", "convolution") == (
        "Error: There is no network 'convolution'. Did you mean 'convolutional'?\n")
    assert failure("predict", model, photo) == (
        "Error: The model takes no images: expected an input of shape (None, height, width, 1 or 3) or (None, height, "
        "width), the model's is (None, 3).\n")
    assert failure("evaluate", model, folder / "photos").startswith("Error: The model takes no images: ")
    assert failure("predict", trained[0], photo, "rows.csv") == (
        "Error: rows.csv is no image. Give several images, or one file of rows, or one data set.\n")
    assert failure("predict", trained[0], tmp_path / "none.jpg") == (
        f"Error: There is no file {tmp_path / 'none.jpg'}.\n")
    (tmp_path / "empty").mkdir()
    assert failure("predict", trained[0], tmp_path / "empty") == f"Error: {tmp_path / 'empty'} holds no images.\n"
    for color, count in (("red", 5), ("blue", 2)):
        for number in range(count):
            draw(tmp_path / "few" / color / f"{number}.png", COLORS[color])
    assert failure("fit", tmp_path / "few") == (
        f"Error: {tmp_path / 'few'} has 2 images of the class 'blue'. At least 3 of each are needed: to train on, to "
        f"stop by, and to test on.\n")
    monkeypatch.setitem(sys.modules, "PIL", None)
    for command in (["fit", folder / "photos"], ["predict", trained[0], photo]):
        assert failure(*command) == (
            "Error: Images are read with Pillow, which is not installed: pip install 'chainrule[images]'.\n")


def test_a_folder_may_be_named_like_a_data_set(tmp_path, monkeypatch):
    from chainrule.cli.data import is_path

    monkeypatch.chdir(tmp_path)
    for name, color in COLORS.items():
        for number in range(3):
            draw(tmp_path / "digits" / name / f"{number}.png", color, (4, 4))
    (tmp_path / "photos").mkdir()
    assert [is_path(word) for word in ("digits", "digits/", "./digits", "photos", "Fashion-MNIST", "nothing")] == [
        False, True, True, True, False, False]
    assert run("fit", "digits/", "--network", "dense", "--hidden", 0, "--epochs", 1).stdout.startswith(
        "digits: 6 images of 4 × 4 pixels to train on, 3 to test on\n")
    assert load_model("digits.chain").layers[0].scale == 1 / 255


def test_many_classes_are_told_by_what_is_confused(capsys):
    names = [f"class {number}" for number in range(21)]
    counts = np.eye(21, dtype=int) * 9
    counts[3, 5], counts[20, 0] = 2, 7
    terminal.console().print(terminal.confusion_table(counts, names))
    lines = [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [["confused most often"], ["true", "predicted", "images"], ["class 20", "class 0", "7"],
                     ["class 3", "class 5", "2"]]


def test_names_of_classes_are_no_markup(capsys):
    terminal.console().print(terminal.confusion_table(np.eye(2, dtype=int), ["[bold]cat", "dog[/red]"]))
    assert "[bold]cat 0" in capsys.readouterr().out


def test_a_part_of_rows_keeps_every_class():
    part = Part(np.arange(40).reshape(20, 2), np.arange(20) % 2)
    kept, held = part.split(0.3, seed=1)
    assert len(kept) == 14 and sorted(np.bincount(held.y)) == [3, 3] and (held.x[:, 0] // 2 % 2 == held.y).all()


def test_predicting_a_folder_that_is_not_there(tmp_path):
    model = Sequential([Input((4, 4, 3)), MaxPooling2D(4), Dense(2, activation="softmax")])
    model.save(tmp_path / "model.chain")
    done = RUNNER.invoke(app, ["predict", str(tmp_path / "model.chain"), "nowhere/"])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: There is no file nowhere. Give images, rows in .npy, .npz or .csv, or one of")
