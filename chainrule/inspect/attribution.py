"""Which parts of an input the answer of a network rests on."""
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.inspect.scores import Subject, precision_of
from chainrule.models import Model, check_whole


def saliency(model: Model, x, target=None, *, batch_size: int = 32) -> np.ndarray:
    """The derivative of a class's score by the input: how much the score changes with each value.

        saliency = d score / d x

    The score is what goes into the activation function of the output (of a softmax the logit), or the output itself
    where there is none.

    Args:
        model: a model with one input and an output `(batch, classes)`.
        x: rows, as for `predict`.
        target: the class, or one for each row; by default the predicted one. Of a single sigmoid unit, the score of
            class 1 is its logit, that of class 0 the negative of it.
        batch_size: rows at a time.

    Returns:
        An array of the shape of `x`, positive and negative. The picture of the paper is `abs(saliency).max(-1)`, which
        `overlay(photo, saliency[0])` shows.

    Reference: Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks (2014).

    Example:
        >>> from chainrule.layers import Dense
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((2,)), Dense(1)])
        >>> model.set_weights([[[3.0], [-4.0]], [0.0]])
        >>> saliency(model, np.ones((1, 2))).tolist()
        [[3.0, -4.0]]
    """
    with precision_of(model, "saliency"):
        subject = Subject(model, x, target, "saliency")
        subject.require_floating_rows()

        def explain(variables, rows, target):
            scores, pull = jax.vjp(lambda rows: subject.scores(variables, rows)[0], rows)
            return pull(subject.directions(scores, target))[0]

        return subject.by_batches(explain, batch_size)


def integrated_gradients(model: Model, x, target=None, *, baseline=0.0, steps: int = 50,
                         batch_size: int = 32) -> np.ndarray:
    """The share of each input value in what a class's score gained since a baseline.

        share = (x - baseline) * mean over k of (d score / d x at baseline + (k + 0.5) / steps * (x - baseline))

    with `k` from 0 to `steps - 1`. The shares of a row add up to `score(x) - score(baseline)`, but for the error of the
    mean in the place of an integral: the more steps, the smaller. The score is that of `saliency`.

    Args:
        model: a model with one input and an output `(batch, classes)`.
        x: rows, as for `predict`.
        target: the class, or one for each row; by default the one predicted for `x`. See `saliency` for one unit.
        baseline: an input that says nothing, such as a black image: a number, a row, or one for each row.
        steps: into how many pieces the way from the baseline is cut.
        batch_size: rows at a time.

    Returns:
        An array of the shape of `x`, positive and negative.

    Reference: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks (2017).

    Example:
        >>> from chainrule.layers import Dense
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((2,)), Dense(1)])
        >>> model.set_weights([[[3.0], [-4.0]], [5.0]])
        >>> integrated_gradients(model, np.array([[1.0, 2.0]])).tolist()
        [[3.0, -8.0]]
    """
    check_whole("steps", steps, minimum=1)
    with precision_of(model, "integrated_gradients"):
        subject = Subject(model, x, target, "integrated_gradients")
        subject.require_floating_rows()
        start = _like_rows("baseline", baseline, subject.rows)

        def explain(variables, rows, target, start):
            directions = subject.directions(subject.scores(variables, rows)[0], target)

            def add_gradient(step, total):
                share = (jnp.asarray(step, rows.dtype) + 0.5) / steps
                _, pull = jax.vjp(lambda rows: subject.scores(variables, rows)[0], start + share * (rows - start))
                return total + pull(directions)[0]

            return (rows - start) * lax.fori_loop(0, steps, add_gradient, jnp.zeros_like(rows)) / steps

        return subject.by_batches(explain, batch_size, start)


