"""Optimisers that optax brings: any of its transformations, and L-BFGS with a line search.

optax is imported where one of them is used, because a process that needs none starts a tenth of a second sooner.
"""
import sys

import jax
import jax.numpy as jnp

from chainrule.errors import SettingError
from chainrule.optimizers.base import Optimizer, flatten_with_paths
from chainrule.schedules import Schedule


class OptaxOptimizer(Optimizer):
    """An optax transformation as an optimiser: the weights move by the updates that it returns.

    The transformation has its learning rate inside it, so `learning_rate` is `None`, and a change of its numbers means
    a new optimiser. Clipping, accumulation and the moving average of `Optimizer` work around it. It is code, so it
    cannot be kept in a file.

    Shapes: weights of any shape; the transformation's updates have that of their weight.

    Args:
        transformation: what `optax.adam(0.001)`, `optax.chain(...)` and the like return.
        settings: the settings of `Optimizer`, except `weight_decay`.

    Raises:
        SettingError: it is not a transformation, or its update needs more than gradients, state and weights.

    Example:
        >>> import optax
        >>> optimizer, weight = OptaxOptimizer(optax.sgd(0.5)), jnp.array([1.0, 2.0])
        >>> print(optimizer.update(weight, optimizer.init(weight), weight)[0])
        [0.5 1. ]
    """

    def __init__(self, transformation, **settings):
        super().__init__(learning_rate=None, **settings)
        if not is_transformation(transformation):
            raise SettingError(
                f"OptaxOptimizer: `transformation` must be an optax transformation such as optax.adam(0.001); got "
                f"{transformation!r} ({type(transformation).__name__}).")
        _refuse_extra_arguments(transformation)
        self.transformation = transformation

    def _check(self, name, value):
        if name == "learning_rate" and value is None:
            return
        if name in ("learning_rate", "weight_decay") and value is not None:
            raise SettingError(
                f"OptaxOptimizer: `{name}` is not a setting here, since the transformation keeps its learning rate to "
                f"itself. Set it where the transformation is made: optax.adamw(0.001, weight_decay=0.01).")
        super()._check(name, value)

    def get_config(self):
        raise SettingError(
            "An optax transformation is code, and files hold only data, so this optimizer cannot be saved. Save "
            "without it, or use an optimizer of chainrule.optimizers.")

    def __repr__(self):
        return "OptaxOptimizer(...)"

    def learning_rate_at(self, state, hyperparameters=None):
        raise SettingError("OptaxOptimizer: the learning rate is inside the optax transformation and cannot be read.")

    def init(self, weights):
        return super().init(weights) | {"optax": _as_dict(self.transformation.init(weights))}

    def _advance(self, gradients, state, weights, now):
        import optax

        inner = _as_optax(state["optax"], self.transformation, weights)
        updates, inner = self.transformation.update(gradients, inner, weights)
        return optax.apply_updates(weights, updates), state | {"optax": _as_dict(inner)}


