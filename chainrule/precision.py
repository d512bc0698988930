"""Precision as an argument: the one place that touches JAX's 64-bit switch, for the time of a `with` block only."""
import contextlib

import jax

from chainrule.errors import SettingError

POLICIES = ("float32", "float64")


def precision(dtype: str) -> contextlib.AbstractContextManager:
    """Run a block in the precision of a network; what was set before is set again after it.

    Example:
        >>> import jax.numpy as jnp
        >>> with precision("float64"):
        ...     print(jnp.zeros(()).dtype)
        float64
        >>> print(jnp.zeros(()).dtype)
        float32
    """
    return jax.enable_x64(dtype == "float64")


def check_policy(dtype: str | None) -> str:
    """The precision of a network: `float32` where none is given."""
    if dtype is None:
        return "float32"
    if str(dtype) not in POLICIES:
        raise SettingError(f"The precision of a network is 'float32' or 'float64'; got {dtype!r}.")
    return str(dtype)
