"""Images in folders by class: what is found, how it is labelled, which files are broken, and training on it."""
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule.data import image_folder
from chainrule.data.image_folder import ImageFiles, ImageFolder, find_images
from chainrule.errors import DataError, SettingError

TREE = "    cat/  1.jpg  2.jpg  ...\n    dog/  1.jpg  2.jpg  ..."


def draw(path, value, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Five images of two classes, nested, in several formats and sizes, among other files."""
    root = tmp_path / "photos"
    for value, name in enumerate(["cat/b.png", "cat/old/a.bmp", "dog/1.PNG", "dog/2.gif", "dog/3.jpeg"]):
        draw(root / name, 40 * value, (12 + value, 10))
    draw(root / "dog" / "._1.png", 99)
    draw(root / ".cache" / "1.png", 99)
    draw(root / "cover.png", 99)
    (root / "dog" / "notes.txt").write_text("not an image")
    return root


def refused(*arguments, **options) -> str:
    with pytest.raises(DataError) as error:
        ImageFolder(*arguments, **options)
    return str(error.value)


def test_what_is_found(photos):
    found = ImageFolder(photos, size=(5, 6))
    assert found.class_names == ["cat", "dog"] and len(found) == 5 and found.skipped == []
    assert [str(path.relative_to(photos)) for path in found.paths] == [
        "cat/b.png", "cat/old/a.bmp", "dog/1.PNG", "dog/2.gif", "dog/3.jpeg"]
    x, y = found.load()
    assert x.shape == (5, 5, 6, 3) and x.dtype == np.uint8 and y.tolist() == [0, 0, 1, 1, 1] and y.dtype == np.int32
    assert np.abs(x[:, 0, 0, 0].astype(int) - [0, 40, 80, 120, 160]).max() <= 1
    assert found.nbytes == x.nbytes + y.nbytes and found.image_shape == (5, 6, 3)
    assert repr(found) == "<ImageFolder: 5 images of 5 x 6 x 3, 2 classes>"
    x, y = found.rows(np.array([4, 0, 4]))
    assert y.tolist() == [1, 0, 1] and x[1].max() == 0


def test_grey_and_one_size_for_both_axes(photos):
    assert ImageFolder(photos, size=7, color="grayscale", workers=1).load()[0].shape == (5, 7, 7, 1)


def test_split_by_class(photos):
    kept, held = ImageFolder(photos, size=4).split(0.4)
    assert sorted(held.labels.tolist()) == [0, 1] and kept.class_names == ["cat", "dog"]
    np.testing.assert_array_equal(held.load()[1], held.labels)


def test_without_a_size_all_images_must_be_alike(photos, tmp_path):
    assert refused(photos) == (
        f"The images have different sizes: {photos / 'cat/b.png'} has 10 x 12 pixels, {photos / 'cat/old/a.bmp'} has "
        f"10 x 13. Say which size they are brought to: size=(96, 96).")
    for name in ("a/1.png", "b/1.png"):
        draw(tmp_path / "alike" / name, 3, (9, 8))
    assert ImageFolder(tmp_path / "alike").image_shape == (8, 9, 3)


def test_known_classes(photos):
    names = ["wolf", "dog", "cat"]
    found = ImageFolder(photos, size=4, class_names=names)
    assert found.class_names == names and found.labels.tolist() == [2, 2, 1, 1, 1]
    shutil.rmtree(photos / "cat")
    assert ImageFolder(photos, size=4, class_names=names).labels.tolist() == [1, 1, 1]
    assert refused(photos, size=4, class_names=["cat", "dogs"]) == (
        f"{photos / 'dog'} is a folder of none of the classes. Did you mean 'dogs'?")
    with pytest.raises(SettingError) as error:
        ImageFolder(photos, size=4, class_names=["dog", "dog"])
    assert str(error.value) == "class_names is a list of names that differ; got ['dog', 'dog']."


def test_folders_that_hold_no_classes(photos, tmp_path):
    assert refused(tmp_path / "none") == f"There is no folder {tmp_path / 'none'}."
    assert refused(photos / "cover.png") == (
        f"{photos / 'cover.png'} is a file. Images are read from a folder that holds one folder for each class:\n"
        f"  photos/\n{TREE}")
    assert refused(photos / "dog") == (
        f"{photos / 'dog'} holds 3 images, but no folders. Expected a folder of images for each class:\n  dog/\n{TREE}")
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty") == (
        f"{tmp_path / 'empty'} holds no folders and no images. Expected a folder of images for each class:\n"
        f"  empty/\n{TREE}")
    (photos / "bird").mkdir()
    assert refused(photos) == (
        f"{photos / 'bird'} holds no images, so it cannot be a class. Move it elsewhere, or put images into it.")
    for number in range(2):
        (photos / "bird" / f"{number}.heic").write_bytes(b"")
    (photos / "bird" / "README").write_bytes(b"")
    assert refused(photos) == (
        f"{photos / 'bird'} holds no images, so it cannot be a class. There are other files (2 .heic, 1 without an "
        f"ending); names of images end in .jpg, .jpeg, .png, .bmp, .gif, .webp, .tif, .tiff. Move it elsewhere, or put "
        f"images into it.")
    for name in ("bird", "dog"):
        shutil.rmtree(photos / name)
    assert refused(photos) == (
        f"{photos} holds one class only, 'cat'. Expected a folder of images for each of several classes:\n"
        f"  photos/\n{TREE}")
    shutil.rmtree(photos / "cat" / "old")
    (photos / "cat" / "b.png").rename(photos / "cat" / "b.txt")
    assert refused(photos) == (
        f"{photos} has no images in its folders. There are other files (1 .txt); names of images end in .jpg, .jpeg, "
        f".png, .bmp, .gif, .webp, .tif, .tiff.")


def test_parts_of_a_data_set_are_no_classes(photos, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(photos, tmp_path / "data" / part)
    assert refused(tmp_path / "data") == (
        f"{tmp_path / 'data'} holds the parts of a data set (test, train), not classes. Give one of them: "
        f"{tmp_path / 'data' / 'train'}.")
    for name in ("train", "plane"):
        draw(tmp_path / "vehicles" / name / "1.png", 0)
    assert ImageFolder(tmp_path / "vehicles").class_names == ["plane", "train"]


@pytest.fixture
def broken(photos):
    """As `photos`, with a file that is none and one whose head is intact."""
    (photos / "cat" / "b.png").write_bytes(b"nothing")
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    Image.fromarray(noise).save(photos / "dog" / "3.jpeg")
    data = (photos / "dog" / "3.jpeg").read_bytes()
    (photos / "dog" / "3.jpeg").write_bytes(data[: len(data) // 2])
    return photos


def test_a_broken_head_is_named_at_once(broken):
    text = (f"{broken / 'cat/b.png'} cannot be read as an image: it is damaged, or none of JPEG, PNG, BMP, GIF, WebP "
            f"and TIFF.")
    advice = " Remove such files, or leave them out by errors='skip'."
    assert refused(broken, size=4) == text + advice
    (broken / "dog" / "2.gif").write_bytes(b"")
    assert refused(broken, size=4) == f"{text} (2 of 5 files are broken, this is the first.){advice}"


def test_broken_pixels_are_named_when_they_are_read(broken):
    draw(broken / "cat" / "b.png", 0)
    found = ImageFolder(broken, size=4)
    with pytest.raises(DataError) as error:
        found.load()
    assert str(error.value).startswith(f"{broken / 'dog/3.jpeg'} cannot be read as an image: image file is truncated")


@pytest.mark.parametrize("kept_bytes", [0, 512 << 20])
def test_broken_files_are_skipped_by_choice(broken, monkeypatch, kept_bytes):
    monkeypatch.setattr(image_folder, "KEPT_BYTES", kept_bytes)
    found = ImageFolder(broken, size=4, errors="skip")
    assert [path.name for path, _ in found.skipped] == ["b.png", "3.jpeg"]
    assert found.skipped[1][1].startswith(f"{broken / 'dog/3.jpeg'} cannot be read as an image: image file is trunc")
    assert [path.name for path in found.paths] == ["a.bmp", "1.PNG", "2.gif"] and len(found) == 3
    x, y = found.load()
    assert x[:, 0, 0, 0].tolist() == [40, 80, 120] and y.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(found.rows(np.array([2, 0]))[0], x[[2, 0]])
    assert repr(found) == "<ImageFolder: 3 images of 4 x 4 x 3, 2 skipped, 2 classes>"


def test_a_class_of_broken_images(broken):
    shutil.rmtree(broken / "cat" / "old")
    assert refused(broken, size=4, errors="skip") == (
        f"All images of the class 'cat' are broken. {broken / 'cat/b.png'} cannot be read as an image: it is damaged, "
        f"or none of JPEG, PNG, BMP, GIF, WebP and TIFF.")


def test_a_class_of_broken_images_is_known_by_its_folder_alone(broken):
    """Not by the name of a folder above, or below in another class."""
    draw(broken / "dog" / "cat" / "b.png", 0).write_bytes(b"")
    (broken / "dog").rename(broken / "a dog")
    shutil.rmtree(broken / "cat" / "old")
    assert refused(broken, size=4, errors="skip") == (
        f"All images of the class 'cat' are broken. {broken / 'cat/b.png'} cannot be read as an image: it is damaged, "
        f"or none of JPEG, PNG, BMP, GIF, WebP and TIFF.")


@pytest.mark.parametrize("place", [".", "dog", "cat/old"])
def test_folders_that_may_not_be_read(photos, monkeypatch, place):
    """Who may read everything, as the tests may, meets no such folder: the system's answer is made up."""
    closed, scan, listdir = str(photos / place), os.scandir, os.listdir

    def refuse(real):
        def read(path="."):
            if os.fspath(path) == closed:
                raise PermissionError(13, "Permission denied", closed)
            return real(path)
        return read

    monkeypatch.setattr(os, "scandir", refuse(scan))
    monkeypatch.setattr(os, "listdir", refuse(listdir))
    assert refused(photos, size=4) == f"The folder {closed} cannot be read: Permission denied."


def test_files_in_a_list(photos):
    paths = find_images(photos / "dog")
    files = ImageFiles(paths, [2, 0, 1], size=(5, 6))
    assert files.load()[1].tolist() == [2, 0, 1] and repr(files) == "<ImageFiles: 3 images of 5 x 6 x 3>"
    assert ImageFiles(paths, size=(5, 6)).load()[1] is None
    for arguments, message in [
        (([],), "There are no image files in the list."),
        ((paths, [1]), "There are 3 files and 1 labels; expected one label a file."),
        (([photos / "x.png"],), f"There is no file {photos / 'x.png'}."),
    ]:
        with pytest.raises(DataError) as error:
            ImageFiles(*arguments, size=4, errors="skip")
        assert str(error.value) == message
    with pytest.raises(DataError) as error:
        ImageFiles([photos / "x.png", photos / "y.png"], size=4, errors="skip")
    assert str(error.value) == f"None of the 2 image files can be read. The first: There is no file {photos / 'x.png'}."
    with pytest.raises(SettingError) as error:
        ImageFiles(paths, errors="ignore")
    assert str(error.value) == "errors is 'raise' or 'skip'; got 'ignore'."


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_network_learns_from_it(tmp_path, in_memory):
    """Dark and bright pictures, told apart after a few epochs; streamed or at once, the same to the bit."""
    random = np.random.default_rng(0)
    for index in range(40):
        bright = index % 2
        noise = random.integers(0, 80, (9, 11, 3)) + 120 * bright
        path = tmp_path / ("bright" if bright else "dark") / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise.astype("uint8")).save(path)
    photos = ImageFolder(tmp_path)
    photos.in_memory = in_memory
    kept, held = photos.split(0.25)
    model = cr.Sequential([cr.Input(photos.image_shape), cr.layers.Rescaling(1 / 255), cr.layers.Flatten(),
                           cr.layers.Dense(2, activation="softmax")])
    model.compile(cr.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(kept, epochs=20, batch_size=7, validation_data=held, seed=0, verbose=0)
    assert model.evaluate(held, verbose=0, return_dict=True)["accuracy"] == 1
    assert (model.predict(held).argmax(-1) == held.labels).all()
