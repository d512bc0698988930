"""Activations: functions on arrays, element by element unless said otherwise, shape and floating-point type kept.

Where a function has a corner, its derivative there is the textbook's: that of the flat side (`relu`'s is 0 at 0).
Integers and booleans are read as floating-point numbers.
"""
import jax
import jax.numpy as jnp
from jax import lax

from chainrule.configuration import Registry


def _floating(x) -> jax.Array:
    """`x` as an array of floating-point numbers."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)


def linear(x):
    """The input itself, `f(x) = x`.

    Shapes: any; the output has that of the input.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 6.2.2.1.

    Example:
        >>> linear(2.0).item()
        2.0
    """
    return _floating(x)


def step(x):
    """The Heaviside step, `f(x) = 1` where `x > 0`, else 0; its derivative is 0 everywhere.

    Shapes: any; the output has that of the input.

    Reference: McCulloch and Pitts, A logical calculus of the ideas immanent in nervous activity, 1943.

    Example:
        >>> step(jnp.array([-1.0, 0.0, 2.0])).tolist()
        [0.0, 0.0, 1.0]
    """
    x = _floating(x)
    return (x > 0).astype(x.dtype)


def sigmoid(x):
    """The logistic function, `f(x) = 1 / (1 + exp(-x))`.

    Shapes: any; the output has that of the input.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 6.3.2.

    Example:
        >>> sigmoid(0.0).item()
        0.5
    """
    return lax.logistic(_floating(x))


def hard_sigmoid(x):
    """A sigmoid of three straight pieces, `f(x) = relu6(x + 3) / 6`.

    Shapes: any; the output has that of the input.

    Reference: Howard and others, Searching for MobileNetV3, 2019.

    Example:
        >>> hard_sigmoid(jnp.array([-4.0, 0.0, 4.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    return relu6(_floating(x) + 3) / 6


def sparse_sigmoid(x):
    """A sigmoid with a short slope, `f(x) = (x + 1) / 2` between -1 and 1, 0 below, 1 above.

    Shapes: any; the output has that of the input.

    Reference: Courbariaux, Bengio and David, BinaryConnect, 2015; Martins and Astudillo, From softmax to sparsemax,
    2016 (for two classes).

    Example:
        >>> sparse_sigmoid(jnp.array([-2.0, 0.0, 2.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    return (hard_tanh(x) + 1) / 2


def log_sigmoid(x):
    """The logarithm of the sigmoid, `f(x) = -softplus(-x)`, exact where the sigmoid itself would be 0.

    Shapes: any; the output has that of the input.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 3.10.

    Example:
        >>> log_sigmoid(-1000.0).item()
        -1000.0
    """
    return -softplus(-_floating(x))


def tanh(x):
    """The hyperbolic tangent, `f(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x))`.

    Shapes: any; the output has that of the input.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 6.3.2.

    Example:
        >>> tanh(0.0).item()
        0.0
    """
    return jnp.tanh(_floating(x))


def hard_tanh(x):
    """`x` held between -1 and 1, `f(x) = min(max(x, -1), 1)`.

    Shapes: any; the output has that of the input.

    Reference: Collobert, Large scale machine learning, 2004.

    Example:
        >>> hard_tanh(jnp.array([-3.0, 0.5, 3.0])).tolist()
        [-1.0, 0.5, 1.0]
    """
    x = _floating(x)
    return jnp.where(x <= -1, -1, jnp.where(x >= 1, 1, x))


def tanh_shrink(x):
    """`f(x) = x - tanh(x)`.

    Shapes: any; the output has that of the input.

    Reference: PyTorch's `Tanhshrink`.

    Example:
        >>> tanh_shrink(0.0).item()
        0.0
    """
    x = _floating(x)
    return x - jnp.tanh(x)


def relu(x):
    """The rectified linear unit, `f(x) = max(x, 0)`.

    Shapes: any; the output has that of the input.

    Reference: Nair and Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.

    Example:
        >>> relu(jnp.array([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """
    return jax.nn.relu(_floating(x))


def relu6(x):
    """The rectified linear unit with a ceiling, `f(x) = min(max(x, 0), 6)`.

    Shapes: any; the output has that of the input.

    Reference: Krizhevsky, Convolutional deep belief networks on CIFAR-10, 2010.

    Example:
        >>> relu6(jnp.array([-1.0, 2.0, 9.0])).tolist()
        [0.0, 2.0, 6.0]
    """
    x = _floating(x)
    return jnp.where(x <= 0, 0, jnp.where(x >= 6, 6, x))


def leaky_relu(x, negative_slope=0.2):
    """The rectified linear unit with a leak, `f(x) = x` where `x > 0`, else `negative_slope * x`.

    Shapes: any; the output has that of the input.

    Reference: Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models, 2013.

    Example:
        >>> leaky_relu(jnp.array([-1.0, 2.0]), negative_slope=0.5).tolist()
        [-0.5, 2.0]
    """
    x = _floating(x)
    return jnp.where(x > 0, x, negative_slope * x)


def elu(x, alpha=1.0):
    """The exponential linear unit, `f(x) = x` where `x > 0`, else `alpha * (exp(x) - 1)`.

    Shapes: any; the output has that of the input.

    Reference: Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by ELUs, 2015.

    Example:
        >>> elu(jnp.array([-1000.0, 2.0])).tolist()
        [-1.0, 2.0]
    """
    x = _floating(x)
    return jnp.where(x > 0, x, alpha * jnp.expm1(_negative_part(x)))


def selu(x):
    """The scaled exponential linear unit, `f(x) = 1.0507 * elu(x, alpha=1.6733)`, which keeps mean 0 and variance 1.

    Shapes: any; the output has that of the input.

    Reference: Klambauer, Unterthiner, Mayr and Hochreiter, Self-normalizing neural networks, 2017.

    Example:
        >>> round(selu(1.0).item(), 4)
        1.0507
    """
    return 1.0507009873554805 * elu(x, alpha=1.6732632423543772)


def celu(x, alpha=1.0):
    """The exponential linear unit of continuous slope, `f(x) = x` where `x > 0`, else `alpha * (exp(x / alpha) - 1)`.

    Shapes: any; the output has that of the input.

    Reference: Barron, Continuously differentiable exponential linear units, 2017.

    Example:
        >>> celu(jnp.array([-1000.0, 2.0]), alpha=0.5).tolist()
        [-0.5, 2.0]
    """
    x = _floating(x)
    return jnp.where(x > 0, x, alpha * jnp.expm1(_negative_part(x) / alpha))


def _negative_part(x):
    """`x` where it is negative and 0 elsewhere: what an exponential may see without overflow on the side not taken."""
    return jnp.where(x > 0, 0, x)


def gelu(x, approximate=False):
    """The Gaussian error linear unit, `f(x) = x * P(normal <= x) = x / 2 * (1 + erf(x / sqrt(2)))`.

    Shapes: any; the output has that of the input.

    Args:
        x: an array.
        approximate: whether to use `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))` instead.

    Reference: Hendrycks and Gimpel, Gaussian error linear units, 2016.

    Example:
        >>> round(gelu(1.0).item(), 4)
        0.8413
    """
    return jax.nn.gelu(_floating(x), approximate=approximate)


def silu(x):
    """The sigmoid linear unit, also known as swish, `f(x) = x * sigmoid(x)`.

    Shapes: any; the output has that of the input.

    Reference: Elfwing, Uchibe and Doya, Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning, 2017; Ramachandran, Zoph and Le, Searching for activation functions, 2017.

    Example:
        >>> round(silu(1.0).item(), 4)
        0.7311
    """
    x = _floating(x)
    return x * lax.logistic(x)


def hard_silu(x):
    """The sigmoid linear unit made of pieces, also known as hard swish, `f(x) = x * hard_sigmoid(x)`.

    Shapes: any; the output has that of the input.

    Reference: Howard and others, Searching for MobileNetV3, 2019.

    Example:
        >>> hard_silu(jnp.array([-1.5, 3.0])).tolist()
        [-0.375, 3.0]
    """
    x = _floating(x)
    return x * hard_sigmoid(x)


def mish(x):
    """`f(x) = x * tanh(softplus(x))`.

    Shapes: any; the output has that of the input.

    Reference: Misra, Mish: a self regularized non-monotonic activation function, 2019.

    Example:
        >>> round(mish(1.0).item(), 4)
        0.8651
    """
    x = _floating(x)
    return x * jnp.tanh(softplus(x))


def softplus(x):
    """A smooth rectified linear unit, `f(x) = log(1 + exp(x))`.

    Shapes: any; the output has that of the input.

    Reference: Dugas, Bengio, Bélisle, Nadeau and Garcia, Incorporating second-order functional knowledge for better
    option pricing, 2001.

    Example:
        >>> softplus(1000.0).item()
        1000.0
    """
    return jax.nn.softplus(_floating(x))


def squareplus(x, b=4):
    """A smooth rectified linear unit without an exponential, `f(x) = (x + sqrt(x ** 2 + b)) / 2`.

    Shapes: any; the output has that of the input.

    Reference: Barron, Squareplus: a softplus-like algebraic rectifier, 2021.

    Example:
        >>> squareplus(0.0).item()
        1.0
    """
    x = _floating(x)
    return (x + jnp.sqrt(x * x + b)) / 2


def sparse_plus(x):
    """A rectified linear unit with a rounded corner, `f(x) = (x + 1) ** 2 / 4` between -1 and 1, else `max(x, 0)`.

    Its derivative is `sparse_sigmoid`.

    Shapes: any; the output has that of the input.

    Reference: Martins and Astudillo, From softmax to sparsemax, 2016 (its loss for two classes).

    Example:
        >>> sparse_plus(jnp.array([-2.0, 0.0, 2.0])).tolist()
        [0.0, 0.25, 2.0]
    """
    x = _floating(x)
    return jnp.where(x <= -1, 0, jnp.where(x >= 1, x, (x + 1) ** 2 / 4))


def softsign(x):
    """`f(x) = x / (1 + |x|)`.

    Shapes: any; the output has that of the input.

    Reference: Bergstra, Desjardins, Lamblin and Bengio, Quadratic polynomials learn better image features, 2009.

    Example:
        >>> softsign(jnp.array([-1.0, 1.0])).tolist()
        [-0.5, 0.5]
    """
    x = _floating(x)
    return x / (1 + jnp.abs(x))


def exponential(x):
    """`f(x) = exp(x)`.

    Shapes: any; the output has that of the input.

    Reference: McCullagh and Nelder, Generalized linear models, 1989 (the inverse of the logarithmic link).

    Example:
        >>> exponential(0.0).item()
        1.0
    """
    return jnp.exp(_floating(x))


def threshold(x, threshold=0.0, default_value=0.0):
    """`f(x) = x` where `x > threshold`, else `default_value`.

    Shapes: any; the output has that of the input.

    Reference: Konda, Memisevic and Krueger, Zero-bias autoencoders and the benefits of co-adapting features, 2014.

    Example:
        >>> threshold(jnp.array([0.5, 2.0]), 1.0, -1.0).tolist()
        [-1.0, 2.0]
    """
    x = _floating(x)
    return jnp.where(x > threshold, x, default_value)


def hard_shrink(x, threshold=0.5):
    """`f(x) = x` where `|x| > threshold`, else 0.

    Shapes: any; the output has that of the input.

    Reference: Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994.

    Example:
        >>> hard_shrink(jnp.array([-2.0, 0.3, 2.0])).tolist()
        [-2.0, 0.0, 2.0]
    """
    x = _floating(x)
    return jnp.where(jnp.abs(x) > threshold, x, 0)


def soft_shrink(x, threshold=0.5):
    """`x` moved towards 0 by `threshold`, `f(x) = sign(x) * max(|x| - threshold, 0)`.

    Shapes: any; the output has that of the input.

    Reference: Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994.

    Example:
        >>> soft_shrink(jnp.array([-2.0, 0.3, 2.0])).tolist()
        [-1.5, 0.0, 1.5]
    """
    x = _floating(x)
    return jnp.where(x > threshold, x - threshold, jnp.where(x < -threshold, x + threshold, 0))


def glu(x, axis=-1):
    """The gated linear unit: with `x` cut into halves `a` and `b` along `axis`, `f(x) = a * sigmoid(b)`.

    The axis must be of even length.

    Shapes: `(..., 2 * n)` to `(..., n)`, for the last axis.

    Reference: Dauphin, Fan, Auli and Grangier, Language modeling with gated convolutional networks, 2016.

    Example:
        >>> glu(jnp.array([3.0, 0.0])).tolist()
        [1.5]
    """
    values, gates = jnp.split(_floating(x), 2, axis=axis)
    return values * lax.logistic(gates)


def softmax(x, axis=-1):
    """Probabilities from scores, `f(x)[k] = exp(x[k]) / sum over j of exp(x[j])`, the sum along `axis`.

    Shapes: any; the output has that of the input.

    Reference: Bridle, Probabilistic interpretation of feedforward classification network outputs, 1990.

    Example:
        >>> softmax(jnp.array([0.0, 0.0])).tolist()
        [0.5, 0.5]
    """
    return jax.nn.softmax(_floating(x), axis=axis)


def log_softmax(x, axis=-1):
    """The logarithm of the softmax, `f(x)[k] = x[k] - log(sum over j of exp(x[j]))`, the sum along `axis`.

    Shapes: any; the output has that of the input.

    Reference: Goodfellow, Bengio and Courville, Deep learning, 2016, section 6.2.2.3.

    Example:
        >>> log_softmax(jnp.array([0.0, -1000.0])).tolist()
        [0.0, -1000.0]
    """
    return jax.nn.log_softmax(_floating(x), axis=axis)


def sparsemax(x, axis=-1):
    """The point of the probability simplex nearest to the scores: like softmax, but small probabilities become 0.

    `f(x) = max(x - t, 0)` with the `t` that makes the sum along `axis` 1: for the `k` largest scores that stay
    positive, `t = (their sum - 1) / k`.

    Shapes: any; the output has that of the input.

    Reference: Martins and Astudillo, From softmax to sparsemax, 2016.

    Example:
        >>> sparsemax(jnp.array([0.0, 0.5, -1.0])).tolist()
        [0.25, 0.75, 0.0]
    """
    x = jnp.moveaxis(_floating(x), axis, -1)
    descending = -jnp.sort(-x, axis=-1)
    counts = jnp.arange(1, x.shape[-1] + 1).astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
    inside = counts * descending > jnp.cumsum(descending, axis=-1) - 1
    number = jnp.sum(inside, axis=-1, keepdims=True).astype(x.dtype)
    shift = (jnp.sum(jnp.where(inside, descending, 0), axis=-1, keepdims=True) - 1) / number
    return jnp.moveaxis(relu(x - shift), -1, axis)


swish, hard_swish = silu, hard_silu

registry = Registry("activation", [
    linear, step, sigmoid, hard_sigmoid, sparse_sigmoid, log_sigmoid, tanh, hard_tanh, tanh_shrink, relu, relu6,
    leaky_relu, elu, selu, celu, gelu, silu, hard_silu, mish, softplus, squareplus, sparse_plus, softsign, exponential,
    threshold, hard_shrink, soft_shrink, glu, softmax, log_softmax, sparsemax,
], aliases={"swish": silu, "hard_swish": hard_silu})
get = registry.get
