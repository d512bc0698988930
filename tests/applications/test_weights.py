"""Weights from files: those of torchvision, of Keras, of our own, and published ones; and files that do not fit."""
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from torch_files import write_legacy, write_tensors, write_zip

from chainrule import Model
from chainrule.applications import VGG16, ResNet18, ResNet50, imagenet, resnet
from chainrule.datasets.sources import RemoteFile, Source
from chainrule.errors import FileFormatError, MissingDataError, SettingError

VGG16_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of the convolutions in torchvision's `features`
FILTERS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def resnet18():
    """Tensors under torchvision's names for ResNet-18."""
    rng, tensors = np.random.default_rng(0), {}

    def convolution(name, outputs, inputs, size):
        tensors[f"{name}.weight"] = (0.1 * rng.normal(size=(outputs, inputs, size, size))).astype("float32")

    def normalisation(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{name}.{part}"] = rng.uniform(0.5, 1, channels).astype("float32")
        tensors[f"{name}.num_batches_tracked"] = np.array(7)

    convolution("conv1", 64, 3, 7)
    normalisation("bn1", 64)
    inputs = 64
    for stage, outputs in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            for index in (1, 2):
                convolution(f"{name}.conv{index}", outputs, inputs if index == 1 else outputs, 3)
                normalisation(f"{name}.bn{index}", outputs)
            if inputs != outputs:
                convolution(f"{name}.downsample.0", outputs, inputs, 1)
                normalisation(f"{name}.downsample.1", outputs)
            inputs = outputs
    tensors["fc.weight"], tensors["fc.bias"] = rng.normal(size=(1000, 512)), rng.normal(size=1000)
    return tensors


def vgg16_features() -> dict[str, np.ndarray]:
    """Tensors under torchvision's names for VGG-16 without its top."""
    rng, tensors = np.random.default_rng(0), {}
    for place, inputs, outputs in zip(VGG16_PLACES, FILTERS[:-1], FILTERS[1:], strict=True):
        tensors[f"features.{place}.weight"] = 0.02 * rng.normal(size=(outputs, inputs, 3, 3)).astype("float32")
        tensors[f"features.{place}.bias"] = 0.1 * rng.normal(size=outputs).astype("float32")
    return tensors


def check_resnet18(model, tensors):
    """The places of some of them; the peers' tests hold all against torchvision's outputs."""
    for layer, name in (("conv1_conv", "conv1"), ("conv3_block1_0_conv", "layer2.0.downsample.0"),
                        ("conv5_block2_2_conv", "layer4.1.conv2")):
        [kernel] = model.get_layer(layer).get_weights()
        np.testing.assert_array_equal(kernel, tensors[f"{name}.weight"].transpose(2, 3, 1, 0))
    parts = model.get_layer("conv3_block1_0_bn").get_weights()
    for part, name in zip(parts, ("weight", "bias", "running_mean", "running_var"), strict=True):
        np.testing.assert_array_equal(part, tensors[f"layer2.0.downsample.1.{name}"])


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_files_of_torchvision(tmp_path, resnet18, write):
    write_tensors(tmp_path / "resnet18.pth", resnet18, write)
    check_resnet18(ResNet18(weights=tmp_path / "resnet18.pth", include_top=False), resnet18)
    model = ResNet18(weights=str(tmp_path / "resnet18.pth"), input_shape=(32, 40, 3))
    np.testing.assert_allclose(model.get_layer("predictions").get_weights()[0], resnet18["fc.weight"].T, rtol=1e-6)
    assert model.class_names is None


def test_vgg16_from_torchvision(tmp_path):
    tensors = vgg16_features()
    write_tensors(tmp_path / "vgg16.pt", tensors)
    model = VGG16(weights=tmp_path / "vgg16.pt", include_top=False)
    for layer, place in (("block1_conv1", 0), ("block3_conv3", 14), ("block5_conv3", 28)):
        kernel, bias = model.get_layer(layer).get_weights()
        np.testing.assert_array_equal(kernel, tensors[f"features.{place}.weight"].transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(bias, tensors[f"features.{place}.bias"])


def test_the_first_dense_layer_sees_the_same_places():
    """Channels are first in what torchvision flattens, and last here."""
    from chainrule.applications import vgg

    rng = np.random.default_rng(0)
    tensors = vgg16_features() | {"classifier.0.weight": rng.normal(size=(3, 512 * 49)),
                                  "classifier.0.bias": np.zeros(3)}
    kernel = vgg.from_torchvision((2, 2, 3, 3, 3), tensors)["weights/fc1/kernel"]
    images = rng.normal(size=(2, 512, 7, 7))
    np.testing.assert_allclose(images.transpose(0, 2, 3, 1).reshape(2, -1) @ kernel,
                               images.reshape(2, -1) @ tensors["classifier.0.weight"].T)


def test_files_of_keras_take_the_same_images(tmp_path):
    """In the file: kernels for blue, green, red of 0 to 255 less Keras's mean. Given: what preprocess_input makes."""
    arrays = [np.ascontiguousarray(tensor.transpose(2, 3, 1, 0)) if tensor.ndim == 4 else tensor
              for tensor in vgg16_features().values()]
    arrays[0] /= 60
    with h5py.File(tmp_path / "vgg16.h5", "w") as file:
        names = [f"block{block}_conv{index}" for block, count in enumerate((2, 2, 3, 3, 3), 1)
                 for index in range(1, count + 1)]
        file.attrs["layer_names"] = [np.bytes_(name) for name in names]
        for layer, kernel, bias in zip(names, arrays[::2], arrays[1::2], strict=True):
            file.create_group(layer).attrs["weight_names"] = [b"W", b"b"]
            file[layer]["W"], file[layer]["b"] = kernel, bias
    model = VGG16(weights=tmp_path / "vgg16.h5", include_top=False)
    assert model.layers[1].name == "keras_mean"
    plain = VGG16(weights=None, include_top=False)
    plain.set_weights(arrays)
    model, plain = (Model(network.inputs[0], network.get_layer("block2_conv1").output) for network in (model, plain))
    photos = np.random.default_rng(2).integers(0, 256, (2, 33, 47, 3)).astype("float32")
    prepared_for_keras = photos[..., ::-1] - np.array([103.939, 116.779, 123.68], "float32")
    np.testing.assert_allclose(model.predict(imagenet.preprocess_input(photos)), plain.predict(prepared_for_keras),
                               rtol=1e-4, atol=1e-4)


def test_files_of_our_own(tmp_path, resnet18):
    model = ResNet18(weights=None, classes=5, seed=0, input_shape=(32, 40, 3))
    model.save_weights(tmp_path / "mine.safetensors")
    again = ResNet18(weights=tmp_path / "mine.safetensors", classes=5, input_shape=(32, 40, 3))
    for array, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other)
    body = ResNet18(weights=tmp_path / "mine.safetensors", include_top=False, pooling="avg")
    np.testing.assert_array_equal(body.get_weights()[-1], model.get_weights()[-3])
    save_file(resnet18, tmp_path / "theirs.safetensors")
    check_resnet18(ResNet18(weights=tmp_path / "theirs.safetensors", include_top=False), resnet18)


def test_published_weights_are_converted_once(tmp_path, monkeypatch, resnet18):
    folder = tmp_path / "data/torchvision"
    folder.mkdir(parents=True)
    write_tensors(folder / "resnet18-f37072fd.pth", resnet18)
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "data"))
    model = ResNet18()
    check_resnet18(model, resnet18)
    assert model.class_names[207] == "golden retriever"
    converted = tmp_path / "cache/weights/resnet18-f37072fd.safetensors"
    assert set(load_file(converted)) > {"weights/conv1_conv/kernel", "state/conv1_bn/moving_mean"}
    assert (folder / "resnet18-f37072fd.pth").exists()  # the user's own
    (folder / "resnet18-f37072fd.pth").unlink()
    check_resnet18(ResNet18(include_top=False), resnet18)
    assert ResNet18(include_top=False).class_names is None


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_published_weights_are_held_against_their_digest(tmp_path, monkeypatch, resnet18, algorithm):
    write_tensors(tmp_path / "resnet18.pth", resnet18)
    content = (tmp_path / "resnet18.pth").read_bytes()
    digest = hashlib.new(algorithm, content).hexdigest()
    answers = [content[:-1] + b"x", content]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.pop(0)
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        source = Source("The file of torchvision's weights", "torchvision",
                        (RemoteFile("resnet18.pth", len(content), digest, algorithm),),
                        (f"http://127.0.0.1:{server.server_port}/",), group="weights")
        monkeypatch.setattr(resnet, "_RESNET18", resnet._RESNET18._replace(
            sources=MappingProxyType({"imagenet": (source, source)})))
        try:
            with pytest.raises(MissingDataError) as error:
                ResNet18()
            check_resnet18(ResNet18(), resnet18)
        finally:
            server.shutdown()
            thread.join()
    folder = tmp_path / "cache/weights/torchvision"
    wrong = hashlib.new(algorithm, content[:-1] + b"x").hexdigest()
    assert str(error.value) == "\n".join([
        "The file of torchvision's weights is not on this machine and could not be downloaded.",
        "Files wanted: resnet18.pth.",
        f"Folders looked into: {folder}.",
        "What was tried:",
        f"  http://127.0.0.1:{server.server_port}/resnet18.pth: expected the {algorithm} digest {digest}, found "
        f"{wrong}; nothing was kept",
        f"Put the files into {folder}, or set CHAINRULE_DATA to a folder whose subfolder torchvision holds them."])
    assert not answers and os.listdir(folder) == []  # what was downloaded is kept once, converted
    assert os.listdir(folder.parent) != ["torchvision"]


