"""Adam and its relatives: a moving average of the gradient over the root of one of its square."""
from types import MappingProxyType

import jax.numpy as jnp

from chainrule.errors import SettingError
from chainrule.kernels.optimizer import has_kernel
from chainrule.optimizers.base import FRACTION, NOT_NEGATIVE, Optimizer, zeros
from chainrule.schedules import Schedule

_NUMBERS = MappingProxyType({"beta_1": FRACTION, "beta_2": FRACTION, "epsilon": NOT_NEGATIVE})


class Adam(Optimizer):
    """Moving averages of the gradient and of its square, freed from their start at 0.

        first_moment  = first_moment  + (1 - beta_1) * (gradient - first_moment)
        second_moment = second_moment + (1 - beta_2) * (gradient ** 2 - second_moment)
        rate          = learning_rate * sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t)          in update t = 1, 2, ...
        weight        = weight - rate * first_moment / (sqrt(second_moment) + epsilon)

    With `amsgrad` the largest second moment so far takes the place of the present one. As in Keras, epsilon stands
    beside the uncorrected moment (the paper's epsilon hat), so that early on it weighs more than in PyTorch.

    Shapes: weights of any shape; `first_moment` and `second_moment` have that of their weight.

    Args:
        learning_rate: the rate.
        beta_1: how much of the average gradient is kept.
        beta_2: how much of the average square is kept.
        epsilon: keeps the divisor from 0.
        amsgrad: whether the divisor may only grow.

    Reference: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015; amsgrad: Reddi, Kale and Kumar, On
    the Convergence of Adam and Beyond, 2018.

    Example:
        >>> optimizer, weight = Adam(0.1), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0].round(4))
        [0.9 1.1]
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    numbers = _NUMBERS

    def slots(self, weight):
        names = ["first_moment", "second_moment"] + ["largest_second_moment"] * self.amsgrad
        return {name: zeros(weight) for name in names}

    def prepare(self, now, state):
        correction = jnp.sqrt(1 - now.beta_2**now.count) / (1 - now.beta_1**now.count)
        return {"corrected_rate": now.learning_rate * correction}

    @has_kernel("adam")
    def rule(self, gradient, weight, slots, now):
        first, second = _moments(gradient, slots, now)
        moved = {"first_moment": first, "second_moment": second}
        if self.amsgrad:
            second = jnp.maximum(slots["largest_second_moment"], second)
            moved["largest_second_moment"] = second
        return weight - now.corrected_rate * first / (jnp.sqrt(second) + now.epsilon), moved


class AdamW(Adam):
    """Adam whose weights also decay, by themselves and not through the gradient.

        weight = weight - learning_rate * weight_decay * weight        then as in `Adam`

    Shapes: as for `Adam`.

    Args:
        learning_rate: the rate.
        weight_decay: the share of a weight that is lost in an update with rate 1.
        beta_1, beta_2, epsilon, amsgrad: as in `Adam`.

    Reference: Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.

    Example:
        >>> optimizer, weight = AdamW(0.125, weight_decay=2.0), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0].round(4))
        [0.625 0.875]
    """

    weight_decay: float = 0.004

    def _check(self, name, value):
        super()._check(name, value)
        if name == "weight_decay" and value is None:
            raise SettingError("AdamW: `weight_decay` must be a number of at least 0; got None. Adam is without decay.")


class Adamax(Optimizer):
    """Adam with the largest recent magnitude of the gradient in place of its root mean square.

        first_moment = first_moment + (1 - beta_1) * (gradient - first_moment)
        largest      = max(beta_2 * largest, |gradient|)
        weight       = weight - learning_rate / (1 - beta_1 ** t) * first_moment / (largest + epsilon)

    Shapes: weights of any shape; `first_moment` and `largest` have that of their weight.

    Args:
        learning_rate: the rate.
        beta_1: how much of the average gradient is kept.
        beta_2: how much of the largest magnitude is kept.
        epsilon: keeps the divisor from 0.

    Reference: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, section 7.1.

    Example:
        >>> optimizer, weight = Adamax(0.1), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0].round(4))
        [0.9 1.1]
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    numbers = _NUMBERS

    def slots(self, weight):
        return {"first_moment": zeros(weight), "largest_gradient": zeros(weight)}

    def prepare(self, now, state):
        return {"corrected_rate": now.learning_rate / (1 - now.beta_1**now.count)}

    @has_kernel("adamax")
    def rule(self, gradient, weight, slots, now):
        first = slots["first_moment"] + (1 - now.beta_1) * (gradient - slots["first_moment"])
        largest = jnp.maximum(now.beta_2 * slots["largest_gradient"], jnp.abs(gradient))
        step = now.corrected_rate * first / (largest + now.epsilon)
        return weight - step, {"first_moment": first, "largest_gradient": largest}


