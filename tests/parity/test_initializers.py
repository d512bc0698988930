import keras
import numpy as np
import pytest

from chainrule import initializers

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("name", [
    "random_uniform", "random_normal", "truncated_normal", "glorot_uniform", "glorot_normal", "he_uniform",
    "he_normal", "lecun_uniform", "lecun_normal",
])
@pytest.mark.parametrize("shape", [(80, 200), (3, 3, 40, 60), (9000,)])
def test_distributed_as_in_keras(name, shape):
    ours = np.asarray(initializers.get(name)(shape)).ravel()
    keras.utils.set_random_seed(1)
    theirs = keras.initializers.get(name)(shape).numpy().ravel()
    scale = theirs.std()
    np.testing.assert_allclose(np.quantile(ours, np.linspace(0.02, 0.98, 25)) / scale,
                               np.quantile(theirs, np.linspace(0.02, 0.98, 25)) / scale, atol=0.12)


@pytest.mark.parametrize("name", ["zeros", "ones", "identity"])
def test_the_same_values_as_keras(name):
    np.testing.assert_array_equal(initializers.get(name)((4, 3)), keras.initializers.get(name)((4, 3)).numpy())