class LBFGS(Optimizer):
    """Newton's method with an inverse Hessian remembered from the last steps, and a line search: for full batches.

        direction = -P @ gradient        P from the last `memory_size` differences of weights and of gradients
        weight    = weight + learning_rate * length * direction

    where the line search finds a `length` that satisfies the strong Wolfe conditions, which takes some evaluations of
    the loss. Each update must see the same loss function: all the data, no dropout. Few hundred weights and smooth
    activations are its ground; there it reaches losses that first-order methods do not.

    `update` needs `value_fn`, the loss as a function of the weights (`needs_value` says so); `value`, the loss at the
    present weights, saves one evaluation.

    Shapes: weights of any shape; `memory_size` differences of weights and as many of gradients are kept for each.

    Args:
        learning_rate: the first length that the line search tries.
        memory_size: how many differences are remembered.
        line_search_steps: the most evaluations of one line search.

    Reference: Nocedal and Wright, Numerical Optimization, 2006, algorithms 7.4 and 7.5; the implementation is
    optax's.

    Example:
        >>> loss = lambda weight: jnp.sum((weight - 3.0) ** 2)
        >>> optimizer, weight = LBFGS(), jnp.array([1.0, 2.0])
        >>> state = optimizer.init(weight)
        >>> for _ in range(5):
        ...     weight, state = optimizer.update(jax.grad(loss)(weight), state, weight, value_fn=loss)
        >>> print(weight.round(4))
        [3. 3.]
    """

    learning_rate: float | Schedule = 1.0
    memory_size: int = 10
    line_search_steps: int = 20

    needs_value = needs_all_rows = True

    def _check(self, name, value):
        super()._check(name, value)
        if name in ("memory_size", "line_search_steps") and (not isinstance(value, int) or value < 1):
            raise SettingError(f"LBFGS: `{name}` must be a whole number of at least 1; got {value!r}.")
        alters_gradient = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps")
        if name in alters_gradient and value is not None:
            raise SettingError(
                f"LBFGS: `{name}` is not possible, because the line search needs the gradient of the loss as it is. "
                f"Put a penalty into the loss instead: a regularizer of the layers.")

    def init(self, weights):
        return super().init(weights) | {"optax": _as_dict(self._transformation(1.0).init(weights))}

    def _transformation(self, rate):
        import optax

        search = optax.scale_by_zoom_linesearch(self.line_search_steps, initial_guess_strategy="one")
        return optax.lbfgs(rate, self.memory_size, linesearch=search)

    def _advance(self, gradients, state, weights, now, value=None, value_fn=None):
        import optax

        if value_fn is None:
            raise SettingError(
                "LBFGS.update needs `value_fn`, the loss as a function of the weights, for its line search.")
        value = value_fn(weights) if value is None else value
        transformation = self._transformation(now.learning_rate.astype(value.dtype))
        inner = _as_optax(state["optax"], transformation, weights)
        updates, inner = transformation.update(gradients, inner, weights, value=value, grad=gradients,
                                               value_fn=value_fn)
        return optax.apply_updates(weights, updates), state | {"optax": _as_dict(inner)}


def is_transformation(value) -> bool:
    """Whether this is a gradient transformation of optax's; who has one has imported optax."""
    optax = sys.modules.get("optax")
    return optax is not None and isinstance(value, optax.GradientTransformation)


def _as_dict(inner) -> dict:
    """An optax state as a dict of its arrays by path: plain data, like the rest of the state."""
    paths, leaves, _ = flatten_with_paths(inner)
    # With its dtype named, an array is not weakly typed, which in the next step would be another type to compile for.
    return {path: jnp.asarray(leaf, jnp.asarray(leaf).dtype) for path, leaf in zip(paths, leaves, strict=True)}


def _as_optax(arrays: dict, transformation, weights):
    """The optax state that `_as_dict` took apart."""
    paths, _, tree = flatten_with_paths(jax.eval_shape(transformation.init, weights))
    return tree.unflatten([arrays[path] for path in paths])


def _refuse_extra_arguments(transformation) -> None:
    """Raises where an update needs the loss or the like, tried on one small array without computing anything."""
    weights = {"kernel": jax.ShapeDtypeStruct((2, 2), jnp.float32)}
    try:
        jax.eval_shape(lambda w: transformation.update(w, transformation.init(w), w), weights)
    except TypeError as error:
        if "required keyword-only argument" in str(error):
            missing = str(error).partition("missing ")[2]
            raise SettingError(
                f"OptaxOptimizer: this transformation is missing {missing}, which a training step does not hand to an "
                f"optax transformation. Use one that needs gradients, state and weights only; for L-BFGS use "
                f"chainrule.optimizers.LBFGS.") from error
    except Exception:
        # It may be made for weights of a certain structure. If it does not fit the real ones either, `init` says so.
        return
