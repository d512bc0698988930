"""Layers that prepare inputs: statistics and bins learned from data before training, categories as numbers."""
import hashlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from chainrule.errors import DataError, NotReadyError, SettingError, ShapeError, did_you_mean, format_shape
from chainrule.layers.activation import row_axis
from chainrule.layers.base import Layer
from chainrule.layers.binding import seed_words
from chainrule.layers.dense import check_count
from chainrule.layers.host import HostLayer, read_texts
from chainrule.layers.lookup import encode, encoded_shape
from chainrule.ops import random


class Normalization(Layer):
    """Inputs at mean 0 and variance 1 by statistics of the data, learned by `adapt` or given.

        y = (x - mean) / max(sqrt(variance), 1e-7)       x = mean + y * max(sqrt(variance), 1e-7)  where `invert`

    The statistics are state: training leaves them alone, they are kept in files, and `model.init` starts from them.
    Before `adapt` they are 0 and 1.

    Shapes: `(batch, ..., features)` to the same; mean and variance have the sizes of `axis`.

    Args:
        axis: the axis or axes whose entries have statistics of their own; `None` for one mean and variance of all.
        mean, variance: the statistics, where they are known: numbers or arrays.
        invert: whether to go back from normalised values.

    Reference: LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), section 4.3.

    Example:
        >>> import numpy as np
        >>> layer = Normalization()
        >>> layer.adapt(np.array([[1.0, 10.0], [3.0, 30.0]]))
        >>> layer(np.array([[3.0, 10.0]], "float32")).tolist()
        [[1.0, -1.0]]
    """

    axis: Any = -1
    mean: Any = None
    variance: Any = None
    invert: bool = False

    supports_masking = True
    casts_inputs = False  # raw data: years and prices do not fit into bfloat16

    def __post_init__(self):
        if (self.mean is None) != (self.variance is None):
            raise SettingError(
                f"Normalization: `mean` and `variance` go together, or are both learned by adapt(data); got "
                f"mean={self.mean!r}, variance={self.variance!r}.")
        if self.mean is not None and np.shape(self.mean) != np.shape(self.variance):
            raise SettingError(f"Normalization: `mean` and `variance` have one shape; got {np.shape(self.mean)} and "
                               f"{np.shape(self.variance)}.")

    def build(self, input_shape):
        sizes = [input_shape[axis] for axis in self._axes(input_shape)]
        if None in sizes:
            raise ShapeError(
                f"Normalization needs the sizes of the axes {self.axis}; got {format_shape(input_shape)}. Give them in "
                f"Input(shape=...).")
        if self.mean is None:
            if (learned := _learned(self, "mean", None)) is not None:
                self._check_learned(tuple(sizes), learned.shape)
            self.learned_mean = self.add_weight(sizes, self._start_of_mean, trainable=False, name="mean")
            self.learned_variance = self.add_weight(sizes, self._start_of_variance, trainable=False, name="variance")
            return
        from_behind = zip(np.shape(self.mean)[::-1], sizes[::-1], strict=False)
        if np.ndim(self.mean) > len(sizes) or any(given not in (1, size) for given, size in from_behind):
            raise ShapeError(
                f"Normalization: mean and variance of shape {np.shape(self.mean)} do not fit the axes {self.axis} of "
                f"inputs of shape {format_shape(input_shape)}, whose sizes are {tuple(sizes)}.")

    def adapt(self, data) -> None:
        """Learn mean and variance of data: all rows at once, an array with the batch axis first."""
        if self.mean is not None:
            raise SettingError("Normalization was given its mean and variance, so there is nothing to learn. Leave "
                               "them out to adapt to data.")
        data = _adaptable(self, data)
        others = tuple(axis for axis in range(data.ndim) if axis not in self._axes(data.shape))
        if self.built:
            self._check_learned(self.learned_mean.shape, data.mean(others).shape)
        _learn(self, mean=data.mean(others), variance=data.var(others))

    def call(self, x):
        axes = self._axes(x.shape)
        along = lambda values: jnp.broadcast_to(
            jnp.asarray(values, x.dtype), [x.shape[axis] for axis in axes]).reshape(
            [x.shape[axis] if axis in axes else 1 for axis in range(x.ndim)])
        given = (self.mean, self.variance) if self.mean is not None else (self.learned_mean, self.learned_variance)
        mean, variance = map(along, given)
        deviation = jnp.maximum(jnp.sqrt(variance), 1e-7)
        return mean + x * deviation if self.invert else (x - mean) / deviation

    def _axes(self, shape) -> tuple[int, ...]:
        axes = () if self.axis is None else self.axis if isinstance(self.axis, (list, tuple)) else (self.axis,)
        return tuple(sorted(row_axis(self, "axis", axis, shape) for axis in axes))

    def _check_learned(self, sizes, learned) -> None:
        if sizes != learned:
            raise ShapeError(
                f"Normalization(axis={self.axis}) learned statistics of shape {format_shape(learned)} by adapt, and "
                f"its input needs {format_shape(sizes)}. Adapt it to data of the input's shape.")

    def _start_of_mean(self, key, shape, dtype):
        return _learned(self, "mean", np.zeros(shape)).astype(dtype)

    def _start_of_variance(self, key, shape, dtype):
        return _learned(self, "variance", np.ones(shape)).astype(dtype)


