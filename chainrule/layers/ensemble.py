"""Ensembles inside one network: many members that share most of their weights, each trained by its own loss.

The members have an axis of their own behind the batch, `(batch, members, ..., features)`. Layers that work on the last
axis (Dense, Dropout, normalisation) treat members like further rows, so that any dense network can stand between
`EnsembleView` and `EnsembleMean`.
"""
import copy
import functools
import math
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from chainrule import initializers
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.activation import prepare_activation
from chainrule.layers.base import Layer
from chainrule.layers.binding import seed_words
from chainrule.layers.dense import check_count, known_last_axis
from chainrule.ops import random
from chainrule.ops.dense import dense


class EnsembleView(Layer):
    """Each row repeated for every member of an ensemble, its features scaled by numbers of that member's own.

        y[b, m] = x[b] * scaling[m]

    With signs drawn at random the members see the data differently from the start, which is what makes them differ.
    A whole ensemble of the kind TabM-mini is a dense network between this layer and a head:

        EnsembleView(32), Dense(256, "relu"), Dense(256, "relu"), DenseEnsemble(10, "softmax"), EnsembleMean()

    with `DenseBatchEnsemble` in the place of `Dense` it is TabM.

    Shapes: `(batch, ..., features)` to `(batch, members, ..., features)`; scaling `(members, features)`.

    Args:
        members: how many members there are.
        scaling_initializer: how the scaling starts; `None` repeats the rows alone.
        scaling_regularizer: a penalty on the scaling, added to the loss.
        scaling_constraint: a projection of the scaling after each update.

    Reference: Gorishniy, Kotelnikov and Babenko, TabM: Advancing Tabular Deep Learning with Parameter-Efficient
    Ensembling (2024).

    Example:
        >>> import numpy as np
        >>> EnsembleView(members=3)(np.ones((2, 4), "float32")).shape
        (2, 3, 4)
    """

    members: int = 32
    scaling_initializer: Any = "random_signs"
    scaling_regularizer: Any = None
    scaling_constraint: Any = None

    supports_masking = True

    def __post_init__(self):
        check_count(self, "members", self.members)

    def build(self, input_shape):
        features = known_last_axis(self, input_shape)
        if self.scaling_initializer is not None:
            self.scaling = self.add_weight((self.members, features), self.scaling_initializer,
                                           regularizer=self.scaling_regularizer, constraint=self.scaling_constraint)

    def call(self, x):
        if self.scaling_initializer is None:
            return jnp.broadcast_to(x[:, None], (x.shape[0], self.members, *x.shape[1:]))
        return x[:, None] * _beside(self.scaling, x.ndim + 1)

    def compute_mask(self, inputs, mask):
        return jnp.broadcast_to(mask[:, None], (mask.shape[0], self.members, *mask.shape[1:]))


