"""Initialisers: how the first values of a weight array are drawn.

An initialiser is settings; the key, the shape and the type come with the call, and the same ones give the same numbers.
A weight's fans are the numbers of inputs and outputs that one of its entries joins: of a dense layer's
`(inputs, outputs)` those two, of a convolution's `(*spatial, inputs, outputs)` those two times the kernel's size.
"""
import inspect
import math
from dataclasses import field

import jax
import jax.numpy as jnp
import numpy as np

from chainrule.configuration import Configurable, Registry
from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.ops import random


class Initializer(Configurable):
    """What initialisers have in common; a subclass writes `draw(self, key, shape, dtype)`, which returns an array.

    Args:
        seed: an integer that decides the numbers whatever key a network hands in, so that two layers with the same
            seed start alike; `None` leaves them to the key.

    Example:
        >>> class Alternating(Initializer):
        ...     def draw(self, key, shape, dtype):
        ...         return (-1.0) ** jnp.arange(math.prod(shape)).reshape(shape).astype(dtype)
        >>> Alternating()((3,)).tolist()
        [1.0, -1.0, 1.0]
    """

    kind = "initializer"

    seed: int | None = field(default=None, kw_only=True)

    def draw(self, key, shape, dtype):
        """An array of that shape and type; `key` decides random numbers."""
        raise NotImplementedError(f"{type(self).__name__} has no draw(self, key, shape, dtype).")

    def __call__(self, shape, dtype="float32", key=None):
        """An array, drawn with `key`, or where there is none with the seed (0 by default)."""
        return self.draw(_seed_key(self.seed or 0) if key is None else key, tuple(shape), jnp.dtype(dtype))


class Zeros(Initializer):
    """Every value 0: `w = 0`.

    Shapes: any, as asked for.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 8.4.

    Example:
        >>> Zeros()((2,)).tolist()
        [0.0, 0.0]
    """

    def draw(self, key, shape, dtype):
        return jnp.zeros(shape, dtype)


class Ones(Initializer):
    """Every value 1: `w = 1`.

    Shapes: any, as asked for.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 8.4.

    Example:
        >>> Ones()((2,)).tolist()
        [1.0, 1.0]
    """

    def draw(self, key, shape, dtype):
        return jnp.ones(shape, dtype)


class Constant(Initializer):
    """Every value the same: `w = value`.

    Shapes: any, as asked for.

    Args:
        value: a number, or an array that can be broadcast to the weight's shape.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 8.4.

    Example:
        >>> Constant(3.0)((2,)).tolist()
        [3.0, 3.0]
    """

    value: float = 0.0

    def draw(self, key, shape, dtype):
        value = jnp.asarray(self.value, dtype)
        if value.ndim > len(shape) or any(size not in (1, wanted) for size, wanted in zip(
                reversed(value.shape), reversed(shape), strict=False)):
            raise ShapeError(f"Constant: a value of shape {format_shape(value.shape)} cannot fill a weight of shape "
                             f"{format_shape(shape)}. Give a number, or an array of the weight's shape.")
        return jnp.broadcast_to(value, shape)


class RandomUniform(Initializer):
    """Uniform numbers, `minval <= w < maxval`.

    Shapes: any, as asked for.

    Args:
        minval: the lower end.
        maxval: the upper end.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 8.4.

    Example:
        >>> w = RandomUniform(-0.01, 0.01)((1000,))
        >>> bool((w >= -0.01).all() and (w < 0.01).all())
        True
    """

    minval: float = -0.05
    maxval: float = 0.05

    def draw(self, key, shape, dtype):
        return random.uniform(key, shape, dtype, self.minval, self.maxval)


class RandomNormal(Initializer):
    """Numbers from a normal distribution, `w ~ Normal(mean, stddev ** 2)`.

    Shapes: any, as asked for.

    Args:
        mean: its mean.
        stddev: its standard deviation.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 8.4.

    Example:
        >>> round(RandomNormal(stddev=2.0)((10_000,)).std().item(), 1)
        2.0
    """

    mean: float = 0.0
    stddev: float = 0.05

    def draw(self, key, shape, dtype):
        return self.mean + self.stddev * random.normal(key, shape, dtype)


class RandomSigns(Initializer):
    """Each value 1 or -1, as often the one as the other: `w ~ Uniform({-1, 1})`.

    Shapes: any, as asked for.

    Reference: Wen, Tran and Ba, BatchEnsemble: an alternative approach to efficient ensemble and lifelong learning,
    2020.

    Example:
        >>> sorted(set(RandomSigns()((100,)).tolist()))
        [-1.0, 1.0]
    """

    def draw(self, key, shape, dtype):
        return jnp.where(random.bernoulli(key, 0.5, shape), 1, -1).astype(dtype)