class Discretization(Layer):
    """Numbers as the index of the bin they fall into: bin `i` is `boundaries[i - 1] <= x < boundaries[i]`.

    The first and the last bin are open. With `num_bins`, `adapt` puts the boundaries at quantiles of the data, so that
    the bins hold equally many; they are state, kept in files.

    Shapes: any to the same, in `int32`; for other output modes as `CategoryEncoding`.

    Args:
        bin_boundaries: the boundaries in order, where they are known.
        num_bins: how many bins `adapt` makes.
        output_mode: `"int"`, or `"one_hot"`, `"multi_hot"` or `"count"` to encode the index at once.

    Reference: Dougherty, Kohavi and Sahami, Supervised and Unsupervised Discretization of Continuous Features (1995).

    Example:
        >>> import numpy as np
        >>> Discretization(bin_boundaries=[0.0, 1.0, 2.0])(np.array([[-1.5, 1.0, 3.4, 0.5]])).tolist()
        [[0, 2, 3, 1]]
    """

    bin_boundaries: Any = None
    num_bins: int | None = None
    output_mode: str = "int"

    casts_inputs = False  # raw data

    def __post_init__(self):
        _check_output_mode(self, ("int", "one_hot", "multi_hot", "count"))
        if (self.bin_boundaries is None) == (self.num_bins is None):
            raise SettingError("Discretization takes either `bin_boundaries`, or `num_bins` to learn them by adapt; "
                               f"got bin_boundaries={self.bin_boundaries!r}, num_bins={self.num_bins!r}.")
        if self.num_bins is not None:
            check_count(self, "num_bins", self.num_bins)
        elif not all(np.diff(np.asarray(self.bin_boundaries)) > 0):
            raise SettingError(f"Discretization: `bin_boundaries` must rise; got {self.bin_boundaries!r}.")

    def build(self, input_shape):
        if self.bin_boundaries is None:
            self.boundaries = self.add_weight((self.num_bins - 1,), self._start, trainable=False, name="boundaries")

    def adapt(self, data) -> None:
        """Put the boundaries at the quantiles of data: all rows at once, the batch axis first."""
        if self.bin_boundaries is not None:
            raise SettingError("Discretization was given its boundaries, so there is nothing to learn. Give `num_bins` "
                               "in their place to adapt to data.")
        data = _adaptable(self, data)
        _learn(self, boundaries=np.quantile(data, np.arange(1, self.num_bins) / self.num_bins))

    def call(self, x):
        boundaries = self.boundaries if self.bin_boundaries is None else jnp.asarray(self.bin_boundaries, x.dtype)
        bins = jnp.searchsorted(boundaries, x, side="right", method="compare_all").astype(jnp.int32)
        if self.output_mode == "int":
            return bins
        return _encode(bins, boundaries.shape[0] + 1, self.output_mode, self._bound.dtype)

    def _start(self, key, shape, dtype):
        found = _learned(self, "boundaries", None)
        if found is None:
            raise NotReadyError(
                "Discretization(num_bins=...) has no boundaries yet: call adapt(data) on it before the model is used.")
        return found.astype(dtype)


class CategoryEncoding(Layer):
    """Integers as rows of zeros and ones.

        one_hot:   y[..., i] = 1 where x[...] = i
        multi_hot: y[..., i] = 1 where any of x[..., :] is i
        count:     y[..., i] = how many of x[..., :] are i

    Integers that are no token leave zeros.

    Shapes: `(batch, ..., n)` to `(batch, ..., num_tokens)`; `"one_hot"` keeps the axis of `n`, unless `n` is 1.

    Args:
        num_tokens: how many tokens there are, numbered from 0.
        output_mode: `"one_hot"`, `"multi_hot"` or `"count"`.

    Example:
        >>> import numpy as np
        >>> CategoryEncoding(num_tokens=4, output_mode="count")(np.array([[0, 3, 3]])).tolist()
        [[1.0, 0.0, 0.0, 2.0]]
    """

    num_tokens: int
    output_mode: str = "multi_hot"

    casts_inputs = False  # whole numbers may come as floats

    def __post_init__(self):
        check_count(self, "num_tokens", self.num_tokens)
        _check_output_mode(self, ("one_hot", "multi_hot", "count"))

    def call(self, x):
        return _encode(x.astype(jnp.int32), self.num_tokens, self.output_mode, self._bound.dtype)


