"""What layers, losses and penalties compute, as functions of sympy expressions."""
import inspect
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import sympy

from chainrule import activations, layers, losses, regularizers
from chainrule.errors import SettingError, format_shape

# Functions whose derivatives are written in a form of our choice


class _Primitive(sympy.Function):
    """A function whose derivative is to be written in a form of our choice; `written_out` before anybody sees it."""

    def written_out(self):
        """The function in terms of sympy's own."""
        raise NotImplementedError


class _Step(_Primitive):
    """1 where `z > 0`, else 0; the derivative is 0 at 0 too."""

    def written_out(self):
        return sympy.Heaviside(self.args[0], 0)

    def fdiff(self, argindex=1):
        return sympy.Integer(0)


class _PositivePart(_Primitive):
    """`max(z, 0)`, whose derivative at 0 is 0."""

    def written_out(self):
        return sympy.Max(self.args[0], 0)

    def fdiff(self, argindex=1):
        return _Step(self.args[0])


class _NegativePart(_Primitive):
    """`min(z, 0)`, whose derivative at 0 is 1."""

    def written_out(self):
        return sympy.Min(self.args[0], 0)

    def fdiff(self, argindex=1):
        return 1 - _Step(self.args[0])


class _Softplus(_Primitive):
    """`log(1 + exp(z))`, its derivative written as a sigmoid."""

    def written_out(self):
        return sympy.log(1 + sympy.exp(self.args[0]))

    def fdiff(self, argindex=1):
        return _sigmoid(self.args[0])


class _LogSumExp(_Primitive):
    """`log(sum over j of exp(z[j]))`, its derivative written as a softmax."""

    def written_out(self):
        return sympy.log(sum(map(sympy.exp, self.args)))

    def fdiff(self, argindex=1):
        return sympy.exp(self.args[argindex - 1]) / sum(map(sympy.exp, self.args))


def written_out(expression):
    """A formula in terms of sympy's own functions."""
    return expression.replace(lambda part: isinstance(part, _Primitive), lambda part: part.written_out())


# The same formulas for numbers of any size


class LogSumExp(sympy.Function):
    """`log(sum over j of exp(z[j]))` as a function that does not overflow; printed as source, never shown."""

    is_real = True

    @classmethod
    def eval(cls, *exponents):
        if not all(exponent.is_number for exponent in exponents):
            return None
        largest = max(exponent.evalf() for exponent in exponents)
        return largest + sympy.log(sum(sympy.exp(exponent.evalf() - largest) for exponent in exponents))


def without_overflow(expression):
    """A formula in which no exponential grows beyond what comes out of it.

        log(sum over j of exp(z[j]))         =  LogSumExp(z)
        exp(a) / (sum over j of exp(z[j]))   =  exp(a - LogSumExp(z))        a sigmoid: 1 / (1 + exp(-z))

    Such a sum is written with the largest `z[j]` taken out where it is computed; `LogSumExp` does so.
    """
    expression = expression.replace(_divides_or_is_logarithm, _by_log_sum_exp)
    return expression.replace(lambda part: part.is_Mul and part.has(sympy.exp), _in_one_exponential)


def _divides_or_is_logarithm(part) -> bool:
    inner = part.args[0] if isinstance(part, sympy.log) else part.base if _is_divisor(part) else None
    return inner is not None and _exponents(inner) is not None


def _is_divisor(part) -> bool:
    return isinstance(part, sympy.Pow) and bool(part.exp.is_negative) and part.exp.is_Number


def _by_log_sum_exp(part):
    exponents = _exponents(part.args[0])
    logarithm = exponents[0] if len(exponents) == 1 else LogSumExp(*sympy.ordered(exponents))
    return logarithm if isinstance(part, sympy.log) else sympy.exp(part.exp * logarithm)


def _in_one_exponential(product):
    powers = [factor for factor in product.args if isinstance(factor, sympy.exp)]
    others = [factor for factor in product.args if not isinstance(factor, sympy.exp)]
    return sympy.Mul(*others, sympy.exp(sum(power.args[0] for power in powers))) if powers else product


def _exponents(total) -> list | None:
    """The `z[j]` of a sum of exponentials, `1` being that of 0; `None` where there is anything else in it."""
    exponents = []
    for term in sympy.Add.make_args(total):
        factor, rest = term.as_coeff_Mul()
        if not factor.is_positive or not (rest == 1 or isinstance(rest, sympy.exp)):
            return None
        exponents.append(sympy.log(factor) + (0 if rest == 1 else rest.args[0]))
    return exponents if total.has(sympy.exp) else None


# Activations


def _sigmoid(z):
    return 1 / (1 + sympy.exp(-z))


def _each(formula: Callable) -> Callable[[list], list]:
    """A function of one entry as a function of all."""
    return lambda entries: [formula(entry) for entry in entries]


def _softmax(z):
    return [sympy.exp(entry) / sum(map(sympy.exp, z)) for entry in z]


def _log_softmax(z):
    return [entry - _LogSumExp(*z) for entry in z]


def _elu(z, alpha):
    return _PositivePart(z) + _number(alpha) * (sympy.exp(_NegativePart(z)) - 1)


def _leaky_relu(z, negative_slope):
    return _PositivePart(z) + _number(negative_slope) * _NegativePart(z)


def _relu_layer(layer):
    """The formula of a ReLU layer with its settings."""
    threshold, slope = _number(layer.threshold), _number(layer.negative_slope)
    ceiling = sympy.oo if layer.max_value is None else _number(layer.max_value)

    def formula(z):
        above = z if layer.max_value is None else ceiling + _NegativePart(z - ceiling)
        return above * _Step(z - threshold) + slope * _NegativePart(z - threshold)

    return _each(_PositivePart if (threshold, slope, ceiling) == (0, 0, sympy.oo) else formula)


