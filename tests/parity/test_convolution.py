"""Convolutional layers beside Keras and PyTorch: outputs and gradients by weights and inputs, with random weights."""
import jax
import keras
import pytest
import torch
from keras.src.initializers.random_initializers import compute_fans

from chainrule import layers, ops
from chainrule.initializers import fans
from tests.parity.test_layers import assert_close, numbers, pulled, randomised

# NumPy 2 asks torch tensors for a copy in a way that they do not know yet, wherever Keras hands one to it.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

CASES = [
    ("Conv1D", {"filters": 4, "kernel_size": 3}, (9, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 4, "strides": 3, "padding": "same", "activation": "tanh"}, (11, 3)),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "padding": "causal", "dilation_rate": 3}, (8, 3)),
    ("Conv1D", {"filters": 6, "kernel_size": 3, "padding": "causal", "strides": 2, "groups": 3}, (8, 3)),
    ("Conv1D", {"filters": 2, "kernel_size": 2, "strides": 5}, (13, 1)),
    ("Conv2D", {"filters": 4, "kernel_size": 3}, (7, 6, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 1, "use_bias": False}, (5, 6, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": (3, 2), "padding": "same", "activation": "softplus"}, (7, 6, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}, (7, 6, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 2, "strides": (3, 4), "padding": "same"}, (8, 7, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 2, "strides": (3, 4)}, (9, 11, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": (2, 3), "dilation_rate": (3, 2)}, (9, 8, 3)),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "same"}, (7, 6, 3)),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 2, "strides": 2}, (7, 8, 4)),
    ("Conv2D", {"filters": 8, "kernel_size": 3, "groups": 4, "padding": "same"}, (5, 4, 4)),
    ("Conv3D", {"filters": 3, "kernel_size": (1, 2, 3), "padding": "same", "strides": (1, 2, 2)}, (3, 5, 4, 2)),
    ("Conv3D", {"filters": 4, "kernel_size": 2, "dilation_rate": (1, 2, 1), "groups": 2}, (3, 5, 4, 2)),
    ("Conv1DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2}, (5, 3)),
    ("Conv1DTranspose", {"filters": 4, "kernel_size": 2, "strides": 4}, (5, 3)),
    ("Conv1DTranspose", {"filters": 4, "kernel_size": 3, "strides": 3, "padding": "same"}, (5, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "activation": "tanh"}, (5, 4, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}, (5, 4, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": (4, 2), "strides": (2, 3), "padding": "same"}, (5, 4, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2, "output_padding": 1}, (5, 4, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": (3, 2), "padding": "same",
                         "output_padding": (2, 0)}, (5, 4, 3)),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": (3, 2), "dilation_rate": (2, 3)}, (5, 4, 3)),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": (1, 2, 3), "padding": "same"}, (2, 3, 2, 3)),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2, "strides": 2, "padding": "same"}, (9, 3)),
    ("DepthwiseConv2D", {"kernel_size": (3, 2), "activation": "tanh"}, (7, 6, 3)),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 3, "strides": 2, "padding": "same"}, (7, 6, 2)),
    ("DepthwiseConv2D", {"kernel_size": 2, "dilation_rate": (3, 2), "padding": "same"}, (7, 6, 2)),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}, (5, 5, 1)),
    ("SeparableConv1D", {"filters": 4, "kernel_size": 3, "depth_multiplier": 2, "dilation_rate": 2}, (9, 3)),
    ("SeparableConv2D", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "tanh"},
     (7, 6, 3)),
    ("SeparableConv2D", {"filters": 4, "kernel_size": (2, 3), "depth_multiplier": 2, "use_bias": False}, (7, 6, 3)),
]


