"""Adafactor: second moments kept as one row and one column a matrix."""
import jax.numpy as jnp

from chainrule.optimizers.base import NOT_NEGATIVE, POSITIVE, Optimizer, wide, zeros
from chainrule.schedules import Schedule


class Adafactor(Optimizer):
    """Steps in proportion to the weights, over second moments of which only row and column means are kept.

        beta    = 1 - t ** beta_2_decay                                                 in update t = 1, 2, ...
        square  = gradient ** 2 + epsilon_1
        row     = beta * row    + (1 - beta) * mean(square, last axis)                  arrays of two axes or more
        column  = beta * column + (1 - beta) * mean(square, last axis but one)
        second  = row / mean(row) * column
        second  = beta * second + (1 - beta) * square                                   arrays of fewer axes
        step    = gradient / sqrt(second)
        size    = max(epsilon_2, rms(weight)) * min(learning_rate, 1 / sqrt(t))
        weight  = weight - size * step / max(1, rms(step) / clip_threshold)

    where rms is the root of the mean square of an array.

    Shapes: a weight `(..., rows, columns)` has a `row` `(..., rows)` and a `column` `(..., columns)`; a weight of fewer
    axes a `second` of its shape.

    Args:
        learning_rate: the largest rate.
        beta_2_decay: how fast the averages lengthen, below 0.
        epsilon_1: keeps the divisor from 0.
        epsilon_2: the least size that weights are taken to have.
        clip_threshold: the largest root mean square of a step.
        relative_step: whether the rate falls as `1 / sqrt(t)` where it is a number; it always does (as in Keras).

    Reference: Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, 2018.

    Example:
        >>> optimizer, weight = Adafactor(0.1), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0].round(4))
        [0.9 1.1]
    """

    learning_rate: float | Schedule = 0.001
    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True

    numbers = {"beta_2_decay": {"maximum": 0}, "epsilon_1": NOT_NEGATIVE, "epsilon_2": NOT_NEGATIVE,
               "clip_threshold": POSITIVE}

    def slots(self, weight):
        if weight.ndim < 2:
            return {"second_moment": zeros(weight)}
        row, column = weight.shape[:-1], weight.shape[:-2] + weight.shape[-1:]
        return {"second_moment": {"row": jnp.zeros(row, wide(weight)), "column": jnp.zeros(column, wide(weight))}}

    def prepare(self, now, state):
        return {"rate": jnp.minimum(now.learning_rate, 1 / jnp.sqrt(now.count)),
                "beta": 1 - now.count**now.beta_2_decay}

    def rule(self, gradient, weight, slots, now):
        square = jnp.square(gradient) + now.epsilon_1
        blend = lambda average, values: now.beta * average + (1 - now.beta) * values
        if weight.ndim < 2:
            kept = second = blend(slots["second_moment"], square)
        else:
            row = blend(slots["second_moment"]["row"], square.mean(axis=-1))
            column = blend(slots["second_moment"]["column"], square.mean(axis=-2))
            second = (row / row.mean(axis=-1, keepdims=True))[..., :, None] * column[..., None, :]
            kept = {"row": row, "column": column}
        step = gradient / jnp.sqrt(second)
        size = jnp.maximum(now.epsilon_2, _root_mean_square(weight)) * now.rate
        step = size * step / jnp.maximum(1, _root_mean_square(step) / now.clip_threshold)
        return weight - step, {"second_moment": kept}


def _root_mean_square(array):
    return jnp.sqrt(jnp.mean(jnp.square(array)))
