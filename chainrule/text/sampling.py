"""How the next token is chosen from what a model says of all of them."""
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from chainrule.ops import random


class Choice(NamedTuple):
    """How bold a choice is; numbers or traced scalars.

    Attributes:
        temperature: what logits are divided by; 0 takes the likeliest token.
        top_k: only so many of the likeliest tokens are left.
        top_p: of these, only the likeliest that together have this probability.
    """

    temperature: float
    top_k: int
    top_p: float


def choose(logits, key, choice: Choice) -> jax.Array:
    """One token for each row, drawn from the softmax of `logits / temperature` over the tokens that are left.

        token = argmax over tokens that are left of (logits / temperature + noise),   noise = -log(-log(Uniform(0, 1)))

    A token's noise is the same whichever others are left.

    Shapes: logits `(rows, tokens)` to `(rows,)`, int32.

    Reference: Gumbel, Statistical Theory of Extreme Values (1954), for the noise; Fan, Lewis and Dauphin, Hierarchical
    Neural Story Generation (2018), for top-k; Holtzman et al., The Curious Case of Neural Text Degeneration (2020), for
    top-p.

    Example:
        >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
        >>> sorted({int(choose(logits, jax.random.key(seed), Choice(1.0, 2, 1.0))[0]) for seed in range(8)})
        [0, 1]
    """
    is_greedy = choice.temperature == 0
    scaled = logits / jnp.where(is_greedy, 1, choice.temperature).astype(logits.dtype)
    noise = -jnp.log(-jnp.log(random.uniform(key, logits.shape, logits.dtype)))
    noise = jnp.where(is_greedy, 0, noise)
    is_limited = (choice.top_k < logits.shape[-1]) | (choice.top_p < 1)
    limited = lambda: jnp.where(_left(scaled, choice), scaled, -jnp.inf)  # sorts, which takes longer than all the rest
    return jnp.argmax(lax.cond(is_limited, limited, lambda: scaled) + noise, -1).astype(jnp.int32)


def _left(scaled, choice: Choice):
    """Which tokens may be chosen: booleans like the logits. Of equals the first come first."""
    order = jnp.argsort(-scaled, axis=-1, stable=True)
    place = jnp.argsort(order, axis=-1)
    ranked = jnp.take_along_axis(scaled, order, -1)
    probabilities = jax.nn.softmax(jnp.where(jnp.arange(scaled.shape[-1]) < choice.top_k, ranked, -jnp.inf))
    before = jnp.cumsum(probabilities, -1) - probabilities
    is_likely = jnp.take_along_axis(before, place, -1) < choice.top_p
    return (place < choice.top_k) & (is_likely | (place == 0))
