"""The published networks: their layers, sizes and settings."""
import jax
import numpy as np
import pytest

from chainrule import Sequential, applications
from chainrule.applications import VGG16, VGG19, ResNet18, ResNet50
from chainrule.errors import SettingError, ShapeError
from chainrule.layers import Dense
from chainrule.layers.binding import frozen_paths, walk
from chainrule.models import load_model
from chainrule.optimizers import SGD, MultiOptimizer

NETWORKS = [VGG16, VGG19, ResNet18, ResNet50]
IMAGES = np.random.default_rng(0).normal(size=(2, 32, 33, 3)).astype("float32")


def small(network, **settings):
    """A network that is evaluated quickly."""
    return network(weights=None, include_top=False, **settings)


@pytest.mark.parametrize(("network", "count"), [
    (VGG16, 138_357_544), (VGG19, 143_667_240),
    (ResNet18, 11_689_512 + 2 * 4_800), (ResNet50, 25_557_032 + 2 * 26_560)])  # torchvision's, and running statistics
def test_count_params(network, count):
    model = network(weights=None)
    assert model.count_params() == count
    assert model.inputs[0].shape == (None, 224, 224, 3) and model.output.shape == (None, 1000)
    assert model.name == network.__name__.lower()


def test_layers_of_vgg16():
    names = [layer.name for layer in VGG16(weights=None).layers][1:]
    assert names == ["block1_conv1", "block1_conv2", "block1_pool", "block2_conv1", "block2_conv2", "block2_pool",
                     "block3_conv1", "block3_conv2", "block3_conv3", "block3_pool", "block4_conv1", "block4_conv2",
                     "block4_conv3", "block4_pool", "block5_conv1", "block5_conv2", "block5_conv3", "block5_pool",
                     "flatten", "fc1", "fc2", "predictions"]


def test_layers_of_resnet50():
    names = [layer.name for layer in ResNet50(weights=None).layers]
    assert {"conv1_pad", "conv1_conv", "conv1_bn", "conv1_relu", "pool1_pad", "pool1_pool", "conv2_block1_0_conv",
            "conv2_block1_0_bn", "conv3_block4_3_bn", "conv3_block4_add", "conv5_block3_out", "avg_pool",
            "predictions"} < set(names)
    assert not {"conv2_block1_4_conv", "conv3_block5_1_conv", "conv2_block2_0_conv"} & set(names)


@pytest.mark.parametrize(("network", "channels"), list(zip(NETWORKS, (512, 512, 512, 2048), strict=True)))
def test_output_shapes(network, channels):
    assert small(network).output.shape == (None, None, None, channels)
    assert small(network, input_shape=(64, 96, 3)).output.shape == (None, 2, 3, channels)
    for pooling in ("avg", "max"):
        assert small(network, pooling=pooling).output.shape == (None, channels)
    top = network(weights=None, classes=7, input_shape=(64, 96, 5), classifier_activation=None)
    assert top.output.shape == (None, 7)


@pytest.mark.parametrize("network", [VGG16, ResNet18])
def test_images_of_open_size(network):
    model = small(network)
    weights, state = jax.eval_shape(model.init, jax.random.key(0))  # nothing is computed
    for size, places in (((32, 32), (1, 1)), ((97, 224), (4 if network is ResNet18 else 3, 7))):
        images = jax.ShapeDtypeStruct((2, *size, 3), "float32")
        outputs, _ = jax.eval_shape(model.apply, weights, state, images)
        assert outputs.shape == (2, *places, 512)


def test_the_seed_decides_the_weights():
    kernels = {}
    for seed in (0, 0, 1):
        model = small(VGG16, seed=seed)
        kernels.setdefault(seed, []).append([model.get_layer(name).get_weights()[0]
                                             for name in ("block5_conv2", "block5_conv3")])
    np.testing.assert_array_equal(kernels[0][0], kernels[0][1])
    assert not np.array_equal(kernels[0][0], kernels[1][0])
    assert not np.array_equal(*kernels[0][0])  # layers of one shape start differently
    limit = np.sqrt(6 / (9 * 512 * 2))
    assert 0.99 * limit < np.abs(kernels[0][0][0]).max() <= limit