class DenseBatchEnsemble(Layer):
    """A fully connected layer that members share, with scalings and a bias for each of them.

        y[b, m] = activation(((x[b, m] * input_scaling[m]) @ kernel) * output_scaling[m] + bias[m])

    So each member has the kernel `input_scaling[m][:, None] * kernel * output_scaling[m]` for the price of two vectors,
    and one product serves all. The scalings start as ones: let `EnsembleView` give the members different inputs, as
    TabM does, or draw one here (`input_scaling_initializer="random_signs"`), or the members stay the same.

    Shapes: `(batch, members, ..., inputs)` to `(batch, members, ..., units)`; kernel `(inputs, units)`, input_scaling
    `(members, inputs)`, output_scaling and bias `(members, units)`.

    Args:
        units: the number of outputs.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there are biases.
        kernel_initializer, bias_initializer: how the weights start.
        input_scaling_initializer, output_scaling_initializer: how the scalings start; `None` leaves a scaling out.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Reference: Wen, Tran and Ba, BatchEnsemble: An Alternative Approach to Efficient Ensemble and Lifelong Learning
    (2020); with these starts and a bias for each: Gorishniy, Kotelnikov and Babenko, TabM (2024).

    Example:
        >>> import numpy as np
        >>> DenseBatchEnsemble(5)(np.ones((2, 3, 4), "float32")).shape
        (2, 3, 5)
    """

    units: int
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    input_scaling_initializer: Any = "ones"
    output_scaling_initializer: Any = "ones"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    supports_masking = True
    casts_weights = False  # the kernel casts them as it reads them

    def __post_init__(self):
        check_count(self, "units", self.units)
        prepare_activation(self)

    def build(self, input_shape):
        members, inputs = known_members(self, input_shape), known_last_axis(self, input_shape)
        if self.input_scaling_initializer is not None:
            self.input_scaling = self.add_weight((members, inputs), self.input_scaling_initializer)
        self.kernel = self.add_weight((inputs, self.units), self.kernel_initializer,
                                      regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        if self.output_scaling_initializer is not None:
            self.output_scaling = self.add_weight((members, self.units), self.output_scaling_initializer)
        if self.use_bias:
            self.bias = self.add_weight((members, self.units), self.bias_initializer,
                                        regularizer=self.bias_regularizer, constraint=self.bias_constraint)

    def call(self, x):
        dtype = self._bound.computed_dtype(self._origin)
        own = lambda weight: _beside(weight if dtype is None else weight.astype(dtype), x.ndim)
        if self.input_scaling_initializer is not None:
            x = x * own(self.input_scaling)
        y = dense(x, self.kernel, dtype=dtype)
        if self.output_scaling_initializer is not None:
            y = y * own(self.output_scaling)
        if self.use_bias:
            y = y + own(self.bias)
        return self._activate(y)


class DenseEnsemble(Layer):
    """A fully connected layer of which every member has its own: most often the last one, the members' heads.

        y[b, m] = activation(x[b, m] @ kernel[m] + bias[m])

    Shapes: `(batch, members, ..., inputs)` to `(batch, members, ..., units)`; kernel `(members, inputs, units)`, each
    member's drawn as a matrix of its own, bias `(members, units)`.

    Args:
        units: the number of outputs of a member.
        activation: a name or a function on arrays; none by default.
        use_bias: whether there are biases.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights, added to the loss.
        kernel_constraint, bias_constraint: projections of the weights after each update.

    Reference: Gorishniy, Kotelnikov and Babenko, TabM: Advancing Tabular Deep Learning with Parameter-Efficient
    Ensembling (2024).

    Example:
        >>> import numpy as np
        >>> DenseEnsemble(5)(np.ones((2, 3, 4), "float32")).shape
        (2, 3, 5)
    """

    units: int
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None

    supports_masking = True

    def __post_init__(self):
        check_count(self, "units", self.units)
        prepare_activation(self)

    def build(self, input_shape):
        members, inputs = known_members(self, input_shape), known_last_axis(self, input_shape)
        start = functools.partial(_start_each, initializers.get(self.kernel_initializer))
        self.kernel = self.add_weight((members, inputs, self.units), start, regularizer=self.kernel_regularizer,
                                      constraint=self.kernel_constraint)
        if self.use_bias:
            self.bias = self.add_weight((members, self.units), self.bias_initializer,
                                        regularizer=self.bias_regularizer, constraint=self.bias_constraint)

    def call(self, x):
        rows = jnp.moveaxis(x, 1, 0)  # one product for each member, which XLA does faster than the Einstein sum
        flat = rows.reshape(rows.shape[0], math.prod(rows.shape[1:-1]), rows.shape[-1])
        y = jnp.moveaxis((flat @ self.kernel).reshape(*rows.shape[:-1], self.units), 0, 1)
        if self.use_bias:
            y = y + _beside(self.bias, x.ndim)
        return self._activate(y)


class EnsembleMean(Layer):
    """The mean of the members' predictions; in training each member is held against the target by itself.

        y[b] = mean over m of x[b, m]
        loss = mean over m of loss(target, x[b, m])   in training,   loss(target, y[b])   elsewhere

    It is the last layer before an output, behind the heads and their activation: of probabilities it takes the mean of
    probabilities. Metrics, also those of training, see the mean; `Model.predict_members` gives what each predicts.

    Where the network puts out logits (`loss=BinaryCrossentropy(from_logits=True)`), `logits` says of what. Then `y` are
    the logits of the mean probability, `log(mean over m of softmax(x[b, m]))`, and not the mean of the logits.

    Shapes: `(batch, members, ..., outputs)` to `(batch, ..., outputs)`.

    Args:
        logits: `"softmax"` or `"sigmoid"` where the members' outputs are logits of one; `None` takes the plain mean.

    Reference: Lakshminarayanan, Pritzel and Blundell, Simple and Scalable Predictive Uncertainty Estimation Using Deep
    Ensembles (2017); Gorishniy, Kotelnikov and Babenko, TabM (2024), for the loss.

    Example:
        >>> import numpy as np
        >>> EnsembleMean()(np.array([[[0.0], [1.0], [5.0]]])).tolist()
        [[2.0]]
    """

    logits: str | None = None

    supports_masking = True

    def __post_init__(self):
        if self.logits not in _MEANS:
            raise SettingError(f"EnsembleMean: `logits` is 'softmax', 'sigmoid' or None; got {self.logits!r}.")

    def build(self, input_shape):
        known_members(self, input_shape)

    def call(self, x):
        return self._bound.merge_members(self, _MEANS[self.logits], x)

    def compute_mask(self, inputs, mask):
        return mask[:, 0]


def known_members(layer, input_shape) -> int:
    """The number of members, which stands in the axis behind the batch."""
    if not isinstance(input_shape, tuple) or len(input_shape) < 3 or input_shape[1] is None:
        raise ShapeError(f"{type(layer).__name__} takes rows of an ensemble's members, (batch, members, ..., "
                         f"features); got {format_shape(input_shape)}. Put EnsembleView(members) in front of the "
                         f"layers that they share.")
    return input_shape[1]


def _beside(weight, rank: int):
    """A weight `(members, features)` with axes between, so that it meets arrays of that rank."""
    return weight.reshape(weight.shape[0], *[1] * (rank - 3), weight.shape[1])


def _start_each(initializer, key, shape, dtype):
    """A kernel for each member, drawn by itself: `shape` has the members first."""
    if getattr(initializer, "seed", None) is not None:  # it decides the numbers of all, but not the same for each
        key, initializer = seed_words(initializer.seed), copy.copy(initializer)
        initializer.__dict__["seed"] = None
    one = lambda member: initializers.draw(initializer, random.fold_in(key, member), shape[1:], dtype)
    return jax.vmap(one)(jnp.arange(shape[0]))


def _mean_of_softmax(members):
    """The logits of the members' mean probabilities of classes."""
    return _log_mean(jax.nn.log_softmax(members))


def _mean_of_sigmoid(members):
    """The logits of the members' mean probability."""
    return _log_mean(jax.nn.log_sigmoid(members)) - _log_mean(jax.nn.log_sigmoid(-members))


def _log_mean(logarithms):
    """The logarithm of the mean over members, whose logarithms are given."""
    return jax.nn.logsumexp(logarithms, axis=1) - jnp.log(jnp.asarray(logarithms.shape[1], logarithms.dtype))


# How members are made one, by what their outputs are logits of.
_MEANS = MappingProxyType({
    None: functools.partial(jnp.mean, axis=1), "softmax": _mean_of_softmax, "sigmoid": _mean_of_sigmoid})
