"""Precision as an argument: the one place that touches JAX's 64-bit switch, for the time of a `with` block only.

Under `"mixed_bfloat16"` two types of numbers are at work: layers compute in bfloat16, which has the range of float32
and 8 of its 24 binary digits; weights, state, optimiser, losses, metrics and what leaves the network are float32.
"""
import contextlib

import jax

from chainrule.errors import SettingError

POLICIES = ("float32", "float64", "mixed_bfloat16")


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


def compute_dtype(policy: str) -> str:
    """The type of numbers in which layers compute.

    Example:
        >>> compute_dtype("mixed_bfloat16"), compute_dtype("float64")
        ('bfloat16', 'float64')
    """
    return policy.removeprefix("mixed_")


def variable_dtype(policy: str) -> str:
    """The type of numbers of weights, state, losses and predictions.

    Example:
        >>> variable_dtype("mixed_bfloat16"), variable_dtype("float64")
        ('float32', 'float64')
    """
    return "float32" if policy.startswith("mixed_") else policy


def check_policy(dtype: str | None) -> str:
    """The precision of a network: `float32` where none is given."""
    if dtype is None:
        return "float32"
    if str(dtype) not in POLICIES:
        raise SettingError(f"The precision of a network is 'float32', 'float64' or 'mixed_bfloat16'; got {dtype!r}.")
    return str(dtype)