@pytest.mark.parametrize("published", [resnet._RESNET18, resnet._RESNET50])
def test_digests_begin_as_the_names_say(published):
    for source, _ in published.sources.values():
        [file] = source.files
        assert file.digest.startswith(file.name.rpartition("-")[2].removesuffix(".pth")) and len(file.digest) == 64


def text_of(error_type, network=ResNet18, **settings) -> str:
    with pytest.raises(error_type) as error:
        network(**settings)
    return str(error.value)


def test_weights_that_are_none():
    assert text_of(SettingError, weights="imagnet") == (
        "ResNet18: `weights` is None, 'imagenet', or the path of a file; got 'imagnet'. Did you mean 'imagenet'?")
    assert text_of(SettingError, VGG16, weights="keras") == (
        "VGG16: `weights` is None, 'imagenet', 'imagenet_keras', or the path of a file; got 'keras'. Known names: "
        "'imagenet', 'imagenet_keras'.")
    assert text_of(SettingError, weights=True) == (
        "ResNet18: `weights` is None, 'imagenet', or the path of a file; got True.")
    assert text_of(SettingError, weights="weights.npz") == (
        "ResNet18: weights are read from files of PyTorch (.pth), Keras (.h5) and chainrule (.safetensors); got "
        "'weights.npz'.")
    assert text_of(MissingDataError, weights="nowhere/weights.pth") == (
        "There is no file nowhere/weights.pth. Give the path of a file of weights, or weights='imagenet' to have the "
        "published ones downloaded.")
    assert text_of(SettingError, ResNet50, weights="resnet50.h5") == (
        "ResNet50: Keras's network of this name has its strides in other places, so its weights do not fit. Use "
        "weights='imagenet', or a file of torchvision (.pth).")