class Nadam(Optimizer):
    """Adam with Nesterov momentum: the average gradient is taken one step ahead, on a schedule of its own.

        u(t)    = beta_1 * (1 - 0.96 ** t / 2)                     the momentum of update t = 1, 2, ...
        product = u(1) * u(2) * ... * u(t)
        ahead   = u(t + 1) * first_moment / (1 - product * u(t + 1)) + (1 - u(t)) * gradient / (1 - product)
        weight  = weight - learning_rate * ahead / (sqrt(second_moment / (1 - beta_2 ** t)) + epsilon)

    with the moments of `Adam`.

    Shapes: as for `Adam`; `product` is a number.

    Args:
        learning_rate: the rate.
        beta_1: how much of the average gradient is kept.
        beta_2: how much of the average square is kept.
        epsilon: keeps the divisor from 0.

    Reference: Dozat, Incorporating Nesterov Momentum into Adam, 2016.

    Example:
        >>> optimizer, weight = Nadam(0.1), jnp.array([1.0, 1.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0].round(4))
        [0.8937 1.1063]
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    numbers = _NUMBERS
    shared = ("momentum_product",)

    def init(self, weights):
        return super().init(weights) | {"momentum_product": jnp.ones(())}

    def slots(self, weight):
        return {"first_moment": zeros(weight), "second_moment": zeros(weight)}

    def prepare(self, now, state):
        present, following = (now.beta_1 * (1 - 0.5 * 0.96**count) for count in (now.count, now.count + 1))
        product = state["momentum_product"].astype(present.dtype) * present
        return {"momentum_product": product,
                "first_factor": following / (1 - product * following),
                "gradient_factor": (1 - present) / (1 - product),
                "second_factor": 1 / (1 - now.beta_2**now.count)}

    @has_kernel("nadam")
    def rule(self, gradient, weight, slots, now):
        first, second = _moments(gradient, slots, now)
        ahead = now.first_factor * first + now.gradient_factor * gradient
        step = now.learning_rate * ahead / (jnp.sqrt(second * now.second_factor) + now.epsilon)
        return weight - step, {"first_moment": first, "second_moment": second}


class Lamb(Optimizer):
    """Adam's step, stretched for each array to the size of its weights: for very large batches.

        step   = first_moment / (1 - beta_1 ** t) / (sqrt(second_moment / (1 - beta_2 ** t)) + epsilon)
        weight = weight - learning_rate * |weight| / |step| * step

    with the moments of `Adam`, and a ratio of 1 where either norm is 0.

    Shapes: as for `Adam`; the norms are of a whole array.

    Args:
        learning_rate: the rate.
        beta_1: how much of the average gradient is kept.
        beta_2: how much of the average square is kept.
        epsilon: keeps the divisor from 0.

    Reference: You et al., Large Batch Optimization for Deep Learning: Training BERT in 76 Minutes, 2020.

    Example:
        >>> optimizer, weight = Lamb(0.1), jnp.array([2.0, 2.0])
        >>> print(optimizer.update(jnp.array([3.0, -5.0]), optimizer.init(weight), weight)[0].round(4))
        [1.8 2.2]
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    numbers = _NUMBERS

    def slots(self, weight):
        return {"first_moment": zeros(weight), "second_moment": zeros(weight)}

    def prepare(self, now, state):
        return {"first_factor": 1 / (1 - now.beta_1**now.count), "second_factor": 1 / (1 - now.beta_2**now.count)}

    def rule(self, gradient, weight, slots, now):
        first, second = _moments(gradient, slots, now)
        step = now.first_factor * first / (jnp.sqrt(second * now.second_factor) + now.epsilon)
        weight_norm, step_norm = (jnp.sqrt(jnp.sum(jnp.square(array))) for array in (weight, step))
        both = (weight_norm > 0) & (step_norm > 0)
        ratio = jnp.where(both, weight_norm / jnp.where(both, step_norm, 1), 1)
        return weight - now.learning_rate * ratio * step, {"first_moment": first, "second_moment": second}


def _moments(gradient, slots, now):
    """Adam's two moving averages after this gradient."""
    first = slots["first_moment"] + (1 - now.beta_1) * (gradient - slots["first_moment"])
    second = slots["second_moment"] + (1 - now.beta_2) * (jnp.square(gradient) - slots["second_moment"])
    return first, second