class Hashing(HostLayer):
    """Categories as one of a number of bins, by a hash: for categories without a fixed list.

        bin = hash(x, salt) mod num_bins

    Integers are hashed inside the compiled program (their lowest 32 bits). Strings never enter a program: they are
    hashed before it begins, by a layer that stands directly behind an `Input(shape, dtype="string")`, or when the layer
    is called on them: `codes = Hashing(100)(frame["city"])`.

    Shapes: any to the same, in `int32`; for other output modes as `CategoryEncoding`.

    Args:
        num_bins: how many bins there are.
        mask_value: an integer or string that alone has bin 0; the others share the bins from 1.
        salt: another integer gives another assignment to bins.
        output_mode: `"int"`, or `"one_hot"`, `"multi_hot"` or `"count"` to encode the bin at once.

    Reference: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009).

    Example:
        >>> import numpy as np
        >>> codes = Hashing(num_bins=8)(np.array(["Rome", "Oslo", "Rome"]))
        >>> bool(codes[0] == codes[2])
        True
    """

    prepares, needs = ("string",), "text"
    also_computes = True

    num_bins: int
    mask_value: Any = None
    salt: int = 0
    output_mode: str = "int"

    def __post_init__(self):
        check_count(self, "num_bins", self.num_bins)
        _check_output_mode(self, ("int", "one_hot", "multi_hot", "count"))
        if self.mask_value is not None and self.num_bins < 2:
            raise SettingError("Hashing: a `mask_value` has bin 0 for itself, so `num_bins` must be at least 2; got 1.")

    def is_for_host(self, *inputs):
        return len(inputs) == 1 and (getattr(inputs[0], "dtype", None) == "string" or _holds_text(inputs[0]))

    def read(self, data, name):
        return read_texts(data, name, self.describe())

    def prepare(self, array):
        bins = self._hash_strings(array)
        return bins if self.output_mode == "int" else encode(bins, self.num_bins, self.output_mode)

    def prepared(self, shape):
        if self.output_mode == "int":
            return tuple(shape), "int32"
        return encoded_shape(shape, self.num_bins, self.output_mode), None

    def call(self, x):
        hashed = random.fold_in(seed_words(self.salt), x.astype(jnp.int32))[1]
        bins = self._assigned(hashed, x == self.mask_value if isinstance(self.mask_value, int) else None)
        if self.output_mode == "int":
            return bins
        return _encode(bins, self.num_bins, self.output_mode, self._bound.dtype)

    def _assigned(self, hashed, masked):
        """The bins of hashes; bin 0 is kept for the mask value, if there is one."""
        if self.mask_value is None:
            return (hashed % np.uint32(self.num_bins)).astype("int32")
        bins = 1 + (hashed % np.uint32(self.num_bins - 1)).astype("int32")
        return bins if masked is None else bins * (1 - masked.astype("int32"))

    def _hash_strings(self, strings: np.ndarray) -> np.ndarray:
        """The bins of strings, worked out on the host."""
        distinct, place = np.unique(strings.astype(str), return_inverse=True)
        salt = seed_words(self.salt).tobytes()
        digest = lambda text: hashlib.blake2b(str(text).encode(), digest_size=4, salt=salt).digest()
        hashed = np.frombuffer(b"".join(map(digest, distinct)), "<u4")
        return np.asarray(self._assigned(hashed, distinct == self.mask_value))[place].reshape(strings.shape)


def _holds_text(value) -> bool:
    """Whether data are text rather than numbers, by their type or their first entry."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return isinstance(value, (str, bytes)) or kind in ("O", "U", "S", "T") or (
        hasattr(value, "to_pylist") and "string" in str(value.type))


def _encode(indices, count: int, mode: str, dtype):
    """Indices as zeros and ones, or as counts."""
    if mode == "one_hot" and indices.ndim > 1 and indices.shape[-1] == 1:
        indices = indices[..., 0]
    hot = indices[..., None] == jnp.arange(count, dtype=indices.dtype)
    if mode == "one_hot" or indices.ndim == 1:
        return hot.astype(dtype)
    return (hot.any(-2) if mode == "multi_hot" else hot.sum(-2)).astype(dtype)


def _check_output_mode(layer, modes) -> None:
    if layer.output_mode not in modes:
        raise SettingError(f"{type(layer).__name__}: there is no output mode {layer.output_mode!r}. "
                           f"{did_you_mean(layer.output_mode, modes)}")


def _adaptable(layer, data) -> np.ndarray:
    """Data to learn from, as an array of 64-bit numbers."""
    array = np.asarray(data, "float64")
    if array.ndim == 0 or not array.size:
        raise DataError(f"{type(layer).__name__}.adapt takes rows of numbers, the batch axis first; got an array of "
                        f"shape {array.shape}.")
    if not np.isfinite(array).all():
        raise DataError(f"{type(layer).__name__}.adapt: the data hold NaN or infinity. Drop or fill those rows first.")
    return array


def _learn(layer, **learned) -> None:
    """Take over what `adapt` found: weights are made from it anew, in the precision of whichever network needs them."""
    layer.__dict__["_learned"] = {name: np.asarray(value) for name, value in learned.items()}
    layer.__dict__.pop("_held", None)


def _learned(layer, name: str, default):
    """The layer's present array of that name, else what `adapt` found, else a default."""
    for source in ("_held", "_learned"):
        if name in layer.__dict__.get(source, {}):
            return layer.__dict__[source][name]
    return default