def test_files_of_other_networks(tmp_path, resnet18):
    path = tmp_path / "weights.pth"
    write_tensors(path, {"features.0.weight": np.ones((2, 2))})
    assert text_of(FileFormatError, weights=path) == (
        f"{path} does not hold weights of ResNet18: there is no 'conv1.weight'.")
    write_tensors(path, resnet18 | {"conv1.weight": np.ones(3)})
    assert text_of(FileFormatError, weights=path) == (
        f"{path} does not hold weights of ResNet18: its arrays have other shapes (axes don't match array).")
    write_tensors(path, resnet18 | {"bn1.bias": np.ones(3)})
    assert text_of(FileFormatError, weights=path) == (
        f"{path} does not hold weights of this ResNet18: conv1_bn/beta has the shape (3,) there and (64,) here.")
    write_tensors(path, resnet18)
    assert text_of(FileFormatError, weights=path, classes=5) == (
        f"{path} does not hold weights of this ResNet18: predictions/kernel has the shape (512, 1000) there and (512, "
        "5) here.")
    write_tensors(path, {name: tensor for name, tensor in resnet18.items() if not name.startswith("fc.")})
    assert text_of(FileFormatError, weights=path) == (
        f"{path} does not hold weights of this ResNet18: there is no predictions/kernel.")


def test_safetensors_of_other_networks(tmp_path):
    path = tmp_path / "mine.safetensors"
    model = ResNet18(weights=None, include_top=False)
    model.save_weights(path)
    save_file(load_file(path) | {"weights/extra/kernel": np.ones(3)}, path)
    assert text_of(FileFormatError, weights=path, include_top=False) == (
        f"{path} does not hold weights of this ResNet18: it has 'weights/extra/kernel', which belongs to nothing here.")
    path.write_bytes(b"")
    assert text_of(FileFormatError, weights=path) == f"{path} cannot be read as safetensors: it is empty."
    path.write_bytes(b"damaged!" * 3)
    assert text_of(FileFormatError, weights=path) == (
        f"{path} cannot be read as safetensors: the file is cut off: its header does not fit into 24 bytes.")
