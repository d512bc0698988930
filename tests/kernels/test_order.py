"""The kernel that finds the order of numbers beside its twin."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chainrule import kernels
from chainrule.kernels.order import order

pytestmark = pytest.mark.skipif(not kernels.report().available, reason=kernels.report().reason)


@pytest.mark.parametrize("count", [0, 1, 2, 100, 1024, 3000])
@pytest.mark.parametrize("most", [3, 1 << 32])  # few values: most of the numbers are equal
def test_order(count, most):
    numbers = np.random.default_rng(count).integers(0, most, count).astype(np.uint32)
    found = np.asarray(jax.jit(lambda numbers: order(numbers)[0])(numbers))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.argsort(numbers, kind="stable"))
    np.testing.assert_array_equal(found, order.twin(jnp.asarray(numbers))[0])


def test_members_of_a_population():
    numbers = np.random.default_rng(0).integers(0, 1 << 32, (9, 77)).astype(np.uint32)
    found = np.asarray(jax.jit(jax.vmap(lambda numbers: order(numbers)[0]))(numbers))
    np.testing.assert_array_equal(found, np.argsort(numbers, axis=1, kind="stable"))