def occlusion(model: Model, x, target=None, *, window: int | tuple[int, int] | None = None, stride: int | None = None,
              value=0.0, batch_size: int = 32) -> np.ndarray:
    """How much a class's score falls when a window of an image is covered.

        fall[i, j] = mean over the windows that cover pixel i, j of (score(x) - score(x with the window covered))

    The score is that of `saliency`. Nothing is differentiated, so this also holds a gradient's word against what the
    network really does.

    Args:
        model: a model with one input and an output `(batch, classes)`.
        x: images `(batch, height, width, ...)`, as for `predict`.
        target: the class, or one for each row; by default the one predicted for `x`. See `saliency` for one unit.
        window: the height and width of what is covered, or one number for both; by default an eighth of the image.
        stride: how far the window moves; by default half its height.
        value: what stands in its place: a number, or one for each channel.
        batch_size: rows at a time.

    Returns:
        `(batch, height, width)`, positive where the class rests on the pixel, negative where the pixel speaks
        against it.

    Reference: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks (2014).

    Example:
        >>> from chainrule.layers import Dense, Flatten
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((1, 2)), Flatten(), Dense(1)])
        >>> model.set_weights([[[3.0], [-4.0]], [0.0]])
        >>> occlusion(model, np.ones((1, 1, 2)), window=1).tolist()
        [[[3.0, -4.0]]]
    """
    with precision_of(model, "occlusion"):
        subject = Subject(model, x, target, "occlusion")
        if subject.rows.ndim < 3:
            raise ShapeError(f"occlusion covers windows of images (batch, height, width, channels); got inputs of "
                             f"shape {format_shape(subject.rows.shape)}.")
        height, width = size = subject.rows.shape[1:3]
        window, stride = _window(window, stride, size)
        corners = np.array(list(itertools.product(
            *(_starts(whole, part, stride) for whole, part in zip(size, window, strict=True)))))
        cover = np.asarray(value, subject.rows.dtype)
        if cover.shape not in ((), subject.rows.shape[3:]):
            raise ShapeError(f"`value` is a number or one for each of the {subject.rows.shape[-1]} channels; got "
                             f"{format_shape(cover.shape)}.")

        def explain(variables, rows, target):
            scores, _ = subject.scores(variables, rows)
            directions = subject.directions(scores, target)

            def add_window(sums, corner):
                below, right = jnp.arange(height) - corner[0], jnp.arange(width) - corner[1]
                covered = ((below >= 0) & (below < window[0]))[:, None] & ((right >= 0) & (right < window[1]))
                without = jnp.where(covered.reshape(1, height, width, *(1,) * (rows.ndim - 3)), cover, rows)
                fall = (directions * (scores - subject.scores(variables, without)[0])).sum(-1)
                return (sums[0] + fall[:, None, None] * covered, sums[1] + covered), None

            empty = jnp.zeros((len(rows), height, width), scores.dtype), jnp.zeros((height, width), scores.dtype)
            (falls, windows), _ = lax.scan(add_window, empty, corners)
            return falls / windows

        return subject.by_batches(explain, batch_size)


def _window(window, stride, size: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """The size of the window that is covered, and how far it moves."""
    if window is None:
        window = tuple(max(1, whole // 8) for whole in size)
    elif hasattr(window, "__index__"):
        window = (window, window)
    if not isinstance(window, (tuple, list)) or len(window) != 2 or not all(
            hasattr(part, "__index__") and 1 <= part <= whole for part, whole in zip(window, size, strict=True)):
        raise SettingError(f"`window` is a size, or a height and a width, of at most {format_shape(size)}; got "
                           f"{window!r}.")
    stride = max(1, window[0] // 2) if stride is None else check_whole("stride", stride, minimum=1)
    if stride > min(window):
        raise SettingError(f"`stride` {stride} is larger than the window {format_shape(window)}: pixels between two "
                           f"windows would never be covered.")
    return tuple(window), stride


def _starts(whole: int, part: int, stride: int) -> list[int]:
    """Where windows begin along an axis; the last one ends at the edge."""
    return [*range(0, whole - part, stride), whole - part]


def _like_rows(name: str, value, rows: np.ndarray) -> np.ndarray:
    """A number, a row, or one for each row, as an array of the shape of the rows."""
    array = np.asarray(value, rows.dtype)
    if array.shape not in ((), rows.shape[1:], rows.shape):
        raise ShapeError(f"`{name}` is a number, a row {format_shape(rows.shape[1:])} or one for each row "
                         f"{format_shape(rows.shape)}; got {format_shape(array.shape)}.")
    return np.broadcast_to(array, rows.shape)
