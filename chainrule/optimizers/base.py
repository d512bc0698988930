"""What every optimiser is: settings, a rule for one array of weights, and what surrounds the rule."""
import copy
import dataclasses
import re
from collections.abc import Callable
from numbers import Real
from types import MappingProxyType, SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule import kernels
from chainrule.configuration import Configurable
from chainrule.errors import SettingError
from chainrule.kernels import optimizer as kernel
from chainrule.schedules import Schedule, check_number, momentum_of

FRACTION = MappingProxyType({"minimum": 0, "below": 1})
NOT_NEGATIVE = MappingProxyType({"minimum": 0})
POSITIVE = MappingProxyType({"above": 0})

_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
_SCHEDULE = "learning_rate/"  # before the name of a number of the schedule, among hyperparameters
_STATE = ("step", "average", "accumulated_gradient")


class Optimizer(Configurable):
    """A rule that moves weights against their gradients, pure and compiled with the step that uses it.

    The settings below belong to every optimiser, by keyword, with Keras's names and meaning. In a step they act in
    this order: accumulation, clipping, weight decay, the optimiser's own rule, the moving average of the weights.

    Args:
        learning_rate: a number, a `Schedule`, or a function of the step; an attribute that can be set at any time.
        weight_decay: decoupled decay: `weight - learning_rate * weight_decay * weight` before the rule.
        clipnorm: the largest norm of each array of gradients.
        clipvalue: the largest magnitude of each gradient.
        global_clipnorm: the largest norm of all gradients together.
        use_ema: whether to keep a moving average of the weights, which `final_weights` returns after training.
        ema_momentum: `average = ema_momentum * average + (1 - ema_momentum) * weight` after each step.
        ema_overwrite_frequency: the updates after which the weights are replaced by their average, again and again.
        gradient_accumulation_steps: the steps whose mean gradient makes one update; the weights rest in between. A
            schedule counts steps, bias corrections and `ema_overwrite_frequency` count updates. The moving average
            moves in every step, towards the resting weights too, and replaces them in every step of an update in which
            that is due.
        exclude_from_weight_decay: regular expressions; weights whose path (`"dense_1/bias"`) contains one do not decay.
        name: a name of your choice; it is kept, and nothing depends on it.

    To write one, declare the settings, list those that are numbers in `numbers` with their bounds, and write `slots`
    and `rule`. Both see one array at a time, so that an update is one pass over it:

        class SignDescent(Optimizer):
            learning_rate: float | Schedule = 0.01

            def rule(self, gradient, weight, slots, now):
                return weight - now.learning_rate * jnp.sign(gradient), slots

    Example:
        >>> from chainrule.optimizers import SGD
        >>> optimizer = SGD(0.5)
        >>> weights = {"dense": {"kernel": jnp.array([1.0, 2.0])}}
        >>> state = optimizer.init(weights)
        >>> weights, state = optimizer.update(weights, state, weights)   # the gradient of |weights| ** 2 / 2
        >>> print(weights["dense"]["kernel"], state["step"])
        [0.5 1. ] 1
    """

    learning_rate: float | Schedule | Callable
    _: dataclasses.KW_ONLY
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int | None = None
    gradient_accumulation_steps: int | None = None
    exclude_from_weight_decay: tuple[str, ...] = ()
    name: str | None = None

    kind = "optimizer"
    needs_all_rows = False  # whether each update must see the loss over all the data
    needs_value = False  # whether `update` must be given the loss as a function of the weights

    # The settings that are numbers, with their bounds. They are arguments of a compiled program, never constants in it.
    numbers = MappingProxyType({
        "learning_rate": NOT_NEGATIVE, "weight_decay": NOT_NEGATIVE, "clipnorm": POSITIVE, "clipvalue": POSITIVE,
        "global_clipnorm": POSITIVE, "ema_momentum": MappingProxyType({"minimum": 0, "maximum": 1})})
    shared = ()  # the entries of the state that belong to no single weight, beside the step

    def __setattr__(self, name, value):
        self._check(name, value)
        super().__setattr__(name, value)

    def _check(self, name: str, value) -> None:
        """Raises where a setting has a value it cannot have."""
        if name == "learning_rate":
            if not callable(value) or isinstance(value, type):
                check_number(self, name, value, minimum=0, otherwise=", a schedule or a function of the step")
        elif name in self._bounds() and not (value is None and name in Optimizer.numbers):
            check_number(self, name, value, **self._bounds()[name])
        if name in _CLIPPING and value is not None:
            present = [other for other in _CLIPPING if other == name or getattr(self, other, None) is not None]
            if len(present) > 1:
                raise SettingError(
                    f"{type(self).__name__}: {' and '.join(f'`{other}`' for other in present)} exclude each other. "
                    f"Set one of them.")
        if name in ("ema_overwrite_frequency", "gradient_accumulation_steps") and value is not None:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SettingError(
                    f"{type(self).__name__}: `{name}` must be a whole number of at least 1, or None; got {value!r}.")

    def _bounds(self) -> dict:
        """The settings that are numbers, those of the parents included, and their bounds."""
        bounds = {}
        for parent in reversed(type(self).__mro__):
            bounds.update(vars(parent).get("numbers", {}))
        return bounds

    def hyperparameters(self) -> dict[str, float]:
        """The settings that are numbers, as they are now: what a compiled program takes as arguments.

        Example:
            >>> from chainrule.optimizers import RMSprop
            >>> RMSprop(0.01).hyperparameters()
            {'learning_rate': 0.01, 'rho': 0.9, 'epsilon': 1e-07}
        """
        values = {name: getattr(self, name) for name in self._bounds()}
        # A momentum of 0 has no slot in the state; without one it cannot be turned on by a change of the number.
        return {name: float(value) for name, value in values.items() if isinstance(value, Real)
                and not (name == "ema_momentum" and not self.use_ema) and not (name == "momentum" and value == 0)}

    def learning_rate_at(self, state, hyperparameters=None):
        """The rate that the next update uses.

        Args:
            state: the optimiser's state; a schedule is asked for the rate at `state["step"]`.
            hyperparameters: as for `update`.
        """
        schedule = self._schedule(hyperparameters)
        if callable(schedule):
            return jnp.asarray(schedule(state["step"]))
        return jnp.asarray((hyperparameters or self.hyperparameters())["learning_rate"])

    def slots(self, weight) -> dict:
        """What the rule remembers about one array of weights: names and first values.

        Numbers are kept in float32 at least, also for weights of lower precision, whose rounding would swallow the
        small steps of a moving average.
        """
        return {}

    def rule(self, gradient, weight, slots: dict, now):
        """The new weight and slots of one array. `now` has the numbers of this update, and what `prepare` made.

        Args:
            gradient: the gradient, clipped.
            weight: the weight, decayed.
            slots: what `slots` names, as the last update left it.
            now: scalars as attributes: the hyperparameters by name, and `count`, the number of this update from 1.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method `rule(self, gradient, weight, slots, now)`.")

    def prepare(self, now, state) -> dict:
        """The scalars that an update computes once for all weights; those named in `shared` are kept in the state."""
        return {}

    def init(self, weights) -> dict:
        """The state before the first update: a dict of arrays and of dicts like `weights`."""
        leaves, tree = jax.tree.flatten(weights)
        slots = [self.slots(weight) for weight in leaves]
        state = {"step": jnp.zeros((), jnp.int32)}
        state |= {name: tree.unflatten([slot[name] for slot in slots]) for name in (slots[0] if slots else ())}
        if self.use_ema:
            state["average"] = jax.tree.map(lambda weight: jnp.array(weight, wide(weight), copy=True), weights)
        if self._steps_per_update > 1:
            state["accumulated_gradient"] = jax.tree.map(zeros, weights)
        return state

    def init_beside(self, weights, frozen) -> dict:
        """As `init`, for weights that stand beside others, a tree too, that are not trained and get no state."""
        return self.init(weights)

    def update(self, gradients, state, weights, hyperparameters=None, *, value=None, value_fn=None):
        """One step: new weights and new state. Pure; works under `jit`, `vmap` and `scan`.

        Args:
            gradients: the gradients of the loss, a tree like `weights`.
            state: what `init` or the last `update` returned.
            weights: a tree of arrays (nested dicts).
            hyperparameters: what `hyperparameters` returns, as numbers or arrays; the settings as they are now by
                default.
            value, value_fn: the loss at `weights`, and the loss as a function of the weights, for an optimiser that
                `needs_value`.

        Returns:
            The weights after the step, in the dtypes they had, and the state after it.
        """
        if hyperparameters is None:
            hyperparameters = self.hyperparameters()
        loss = {"value": value, "value_fn": value_fn} if self.needs_value else {}
        now, steps = self._numbers_now(state, hyperparameters), self._steps_per_update
        if steps == 1:
            weights, state = self._advance(self._clip(gradients, now), state, weights, now, **loss)
        else:
            total = jax.tree.map(lambda sum, gradient: sum + gradient.astype(sum.dtype),
                                 state["accumulated_gradient"], gradients)
            mean = lambda: jax.tree.map(lambda sum: sum / steps, total)
            empty = jax.tree.map(jnp.zeros_like, total)
            weights, state = lax.cond(
                (state["step"] + 1) % steps == 0,
                lambda: self._advance(self._clip(mean(), now), state | {"accumulated_gradient": empty}, weights, now,
                                      **loss),
                lambda: (weights, state | {"accumulated_gradient": total}))
        if self.use_ema:
            weights, state = self._average(weights, state, now)
        return weights, state | {"step": state["step"] + 1}

    def final_weights(self, weights, state):
        """The weights to keep when training is over: their moving average where there is one.

        Example:
            >>> from chainrule.optimizers import SGD
            >>> optimizer, weights = SGD(0.5, use_ema=True, ema_momentum=0.5), jnp.array(2.0)
            >>> state = optimizer.init(weights)
            >>> for _ in range(2):
            ...     weights, state = optimizer.update(jnp.array(1.0), state, weights)
            >>> print(weights, optimizer.final_weights(weights, state))
            1.0 1.25
        """
        if not self.use_ema:
            return weights
        return jax.tree.map(lambda weight, average: average.astype(weight.dtype), weights, state["average"])

    @property
    def averages_weights(self) -> bool:
        """Whether `final_weights` returns others than were trained."""
        return self.use_ema

    @property
    def _steps_per_update(self) -> int:
        return self.gradient_accumulation_steps or 1

    def _numbers_now(self, state, hyperparameters) -> SimpleNamespace:
        """The hyperparameters of this update as arrays of one dtype, the schedules asked."""
        values = {name: value for name, value in hyperparameters.items() if not name.startswith(_SCHEDULE)}
        if self.learning_rate is not None:
            values["learning_rate"] = self.learning_rate_at(state, hyperparameters)
        momentum = momentum_of(self._schedule(hyperparameters), state["step"])
        if momentum is not None:
            values |= {name: momentum for name in ("momentum", "beta_1") if name in values}
        values = {name: jnp.asarray(value) for name, value in values.items()}
        dtype = np.result_type(np.float32, *(array.dtype for array in values.values()))
        updates = state["step"] if self._steps_per_update == 1 else state["step"] // self._steps_per_update
        return SimpleNamespace(count=(updates + 1).astype(dtype),
                               **{name: array.astype(dtype) for name, array in values.items()})

    def _schedule(self, hyperparameters):
        """The learning rate or its schedule; its numbers may be replaced by hyperparameters."""
        own = {name.removeprefix(_SCHEDULE): value for name, value in (hyperparameters or {}).items()
               if name.startswith(_SCHEDULE)}
        if not own:
            return self.learning_rate
        schedule = copy.copy(self.learning_rate)
        schedule.__dict__.update(own)
        return schedule

    def _clip(self, gradients, now):
        if self.clipvalue is not None:
            return jax.tree.map(lambda g: jnp.clip(g, -now.clipvalue.astype(g.dtype), now.clipvalue.astype(g.dtype)),
                                gradients)
        if self.clipnorm is not None:
            return jax.tree.map(lambda g: _shrink(g, _norm([g], now.clipnorm.dtype), now.clipnorm), gradients)
        if self.global_clipnorm is not None:
            norm = _norm(jax.tree.leaves(gradients), now.global_clipnorm.dtype)
            # As in Keras, one infinite gradient makes all NaN here, where the others would else become 0 in silence.
            return jax.tree.map(lambda g: _shrink(g, norm, now.global_clipnorm + (norm - norm)), gradients)
        return gradients

    def _advance(self, gradients, state, weights, now):
        """The rule for every array: one elementwise pass each, the scalars computed before."""
        prepared = self.prepare(now, state)
        paths, leaves, tree = flatten_with_paths(weights)
        names = [name for name in state if name not in _STATE and name not in self.shared]
        columns = [tree.flatten_up_to(state[name]) for name in names]
        gradients = [gradient.astype(wide(weight))
                     for gradient, weight in zip(tree.flatten_up_to(gradients), leaves, strict=True)]
        slots = [{name: column[index] for name, column in zip(names, columns, strict=True)}
                 for index in range(len(leaves))]
        decays = [self.weight_decay is not None and not self._is_excluded(path) for path in paths]
        advance = self._advance_by_kernel if self._kernel_serves(leaves, slots) else self._advance_each
        new_weights, new_slots = advance(gradients, leaves, slots, decays, vars(now) | prepared)
        state = state | {name: tree.unflatten([slots[name] for slots in new_slots]) for name in names}
        state |= {name: prepared[name].astype(state[name].dtype) for name in self.shared}
        return tree.unflatten(new_weights), state

    def _advance_each(self, gradients, weights, slots, decays, scalars):
        """One array after another, in `jnp`."""
        moved = []
        for gradient, weight, own, decays_here in zip(gradients, weights, slots, decays, strict=True):
            now = SimpleNamespace(**{name: scalar.astype(wide(weight)) for name, scalar in scalars.items()})
            if decays_here:
                now.decay = now.weight_decay * now.learning_rate
            changed, own = self._move(gradient, weight.astype(wide(weight)), own, now, decays_here)
            moved.append((changed.astype(weight.dtype), own))
        return [weight for weight, _ in moved], [own for _, own in moved]

    def _advance_by_kernel(self, gradients, weights, slots, decays, scalars):
        """All arrays at once, in place."""
        if any(decays):
            scalars = scalars | {"decay": scalars["weight_decay"] * scalars["learning_rate"]}
        return kernel.step(self.rule.kernel, self._move, getattr(self, "nesterov", False), gradients, weights, slots,
                           decays, scalars)

    def _kernel_serves(self, weights, slots) -> bool:
        """Whether there is C++ code for this rule and these arrays, with the slots that the settings ask for."""
        return (kernels.active() and hasattr(self.rule, "kernel") and len(weights) > 0
                and all(array.dtype == jnp.float32 for array in jax.tree.leaves((weights, slots)))
                and set(slots[0]) == set(jax.eval_shape(self.slots, weights[0])))

    def _move(self, gradient, weight, slots, now, decays: bool):
        """One array's new weight and slots."""
        return self.rule(gradient, weight - weight * now.decay if decays else weight, slots, now)

    def _is_excluded(self, path: str) -> bool:
        patterns = self.exclude_from_weight_decay
        return any(re.search(pattern, path) for pattern in ([patterns] if isinstance(patterns, str) else patterns))

    def _average(self, weights, state, now):
        """The moving average after a step; the weights are replaced by it where that is due."""
        momentum = jnp.where(now.count == 1, 0, now.ema_momentum)  # in the first update it is the weights themselves

        def move(average, weight):
            kept = momentum.astype(average.dtype)
            return kept * average + (1 - kept) * weight.astype(average.dtype)

        average = jax.tree.map(move, state["average"], weights)
        if self.ema_overwrite_frequency:
            due = now.count % self.ema_overwrite_frequency == 0
            weights = jax.tree.map(lambda weight, mean: jnp.where(due, mean.astype(weight.dtype), weight),
                                   weights, average)
        return weights, state | {"average": average}


def wide(weight):
    """The dtype in which a weight is updated: its own, but at least float32."""
    return np.promote_types(weight.dtype, np.float32)  # by NumPy, whatever promotion JAX is set to


def zeros(weight, fill=0):
    """A slot like `weight` that starts at `fill`."""
    return jnp.full(weight.shape, fill, wide(weight))


def flatten_with_paths(weights):
    """The paths (`"dense_1/kernel"`), the arrays and the structure of a tree of weights."""
    pairs, tree = jax.tree.flatten_with_path(weights)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in pairs]
    return paths, [leaf for _, leaf in pairs], tree


def _norm(gradients, dtype):
    """The norm of some arrays together."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(gradient.astype(wide(gradient)))).astype(dtype) for gradient in gradients))


def _shrink(gradient, norm, largest):
    """The gradient times `largest / norm` where `norm` is larger."""
    scale = largest / jnp.maximum(norm, largest)
    return gradient * scale.astype(gradient.dtype)
