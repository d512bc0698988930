"""Gradient descent with a direction only: SGD, with and without momentum, and Lion."""
import jax.numpy as jnp

from chainrule.errors import SettingError
from chainrule.kernels.optimizer import has_kernel
from chainrule.optimizers.base import FRACTION, Optimizer, zeros
from chainrule.schedules import Schedule


class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's look ahead where they are set.

        velocity = momentum * velocity - learning_rate * gradient
        weight   = weight + velocity                                              plain momentum
        weight   = weight + momentum * velocity - learning_rate * gradient        nesterov

    Shapes: weights of any shape; `velocity` has that of its weight.

    Args:
        learning_rate: the rate.
        momentum: how much of the last move is kept; 0 keeps no slot in the state.
        nesterov: whether the gradient is taken as if it were one move ahead.

    Reference: Sutskever, Martens, Dahl and Hinton, On the Importance of Initialization and Momentum in Deep
    Learning, 2013.

    Example:
        >>> optimizer, weight = SGD(0.1, momentum=0.5), jnp.array(1.0)
        >>> state = optimizer.init(weight)
        >>> for _ in range(2):
        ...     weight, state = optimizer.update(jnp.array(1.0), state, weight)
        >>> print(weight)
        0.75
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    numbers = {"momentum": FRACTION}

    def slots(self, weight):
        return {"velocity": zeros(weight)} if self.momentum else {}

    @has_kernel("sgd")
    def rule(self, gradient, weight, slots, now):
        if not keeps_velocity(self, slots, now):
            return weight - now.learning_rate * gradient, slots
        step = now.learning_rate * gradient
        velocity = now.momentum * slots["velocity"] - step
        move = now.momentum * velocity - step if self.nesterov else velocity
        return weight + move, {"velocity": velocity}


class Lion(Optimizer):
    """Steps of one size, in the direction of the sign of a mixture of the average gradient and the present one.

        weight       = weight - learning_rate * sign(beta_1 * first_moment + (1 - beta_1) * gradient)
        first_moment = beta_2 * first_moment + (1 - beta_2) * gradient

    Good rates are 3 to 10 times smaller than Adam's, good weight decays as many times larger.

    Shapes: weights of any shape; `first_moment` has that of its weight.

    Args:
        learning_rate: the rate.
        beta_1: the share of the average gradient in the direction.
        beta_2: how much of the average gradient is kept.

    Reference: Chen et al., Symbolic Discovery of Optimization Algorithms, 2023.

    Example:
        >>> optimizer, weight = Lion(0.1), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0])
        [0.9 1.1]
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99

    numbers = {"beta_1": {"above": 0, "maximum": 1}, "beta_2": FRACTION}

    def slots(self, weight):
        return {"first_moment": zeros(weight)}

    @has_kernel("lion")
    def rule(self, gradient, weight, slots, now):
        first = slots["first_moment"]
        direction = jnp.sign(now.beta_1 * first + (1 - now.beta_1) * gradient)
        first = now.beta_2 * first + (1 - now.beta_2) * gradient
        return weight - now.learning_rate * direction, {"first_moment": first}


def keeps_velocity(optimizer, slots, now) -> bool:
    """Whether a rule with optional momentum uses it: both the number and the slot are there, or there is an error."""
    if hasattr(now, "momentum") and "velocity" not in slots:
        raise SettingError(
            f"{type(optimizer).__name__}: `momentum` was 0 when the state was made, so there is no velocity to keep. "
            f"Make the optimizer with the momentum, {type(optimizer).__name__}(momentum={optimizer.momentum}), and "
            f"begin with a new state.")
    if "velocity" in slots and not hasattr(now, "momentum"):
        now.momentum = jnp.zeros_like(now.learning_rate)
    return "velocity" in slots
