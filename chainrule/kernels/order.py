"""The places of whole numbers in rising order: an epoch's order is that of random numbers."""
import jax.numpy as jnp
from jax import lax

from chainrule.kernels.registry import Kernel


def _order(numbers):
    """Equal numbers stay as they come."""
    return [lax.sort((numbers, lax.iota(jnp.int32, len(numbers))), num_keys=1)[1]]


order = Kernel("chainrule_order", _order)