@pytest.mark.parametrize(("name", "settings", "shape"), CASES, ids=str)
def test_outputs_and_gradients_are_those_of_keras(name, settings, shape):
    model, values = randomised(getattr(layers, name)(**settings), shape)
    theirs = getattr(keras.layers, name)(**settings)
    theirs.build((None, *shape))
    assert [weight.shape for weight in theirs.weights] == [value.shape for value in values]
    theirs.set_weights(values)
    x = numbers(4, *shape)
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor)
    y, _, by_weights, by_input = pulled(model, x, training=False)
    assert_close(y, expected)
    expected.backward(torch.tensor(numbers(*y.shape, seed=2)))
    assert_close(by_input, tensor.grad, 1e-4)
    ours = {weight.name: by_weights[weight.name] for weight in theirs.trainable_variables}
    for variable in theirs.trainable_variables:
        assert_close(ours[variable.name], variable.value.grad, 2e-4)


@pytest.mark.parametrize("places, window, strides, padding, dilation, groups", [
    ((9,), (3,), (2,), (1,), (1,), 1),
    ((13,), (2,), (5,), (0,), (3,), 2),
    ((7, 8), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((9, 11), (3, 2), (2, 4), (2, 0), (2, 1), 1),
    ((9, 7), (2, 3), (5, 1), (1, 1), (1, 3), 2),
    ((6, 7), (3, 3), (2, 2), (1, 1), (1, 1), 4),
    ((224, 33), (7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((4, 5, 6), (3, 2, 2), (1, 2, 2), (1, 0, 1), (1, 2, 1), 2),
])
def test_convolve_is_that_of_torch(places, window, strides, padding, dilation, groups):
    axes = len(places)
    function = getattr(torch.nn.functional, f"conv{axes}d")
    x, kernel = numbers(2, *places, 4), numbers(*window, 4 // groups, 8, seed=1)
    tensors = [torch.tensor(x, requires_grad=True), torch.tensor(kernel, requires_grad=True)]
    expected = function(tensors[0].movedim(-1, 1), tensors[1].movedim((-1, -2), (0, 1)), stride=strides,
                        padding=padding, dilation=dilation, groups=groups).movedim(1, -1)
    check_against_torch(lambda x, kernel: ops.convolve(x, kernel, strides, [(p, p) for p in padding], dilation, groups),
                        (x, kernel), expected, tensors)


@pytest.mark.parametrize("places, window, strides, more, dilation", [
    ((5,), (3,), (2,), (1,), (1,)),
    ((5,), (2,), (4,), (3,), (1,)),
    ((4, 5), (3, 3), (1, 1), (0, 0), (1, 1)),
    ((4, 5), (3, 2), (2, 3), (1, 2), (2, 1)),
    ((3, 2, 4), (2, 2, 3), (1, 2, 2), (0, 1, 0), (1, 1, 2)),
])
def test_convolve_transposed_is_that_of_torch(places, window, strides, more, dilation):
    axes = len(places)
    function = getattr(torch.nn.functional, f"conv_transpose{axes}d")
    x, kernel = numbers(2, *places, 3), numbers(*window, 4, 3, seed=1)
    tensors = [torch.tensor(x, requires_grad=True), torch.tensor(kernel, requires_grad=True)]
    expected = function(tensors[0].movedim(-1, 1), tensors[1].movedim((-1, -2), (0, 1)), stride=strides,
                        output_padding=more, dilation=dilation).movedim(1, -1)
    check_against_torch(lambda x, kernel: ops.convolve_transposed(x, kernel, strides, "valid", more, dilation),
                        (x, kernel), expected, tensors)


def check_against_torch(function, arguments, expected, tensors):
    """Output and both gradients of a random projection."""
    y, pull = jax.vjp(function, *arguments)
    assert_close(y, expected, 2e-4)
    direction = numbers(*y.shape, seed=2)
    expected.backward(torch.tensor(direction))
    for ours, tensor in zip(pull(direction), tensors, strict=True):
        assert_close(ours, tensor.grad, 1e-3)


@pytest.mark.parametrize("shape", [(3, 5, 7), (3, 2, 5, 7), (2, 3, 2, 5, 7), (3, 3, 5, 1), (1, 1, 5, 7)])
def test_fans_are_those_of_keras(shape):
    assert fans(shape) == compute_fans(shape)