ACTIVATIONS = MappingProxyType({
    activations.linear: list,
    activations.step: _each(_Step),
    activations.sigmoid: _each(_sigmoid),
    activations.log_sigmoid: _each(lambda z: -_Softplus(-z)),
    activations.tanh: _each(sympy.tanh),
    activations.relu: _each(_PositivePart),
    activations.leaky_relu: _each(lambda z: _leaky_relu(z, _default(activations.leaky_relu, "negative_slope"))),
    activations.elu: _each(lambda z: _elu(z, _default(activations.elu, "alpha"))),
    activations.softplus: _each(_Softplus),
    activations.softsign: _each(lambda z: z / (1 + sympy.Abs(z))),
    activations.silu: _each(lambda z: z * _sigmoid(z)),
    activations.exponential: _each(sympy.exp),
    activations.softmax: _softmax,
    activations.log_softmax: _log_softmax,
})

ACTIVATION_LAYERS = MappingProxyType({
    layers.ReLU: _relu_layer,
    layers.LeakyReLU: lambda layer: _each(lambda z: _leaky_relu(z, layer.negative_slope)),
    layers.ELU: lambda layer: _each(lambda z: _elu(z, layer.alpha)),
})


def _default(function: Callable, setting: str):
    """What a function takes where a setting is left out."""
    return inspect.signature(function).parameters[setting].default


# Losses: formulas of the loss (its settings), the target's symbols, the output, and whether that is in logits


def _mean(entries):
    return sum(entries) / sympy.Integer(len(entries))


def _entrywise(formula: Callable) -> Callable:
    """The mean of a function of a target and an output."""
    return lambda loss, y, p, logits: _mean([formula(*pair) for pair in zip(y, p, strict=True)])


def _binary_crossentropy(loss, y, p, logits):
    smoothing = _number(loss.label_smoothing)
    y = [target * (1 - smoothing) + smoothing / 2 for target in y]
    if logits:
        return _mean([_Softplus(z) - target * z for target, z in zip(y, p, strict=True)])
    return _mean([-target * sympy.log(q) - (1 - target) * sympy.log(1 - q) for target, q in zip(y, p, strict=True)])


def _categorical_crossentropy(loss, y, p, logits):
    smoothing = _number(loss.label_smoothing)
    y = [target * (1 - smoothing) + smoothing / len(y) for target in y]
    return _crossentropy(y, p, logits, sum(y))


def _sparse_categorical_crossentropy(loss, y, p, logits):
    (label,) = y
    value = _crossentropy([sympy.KroneckerDelta(index, label) for index in range(len(p))], p, logits, 1)
    ignored = 0 if loss.ignore_class is None else sympy.KroneckerDelta(loss.ignore_class, label)
    return (1 - ignored) * value


def _crossentropy(y, p, logits, total):
    """`-sum over k of y[k] * log(p[k])`, for `y` that sum to `total` and `p` divided by their sum."""
    if logits:
        return total * _LogSumExp(*p) - sum(target * z for target, z in zip(y, p, strict=True))
    return total * sympy.log(sum(p)) - sum(target * sympy.log(q) for target, q in zip(y, p, strict=True))


def _function(loss, y, p, logits):
    """A function of the user's."""
    try:
        value = loss.function(np.array(y), np.array(p))
        (value,) = np.ravel(value)
        return sympy.sympify(value)
    except (TypeError, ValueError, AttributeError, sympy.SympifyError) as error:
        raise SettingError(
            f"The loss {loss.label!r} did not give one formula. It is called on two arrays of sympy symbols, target "
            f"and output, each of shape {format_shape((len(p),))}, and must return one expression made by operators "
            f"and functions of sympy: lambda y, p: ((y - p) ** 2).mean(axis=-1).") from error


LOSSES = MappingProxyType({
    losses.MeanSquaredError: _entrywise(lambda y, p: (p - y) ** 2),
    losses.MeanAbsoluteError: _entrywise(lambda y, p: sympy.Abs(p - y)),
    losses.BinaryCrossentropy: _binary_crossentropy,
    losses.CategoricalCrossentropy: _categorical_crossentropy,
    losses.SparseCategoricalCrossentropy: _sparse_categorical_crossentropy,
    losses.Hinge: _entrywise(lambda y, p: _PositivePart(1 - y * p)),
    losses.SquaredHinge: _entrywise(lambda y, p: _PositivePart(1 - y * p) ** 2),
    losses.Perceptron: _entrywise(lambda y, p: -_NegativePart(y * p)),
    losses.FunctionLoss: _function,
})


def penalty(regularizer, entries):
    """A regulariser of some entries as a formula."""
    strengths = {regularizers.L1: ("l1", None), regularizers.L2: (None, "l2"), regularizers.L1L2: ("l1", "l2")}
    if type(regularizer) not in strengths:
        name = getattr(regularizer, "__name__", type(regularizer).__name__)
        raise SettingError(f"The regularizer {name} is not known as a formula. Known regularizers: L1, L1L2, L2.")
    l1, l2 = (_number(getattr(regularizer, name) if name else 0) for name in strengths[type(regularizer)])
    return l1 * sum(map(sympy.Abs, entries)) + l2 * sum(entry**2 for entry in entries)


def _number(value):
    """A setting as a sympy number, whole ones as integers."""
    value = float(value)
    return sympy.Integer(int(value)) if value.is_integer() else sympy.Float(value)
