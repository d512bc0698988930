import jax
import keras
import numpy as np
import pytest
import torch

from chainrule import constraints, regularizers

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("name, settings", [
    ("L1", {"l1": 0.2}), ("L2", {"l2": 0.2}), ("L1L2", {"l1": 0.2, "l2": 0.1}),
    ("OrthogonalRegularizer", {"factor": 0.3}), ("OrthogonalRegularizer", {"factor": 0.3, "mode": "columns"}),
])
def test_as_keras(name, settings):
    w = np.random.default_rng(0).normal(size=(4, 7)).astype("float32")
    tensor = torch.tensor(w, requires_grad=True)
    expected = getattr(keras.regularizers, name)(**settings)(tensor)
    expected.backward()
    value, gradient = jax.value_and_grad(getattr(regularizers, name)(**settings))(w)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name, settings", [
    ("MaxNorm", {}), ("MaxNorm", {"max_value": 1.5, "axis": 1}), ("UnitNorm", {}), ("UnitNorm", {"axis": [0, 1]}),
    ("NonNeg", {}), ("MinMaxNorm", {}), ("MinMaxNorm", {"min_value": 2.0, "max_value": 3.0, "rate": 0.4, "axis": 1}),
])
def test_constraints_as_keras(name, settings):
    w = np.random.default_rng(0).normal(size=(4, 7)).astype("float32")
    expected = getattr(keras.constraints, name)(**settings)(torch.tensor(w)).numpy()
    np.testing.assert_allclose(getattr(constraints, name)(**settings)(w), expected, rtol=1e-5)