def test_saved_and_loaded(tmp_path):
    model = small(ResNet18, pooling="max", seed=0)
    model.save(tmp_path / "model.chain")
    loaded = load_model(tmp_path / "model.chain")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    for array, again in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(array, again)


def test_fine_tuning():
    """Freezing all, then unfreezing by name, with two rates: as in the docstring of VGG16."""
    body = small(VGG16, pooling="avg", seed=0)
    body.trainable = False
    model = Sequential([body, Dense(2, activation="softmax")])
    trained = {path for path, layer in walk(model) if layer.own_weights() and path not in frozen_paths(model)}
    assert trained == {"dense"}
    body.trainable = True
    for layer in body.layers:
        layer.trainable = layer.name.startswith("block5")
    model.compile(optimizer=MultiOptimizer({"^vgg16/": SGD(1.0)}, default=SGD(0.1)),
                  loss="sparse_categorical_crossentropy")
    before = dict(flat(jax.tree.map(np.array, model.variables()[0])))
    model.fit(IMAGES, np.array([0, 1]), epochs=1, verbose=0)
    moved = {path for path, value in flat(model.variables()[0]) if np.abs(value - before[path]).max() > 0}
    assert moved == {"dense/kernel", "dense/bias"} | {
        f"vgg16/block5_conv{index}/{part}" for index in (1, 2, 3) for part in ("kernel", "bias")}


def flat(tree, prefix=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def text_of(error_type, network, **settings) -> str:
    with pytest.raises(error_type) as error:
        network(**settings)
    return str(error.value)


@pytest.mark.parametrize("network", NETWORKS)
def test_wrong_input_shapes(network):
    name = network.__name__
    for shape in ((224, 224), (224, 224, None), (224, "a", 3), (0, 32, 3), 224, "224"):
        assert text_of(ShapeError, network, weights=None, input_shape=shape) == (
            f"{name}: `input_shape` is (height, width, channels), such as (224, 224, 3); got {shape!r}.")
    assert text_of(ShapeError, network, weights=None, input_shape=(31, 64, 3)) == (
        f"{name} halves its images five times, so they must have at least 32 x 32 pixels; got input_shape=(31, 64, 3).")
    assert text_of(ShapeError, network, include_top=False, input_shape=(64, 64, 1)) == (
        f"{name}: the weights are for images of 3 channels; got input_shape=(64, 64, 1). Use weights=None to train "
        "from scratch.")


@pytest.mark.parametrize(("weights", "shape"), [("imagenet", (64, 64, 3)), (None, (None, 64, 3))])
def test_dense_layers_need_a_size(weights, shape):
    assert text_of(ShapeError, VGG16, weights=weights, input_shape=shape) == (
        "VGG16: its dense layers are made for images of one size, 224 x 224 where weights are loaded; got "
        f"input_shape={shape!r}. Use include_top=False for other sizes.")


def test_wrong_settings():
    assert text_of(SettingError, VGG19, weights=None, pooling="mean") == (
        "VGG19: `pooling` is None, 'avg' or 'max'; got 'mean'.")
    assert text_of(SettingError, VGG16, classes=10) == (
        "VGG16: the weights 'imagenet' are those of ImageNet's 1000 classes; got classes=10. Use include_top=False and "
        "put a Dense(10) on top.")
    assert text_of(SettingError, ResNet18, classifier_activation="sigmoid") == (
        "ResNet18: the weights 'imagenet' were trained with classifier_activation='softmax' (or None for what goes "
        "into it); got 'sigmoid'.")


def test_what_is_public():
    assert applications.VGG16 is applications.vgg16.VGG16 and applications.ResNet50 is applications.resnet.ResNet50
