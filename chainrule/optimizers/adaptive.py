"""A rate for each weight from the size of its gradients: Adagrad, RMSprop, Adadelta."""
import jax.numpy as jnp

from chainrule.kernels.optimizer import has_kernel
from chainrule.optimizers.base import FRACTION, NOT_NEGATIVE, Optimizer, zeros
from chainrule.optimizers.descent import keeps_velocity
from chainrule.schedules import Schedule, check_number


class RMSprop(Optimizer):
    """The gradient divided by the root of a moving average of its square.

        second_moment = rho * second_moment + (1 - rho) * gradient ** 2
        first_moment  = rho * first_moment  + (1 - rho) * gradient                                  centered
        step          = learning_rate * gradient / sqrt(second_moment - first_moment ** 2 + epsilon)
        velocity      = momentum * velocity + step                                                  with momentum
        weight        = weight - velocity                                                           (else: - step)

    Without `centered` the first moment is left out.

    Shapes: weights of any shape; the moments and `velocity` have that of their weight.

    Args:
        learning_rate: the rate.
        rho: how much of the averages is kept.
        momentum: how much of the last move is kept; 0 keeps no slot in the state.
        epsilon: keeps the divisor from 0.
        centered: whether to divide by the variance of the gradient instead of its mean square.

    Reference: Tieleman and Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012; centered: Graves,
    Generating Sequences with Recurrent Neural Networks, 2013.

    Example:
        >>> optimizer, weight = RMSprop(0.1, rho=0.75), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0])
        [0.8 1.2]
    """

    learning_rate: float | Schedule = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    numbers = {"rho": FRACTION, "momentum": FRACTION, "epsilon": NOT_NEGATIVE}

    def slots(self, weight):
        names = ["second_moment"] + ["velocity"] * bool(self.momentum) + ["first_moment"] * self.centered
        return {name: zeros(weight) for name in names}

    @has_kernel("rmsprop")
    def rule(self, gradient, weight, slots, now):
        slots = dict(slots)
        slots["second_moment"] = variance = now.rho * slots["second_moment"] + (1 - now.rho) * jnp.square(gradient)
        if self.centered:
            slots["first_moment"] = now.rho * slots["first_moment"] + (1 - now.rho) * gradient
            variance = variance - jnp.square(slots["first_moment"])
        step = now.learning_rate * gradient / jnp.sqrt(variance + now.epsilon)
        if keeps_velocity(self, slots, now):
            slots["velocity"] = step = now.momentum * slots["velocity"] + step
        return weight - step, slots


class Adagrad(Optimizer):
    """The gradient divided by the root of the sum of all its squares so far.

        accumulator = accumulator + gradient ** 2
        weight      = weight - learning_rate * gradient / sqrt(accumulator + epsilon)

    Shapes: weights of any shape; `accumulator` has that of its weight.

    Args:
        learning_rate: the rate.
        initial_accumulator_value: what the sum starts from.
        epsilon: keeps the divisor from 0.

    Reference: Duchi, Hazan and Singer, Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization, 2011.

    Example:
        >>> optimizer, weight = Adagrad(0.1, initial_accumulator_value=0.0), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0])
        [0.9 1.1]
    """

    learning_rate: float | Schedule = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    numbers = {"epsilon": NOT_NEGATIVE}

    def __post_init__(self):
        check_number(self, "initial_accumulator_value", self.initial_accumulator_value, minimum=0)

    def slots(self, weight):
        return {"accumulator": zeros(weight, self.initial_accumulator_value)}

    @has_kernel("adagrad")
    def rule(self, gradient, weight, slots, now):
        accumulator = slots["accumulator"] + jnp.square(gradient)
        step = now.learning_rate * gradient / jnp.sqrt(accumulator + now.epsilon)
        return weight - step, {"accumulator": accumulator}


class Adadelta(Optimizer):
    """Steps of the size of the steps before, so that their unit is the weight's and the rate can be 1.

        second_moment = rho * second_moment + (1 - rho) * gradient ** 2
        step          = gradient * sqrt(square_step + epsilon) / sqrt(second_moment + epsilon)
        square_step   = rho * square_step + (1 - rho) * step ** 2
        weight        = weight - learning_rate * step

    Shapes: weights of any shape; `second_moment` and `square_step` have that of their weight.

    Args:
        learning_rate: the rate; the paper's rule is a rate of 1.
        rho: how much of the averages is kept.
        epsilon: keeps the divisor from 0, and the first step from being 0.

    Reference: Zeiler, ADADELTA: An Adaptive Learning Rate Method, 2012.

    Example:
        >>> optimizer, weight = Adadelta(1.0, rho=0.75, epsilon=0.01), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([30.0, -50.0]), optimizer.init(weight), weight)[0].round(3))
        [0.8 1.2]
    """

    learning_rate: float | Schedule = 0.001
    rho: float = 0.95
    epsilon: float = 1e-7

    numbers = {"rho": FRACTION, "epsilon": NOT_NEGATIVE}

    def slots(self, weight):
        return {"second_moment": zeros(weight), "square_step": zeros(weight)}

    def rule(self, gradient, weight, slots, now):
        second = now.rho * slots["second_moment"] + (1 - now.rho) * jnp.square(gradient)
        step = gradient * jnp.sqrt(slots["square_step"] + now.epsilon) / jnp.sqrt(second + now.epsilon)
        square_step = now.rho * slots["square_step"] + (1 - now.rho) * jnp.square(step)
        return weight - now.learning_rate * step, {"second_moment": second, "square_step": square_step}