class TruncatedNormal(Initializer):
    """Numbers `w ~ Normal(mean, stddev ** 2)`, drawn again where `|w - mean| > 2 * stddev`.

    Shapes: any, as asked for.

    Args:
        mean: the mean.
        stddev: the standard deviation before truncation; what is left has 0.88 of it.

    Reference: Johnson, Kotz and Balakrishnan, Continuous univariate distributions, volume 1, 1994, chapter 13.

    Example:
        >>> bool((abs(TruncatedNormal(stddev=1.0)((1000,))) <= 2).all())
        True
    """

    mean: float = 0.0
    stddev: float = 0.05

    def draw(self, key, shape, dtype):
        return self.mean + self.stddev * random.truncated_normal(key, shape, dtype)


class VarianceScaling(Initializer):
    """Numbers of mean 0 and variance `scale / fan`, so that signals keep their size through the layers.

    Shapes: any, as asked for; the fans of `(*window, inputs, outputs)` are `inputs` and `outputs`, each times the size
    of the window.

    Args:
        scale: the factor of the variance.
        mode: `"fan_in"`, `"fan_out"` or `"fan_avg"` (the mean of both): which fan divides.
        distribution: `"truncated_normal"`, `"untruncated_normal"` or `"uniform"`.

    Reference: He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015.

    Example:
        >>> round(VarianceScaling(2.0, "fan_in", "uniform")((100, 500)).var().item() * 100, 1)
        2.0
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def __post_init__(self):
        if not self.scale > 0:
            raise SettingError(f"VarianceScaling: scale is a number above 0; got {self.scale!r}.")
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise SettingError(f"VarianceScaling: mode is 'fan_in', 'fan_out' or 'fan_avg'; got {self.mode!r}.")
        if self.distribution not in ("truncated_normal", "untruncated_normal", "normal", "uniform"):
            raise SettingError("VarianceScaling: distribution is 'truncated_normal', 'untruncated_normal' or "
                               f"'uniform'; got {self.distribution!r}.")

    def draw(self, key, shape, dtype):
        return scaled_variance(key, shape, dtype, self.scale, self.mode, self.distribution)


class GlorotUniform(Initializer):
    """Numbers uniform within `sqrt(6 / (fan_in + fan_out))` of 0; the usual choice for kernels.

    Shapes: any, as asked for.

    Reference: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Example:
        >>> bool((abs(GlorotUniform()((4, 2))) <= 1).all())
        True
    """

    def draw(self, key, shape, dtype):
        return scaled_variance(key, shape, dtype, 1.0, "fan_avg", "uniform")


class GlorotNormal(Initializer):
    """Truncated normal numbers of variance `2 / (fan_in + fan_out)`.

    Shapes: any, as asked for.

    Reference: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.

    Example:
        >>> round(GlorotNormal()((200, 200)).var().item() * 200, 1)
        1.0
    """

    def draw(self, key, shape, dtype):
        return scaled_variance(key, shape, dtype, 1.0, "fan_avg", "truncated_normal")


class HeUniform(Initializer):
    """Numbers uniform within `sqrt(6 / fan_in)` of 0; for layers with rectified linear units.

    Shapes: any, as asked for.

    Reference: He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015.

    Example:
        >>> bool((abs(HeUniform()((6, 2))) <= 1).all())
        True
    """

    def draw(self, key, shape, dtype):
        return scaled_variance(key, shape, dtype, 2.0, "fan_in", "uniform")


class HeNormal(Initializer):
    """Truncated normal numbers of variance `2 / fan_in`; for layers with rectified linear units.

    Shapes: any, as asked for.

    Reference: He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015.

    Example:
        >>> round(HeNormal()((200, 200)).var().item() * 200, 1)
        2.0
    """

    def draw(self, key, shape, dtype):
        return scaled_variance(key, shape, dtype, 2.0, "fan_in", "truncated_normal")


class LecunUniform(Initializer):
    """Numbers uniform within `sqrt(3 / fan_in)` of 0.

    Shapes: any, as asked for.

    Reference: LeCun, Bottou, Orr and Müller, Efficient backprop, 1998.

    Example:
        >>> bool((abs(LecunUniform()((3, 2))) <= 1).all())
        True
    """

    def draw(self, key, shape, dtype):
        return scaled_variance(key, shape, dtype, 1.0, "fan_in", "uniform")


class LecunNormal(Initializer):
    """Truncated normal numbers of variance `1 / fan_in`; for layers with scaled exponential linear units.

    Shapes: any, as asked for.

    Reference: LeCun, Bottou, Orr and Müller, Efficient backprop, 1998; Klambauer and others, Self-normalizing neural
    networks, 2017.

    Example:
        >>> round(LecunNormal()((200, 200)).var().item() * 200, 1)
        1.0
    """

    def draw(self, key, shape, dtype):
        return scaled_variance(key, shape, dtype, 1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """A random matrix of orthonormal columns (rows, where there are fewer), `w.T @ w = gain ** 2 * I`; for recurrent
    kernels.

    Shapes: two axes or more; the weight is read as a matrix of all axes but the last by the last.

    Args:
        gain: the factor.

    Reference: Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning, 2013.

    Example:
        >>> w = Orthogonal()((5, 3))
        >>> bool(jnp.allclose(w.T @ w, jnp.eye(3), atol=1e-5))
        True
    """

    gain: float = 1.0

    def draw(self, key, shape, dtype):
        if len(shape) < 2:
            raise ShapeError("Orthogonal: the weight has two axes or more; got the shape " + format_shape(shape) + ".")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        wide = dtype if jnp.dtype(dtype).itemsize >= 4 else "float32"  # what a decomposition is computed in
        numbers = random.normal(key, (max(rows, columns), min(rows, columns)), wide)
        q, r = jnp.linalg.qr(numbers)
        q = q * jnp.where(jnp.diagonal(r) < 0, -1, 1)[None]  # the signs that make every such matrix equally likely
        return (self.gain * (q.T if rows < columns else q)).reshape(shape).astype(dtype)


class Identity(Initializer):
    """The identity matrix times `gain`: `w[i, j] = gain` where `i = j`, else 0.

    Shapes: `(rows, columns)`.

    Args:
        gain: the factor.

    Reference: Le, Jaitly and Hinton, A simple way to initialize recurrent networks of rectified linear units, 2015.

    Example:
        >>> Identity()((2, 2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    gain: float = 1.0

    def draw(self, key, shape, dtype):
        if len(shape) != 2:
            raise ShapeError("Identity: the weight has two axes; got the shape " + format_shape(shape) + ".")
        return self.gain * jnp.eye(*shape, dtype=dtype)


def scaled_variance(key, shape, dtype, scale: float, mode: str, distribution: str):
    """Numbers of mean 0 and variance `scale / fan`, as `VarianceScaling` describes.

    Example:
        >>> scaled_variance(jnp.zeros(2, "uint32"), (3, 4), "float32", 1.0, "fan_avg", "uniform").shape
        (3, 4)
    """
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    root = jnp.sqrt if isinstance(scale, jax.core.Tracer) else math.sqrt  # one program may serve many scales
    deviation = root(scale / max(1.0, fan))
    if distribution == "uniform":
        limit = math.sqrt(3) * deviation
        return random.uniform(key, shape, dtype, -limit, limit)
    if distribution == "untruncated_normal":
        return deviation * random.normal(key, shape, dtype)
    return deviation / 0.87962566103423978 * random.truncated_normal(key, shape, dtype)  # what truncation left of 1


def fans(shape) -> tuple[int, int]:
    """How many inputs and outputs one entry of a weight of that shape joins.

    Example:
        >>> fans((784, 100)), fans((3, 3, 16, 32))
        ((784, 100), (144, 288))
    """
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    *spatial, inputs, outputs = shape
    return math.prod(spatial) * inputs, math.prod(spatial) * outputs


def draw(initializer, key, shape, dtype="float32"):
    """An array from an initialiser or from a function of the user's.

    Args:
        initializer: an `Initializer`, a name, or a function: `f(shape, dtype)` as Keras calls it (`dtype` may be left
            out), or `f(key, shape, dtype)` as JAX does. A function may return a NumPy array.
        key: a JAX key or its two words. An initialiser with a seed of its own takes that instead.
        shape: the weight's shape.
        dtype: the weight's type, which the result is converted to.

    Raises:
        ShapeError: the result has another shape.

    Example:
        >>> draw(lambda shape, dtype: np.full(shape, 2.0), jnp.zeros(2, "uint32"), (2,)).tolist()
        [2.0, 2.0]
    """
    initializer, shape, dtype = get(initializer), tuple(shape), jnp.dtype(dtype)
    if isinstance(initializer, Initializer):
        made = initializer.draw(key if initializer.seed is None else _seed_key(initializer.seed), shape, dtype)
    else:
        made = _call_function(initializer, key, shape, dtype)
    made = jnp.asarray(made, dtype)
    if made.shape != shape:
        name = getattr(initializer, "__name__", None) or type(initializer).__name__
        raise ShapeError(f"The initializer {name} was asked for an array of shape {format_shape(shape)} and returned "
                         f"one of shape {format_shape(made.shape)}.")
    return made


def _call_function(function, key, shape, dtype):
    """A user's function, called as its parameters ask: with a key first (JAX) or without (Keras)."""
    parameters = inspect.signature(function).parameters
    names = [name for name, parameter in parameters.items()
             if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)]
    if names[:1] == ["key"] or (len(names) >= 3 and names[0] != "shape"):
        return function(key, shape, dtype)
    if len(names) >= 2:
        return function(shape, dtype)
    return function(shape, dtype=dtype) if "dtype" in parameters else function(shape)


def _seed_key(seed: int):
    """The two words of the key that a seed stands for, as `jax.random.key(seed)` has them."""
    return np.array([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)


registry = Registry("initializer", [
    Zeros, Ones, Constant, RandomUniform, RandomNormal, RandomSigns, TruncatedNormal, VarianceScaling, GlorotUniform,
    GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal, Identity,
], aliases={
    "zero": Zeros, "one": Ones, "uniform": RandomUniform, "normal": RandomNormal, "xavier_uniform": GlorotUniform,
    "xavier_normal": GlorotNormal, "kaiming_uniform": HeUniform, "kaiming_normal": HeNormal,
})
get = registry.get
