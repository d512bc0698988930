"""Explanations of a convolutional network beside PyTorch's hooks and automatic differentiation, on the same weights."""
import numpy as np
import pytest
import torch

from chainrule.inspect import activations, grad_cam, integrated_gradients, maximise, occlusion, saliency
from chainrule.layers import BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D, ReLU
from chainrule.models import Input, Sequential

pytestmark = pytest.mark.peers

X = np.random.default_rng(0).normal(size=(6, 13, 11, 3)).astype("float32")
TARGET = np.array([0, 1, 2, 3, 4, 0])


@pytest.fixture(scope="module")
def pair():
    """The same network twice, with random weights and running statistics."""
    ours = Sequential([
        Input((13, 11, 3)), Conv2D(6, 3, activation="relu", name="first"), MaxPooling2D(2),
        Conv2D(8, (3, 2), padding="valid", use_bias=False, name="second"), BatchNormalization(), ReLU(name="maps"),
        Flatten(), Dense(5, activation="softmax")])
    draw = np.random.default_rng(1)
    weights = [draw.normal(size=array.shape).astype("float32") * 0.4 for array in ours.get_weights()]
    weights[6] = np.abs(weights[6]) + 0.5  # variances
    ours.set_weights(weights)
    kernel1, bias1, kernel2, gamma, beta, mean, variance, dense, bias = map(torch.tensor, weights)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(6, 8, (3, 2), bias=False),
        torch.nn.BatchNorm2d(8, eps=1e-3), torch.nn.ReLU(), ChannelsLast(), torch.nn.Flatten(), torch.nn.Linear(72, 5))
    names = dict(theirs.named_parameters()) | dict(theirs.named_buffers())
    values = {"0.weight": kernel1.permute(3, 2, 0, 1), "0.bias": bias1, "3.weight": kernel2.permute(3, 2, 0, 1),
              "4.weight": gamma, "4.bias": beta, "4.running_mean": mean, "4.running_var": variance,
              "8.weight": dense.T, "8.bias": bias}
    with torch.no_grad():
        for name, value in values.items():
            names[name].copy_(value)
    return ours, theirs.eval()


class ChannelsLast(torch.nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def channels_first(x):
    return torch.tensor(np.moveaxis(np.asarray(x, "float32"), -1, 1))


def channels_last(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def test_activations(pair):
    ours, theirs = pair
    found = activations(ours, X)
    y = channels_first(X)
    for index, name in ((1, "first"), (3, "second"), (5, "maps")):
        np.testing.assert_allclose(found[name], channels_last(theirs[: index + 1](y)), rtol=1e-4, atol=1e-5)
    before = activations(ours, X, of="preactivations", layers="first")["first"]
    np.testing.assert_allclose(before, channels_last(theirs[:1](y)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layer", "index"), [(None, 5), ("second", 3), ("first", 1)])
@pytest.mark.parametrize("target", [None, 2, TARGET])
def test_grad_cam(pair, layer, index, target):
    ours, theirs = pair
    kept = {}
    hook = theirs[index].register_forward_hook(lambda module, inputs, output: kept.update(maps=output))
    logits = theirs(channels_first(X))
    hook.remove()
    classes = logits.argmax(1) if target is None else torch.tensor(np.broadcast_to(target, 6).copy())
    score = logits.gather(1, classes[:, None]).sum()
    gradient, = torch.autograd.grad(score, kept["maps"])
    heat = torch.relu((gradient.mean((2, 3), keepdim=True) * kept["maps"]).sum(1, keepdim=True))
    heat = torch.nn.functional.interpolate(heat, (13, 11), mode="bilinear", align_corners=False)[:, 0]
    largest = heat.amax((1, 2), keepdim=True)
    expected = (heat / torch.where(largest > 0, largest, torch.ones(()))).detach().numpy()
    assert (expected.max((1, 2)) > 0).sum() > 2  # not all of them empty
    np.testing.assert_allclose(grad_cam(ours, X, target, layer), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("target", [None, 2, TARGET])
def test_saliency(pair, target):
    ours, theirs = pair
    np.testing.assert_allclose(saliency(ours, X, target), torch_saliency(theirs, X, target), rtol=1e-3, atol=1e-4)


def torch_saliency(network, x, target):
    y = channels_first(x).requires_grad_()
    logits = network(y)
    classes = logits.argmax(1) if target is None else torch.tensor(np.broadcast_to(target, len(x)).copy())
    return channels_last(torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), y)[0])


def test_integrated_gradients(pair):
    ours, theirs = pair
    start, steps = X[::-1] * 0.5, 7
    total = sum(torch_saliency(theirs, start + (k + 0.5) / steps * (X - start), TARGET) for k in range(steps))
    shares = integrated_gradients(ours, X, TARGET, baseline=start, steps=steps)
    np.testing.assert_allclose(shares, (X - start) * total / steps, rtol=1e-3, atol=1e-3)
    fine = integrated_gradients(ours, X, TARGET, baseline=start, steps=400)
    with torch.no_grad():
        gained = theirs(channels_first(X)) - theirs(channels_first(start))
    np.testing.assert_allclose(fine.sum((1, 2, 3)), gained.numpy()[np.arange(6), TARGET], atol=0.05)


def test_occlusion(pair):
    ours, theirs = pair
    fall, count = np.zeros((6, 13, 11)), np.zeros((13, 11))
    with torch.no_grad():
        whole = theirs(channels_first(X)).numpy()
        for top in (0, 3, 6, 8):
            for left in (0, 3, 6, 7):
                covered = X.copy()
                covered[:, top : top + 5, left : left + 4] = 0.25
                change = (whole - theirs(channels_first(covered)).numpy())[np.arange(6), TARGET]
                fall[:, top : top + 5, left : left + 4] += change[:, None, None]
                count[top : top + 5, left : left + 4] += 1
    found = occlusion(ours, X, TARGET, window=(5, 4), stride=3, value=0.25)
    np.testing.assert_allclose(found, fall / count, rtol=1e-3, atol=1e-3)


def test_one_step_of_maximise(pair):
    ours, theirs = pair
    start = np.random.default_rng(2).random((13, 11, 3)).astype("float32")
    y = channels_first(start[None]).requires_grad_()
    activation = theirs[:4](y)[0, 3].mean()
    gradient = channels_last(torch.autograd.grad(activation, y)[0])[0]
    found = maximise(ours, "second", 3, steps=1, start=start, learning_rate=0.01, total_variation=0, blur=0, jitter=0)
    expected = np.clip(start + 0.01 * gradient / np.sqrt((gradient**2).mean()), 0, 1)
    np.testing.assert_allclose(found.image, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.activation[0], activation.item(), rtol=1e-4)
