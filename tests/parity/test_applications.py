"""Published networks and files beside torchvision's, PyTorch's and Keras's own: random weights, saved by them."""
import warnings

import keras
import numpy as np
import pytest
import torch

from chainrule import applications
from chainrule.saving import read_keras, read_pytorch

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def torchvision():
    """torchvision, also where its compiled operations were built for another PyTorch: no network here needs them."""
    with warnings.catch_warnings(action="ignore"):
        try:
            import torchvision.models
        except RuntimeError:
            library = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            import torchvision.models
    return torchvision.models


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """The network with random weights, biases and running statistics, ready for evaluation."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                torch.nn.init.uniform_(tensor, 0.5, 1.0)
        elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    return network.eval()


def evaluated(network, images) -> np.ndarray:
    """A torch network on images with the channels last."""
    with torch.no_grad():
        outputs = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    return outputs.transpose(0, 2, 3, 1) if outputs.ndim == 4 else outputs


def check(ours, theirs) -> None:
    """Equal to 1e-4 of the largest output."""
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize(("name", "size", "layout"), [("resnet18", 224, "legacy"), ("resnet50", 97, "zip")])
def test_resnets(tmp_path, torchvision, name, size, layout):
    network = randomised(getattr(torchvision, name)())
    torch.save(network.state_dict(), tmp_path / "weights.pth", _use_new_zipfile_serialization=layout == "zip")
    images = RNG.normal(size=(2, size, size + 30, 3)).astype("float32")
    build = getattr(applications, name.replace("resnet", "ResNet"))
    ours = build(weights=tmp_path / "weights.pth", input_shape=images.shape[1:], classifier_activation=None)
    check(ours.predict(images), evaluated(network, images))
    features = build(weights=tmp_path / "weights.pth", include_top=False)
    check(features.predict(images), evaluated(torch.nn.Sequential(*list(network.children())[:-2]), images))


@pytest.mark.parametrize(("name", "layout"), [("vgg16", "legacy"), ("vgg19", "zip")])
def test_vggs(tmp_path, torchvision, name, layout):
    """The features of both, and all of VGG-16: its first dense layer alone has 100 million weights."""
    network = randomised(getattr(torchvision, name)(init_weights=False))
    whole = name == "vgg16"
    state = network.state_dict() if whole else network.features.state_dict(prefix="features.")
    torch.save(state, tmp_path / "weights.pth", _use_new_zipfile_serialization=layout == "zip")
    build = getattr(applications, name.upper())
    images = RNG.normal(size=(1, 224, 224, 3)).astype("float32")
    if whole:
        model = build(weights=tmp_path / "weights.pth")
        check(model.predict(images), torch.softmax(torch.from_numpy(evaluated(network, images)), 1).numpy())
    features = build(weights=tmp_path / "weights.pth", include_top=False)
    images = images[:, :65, :130]
    check(features.predict(images), evaluated(network.features, images))


def test_class_names(torchvision):
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    assert [name for _, name in applications.imagenet.classes()] == _IMAGENET_CATEGORIES


def test_preparing_images(torchvision):
    from torchvision.transforms.functional import normalize

    photos = RNG.integers(0, 256, (2, 9, 7, 3)).astype("float32")
    prepared = normalize(torch.from_numpy(photos.transpose(0, 3, 1, 2) / 255), [0.485, 0.456, 0.406],
                         [0.229, 0.224, 0.225]).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(applications.imagenet.preprocess_input(photos), prepared, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("extension", [".h5", ".weights.h5"])
def test_keras_weights(tmp_path, extension):
    """Keras's VGG-16 on images in Keras's convention, ours with its weights on the same photos in our own."""
    keras.utils.set_random_seed(0)
    theirs = keras.applications.VGG16(weights=None, include_top=False)
    theirs.layers[1].kernel.assign(theirs.layers[1].kernel / 60)
    path = str(tmp_path / f"vgg16{extension}")
    with warnings.catch_warnings(action="ignore"):
        theirs.save(path) if extension == ".h5" else theirs.save_weights(path)
    photos = RNG.integers(0, 256, (2, 64, 71, 3)).astype("float32")
    expected = theirs.predict(keras.applications.vgg16.preprocess_input(photos.copy()), verbose=0)
    ours = applications.VGG16(weights=path, include_top=False)
    check(ours.predict(applications.vgg16.preprocess_input(photos)), expected)


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_everything_that_torch_keeps_in_a_dict(tmp_path, layout):
    """Types, shapes, parameters, and views of one storage."""
    whole = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {"whole": whole, "transposed": whole.permute(2, 0, 1), "slice": whole[1, 1:, ::2],
               "parameter": torch.nn.Parameter(torch.randn(3)), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3)}
    tensors |= {str(dtype): torch.randint(0, 2, (2, 5)).to(dtype) for dtype in (
        torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
        torch.bool)}
    torch.save(tensors, tmp_path / "x.pth", _use_new_zipfile_serialization=layout == "zip")
    found = read_pytorch(tmp_path / "x.pth")
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert found[name].shape == tensor.shape and str(found[name].dtype) == str(tensor.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(found[name].astype("float64"), tensor.detach().double().numpy())


def test_state_dicts_with_metadata_and_optimisers(tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    torch.save(network.state_dict(), tmp_path / "x.pth")
    assert list(read_pytorch(tmp_path / "x.pth")) == list(network.state_dict())
    for refused in (network, {"model": network.state_dict(), "optimizer": torch.optim.Adam(
            network.parameters()).state_dict()}, torch.ones(2), torch.ones(2).to_sparse(), [torch.ones(2)]):
        torch.save(refused, tmp_path / "x.pth")
        with pytest.raises(ValueError, match="cannot be read as weights of PyTorch"):
            read_pytorch(tmp_path / "x.pth")


@pytest.mark.parametrize("extension", [".h5", ".weights.h5"])
def test_layers_of_keras_keep_their_order(tmp_path, extension):
    inputs = keras.Input((4, 3))
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.LSTM(2, name="lstm")(inputs))
    network = keras.Model(inputs, keras.layers.Dense(2, name="dense")(x))
    network.set_weights([RNG.normal(size=array.shape) for array in network.get_weights()])
    path = str(tmp_path / f"x{extension}")
    with warnings.catch_warnings(action="ignore"):
        network.save(path) if extension == ".h5" else network.save_weights(path)
    found = read_keras(path)
    for layer in network.layers[1:]:
        if extension == ".weights.h5" and layer.name == "lstm":
            continue  # Keras 3 keeps it under the cell inside
        for ours, theirs in zip(found[layer.name], layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
