"""Where in an image a network sees the class that it names."""
import jax
import jax.numpy as jnp
import numpy as np

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.inspect.recording import require_layer
from chainrule.inspect.scores import Place, Subject, precision_of
from chainrule.models import Model


def grad_cam(model: Model, x, target=None, layer: str | None = None, *, batch_size: int = 32) -> np.ndarray:
    """Where in an image a network sees a class: its last maps, weighted by how much the class's score rests on each.

        importance[k] = mean over i, j of (d score / d maps[i, j, k])
        heat[i, j] = relu(sum over k of importance[k] * maps[i, j, k])

    resized to the input, linearly, and divided by its maximum. The score is what goes into the activation function of
    the model's output (of a softmax the logit), or the output itself where there is none.

    Args:
        model: a model with one input and an output `(batch, classes)`.
        x: images `(batch, height, width, ...)`, as for `predict`; series `(batch, steps, channels)` do as well.
        target: the class, or one for each row; by default the predicted one. Of a single sigmoid unit, the score of
            class 1 is its logit, that of class 0 the negative of it.
        layer: the name of the layer with the maps, `(batch, height, width, channels)`. By default the last maps of the
            shape that the last convolution gives: its own, or those of a normalisation or activation behind it.
        batch_size: rows at a time.

    Returns:
        `(batch, height, width)`, from 0 to 1 in each image; all 0 where nothing speaks for the class. `overlay(photo,
        heat[0])` shows it.

    Reference: Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization
    (2017).

    Example:
        >>> from chainrule.layers import Dense, Flatten
        >>> from chainrule.models import Input, Sequential
        >>> model = Sequential([Input((2, 2, 1)), Dense(1, use_bias=False, name="maps"), Flatten(), Dense(1)])
        >>> model.set_weights([[[1.0]], np.ones((4, 1)), [0.0]])
        >>> grad_cam(model, np.array([[[[0.0], [1.0]], [[2.0], [4.0]]]])).tolist()
        [[[0.0, 0.25], [0.5, 1.0]]]
    """
    with precision_of(model, "grad_cam"):
        subject = Subject(model, x, target, "grad_cam")
        name = last_maps(subject.places) if layer is None else require_layer(layer, subject.places)
        maps_shape = _check_maps(name, subject.places[name].shape, subject.rows.shape)
        space = tuple(range(1, len(maps_shape) - 1))
        size = subject.rows.shape[1 : len(maps_shape) - 1]

        def explain(variables, rows, target):
            zeros = jnp.zeros((len(rows), *maps_shape[1:]), subject.places[name].dtype)

            def scores_and_maps(shift):
                scores, outputs = subject.scores(variables, rows, shifts={name: shift})
                return scores, outputs[name]

            scores, pull, maps = jax.vjp(scores_and_maps, zeros, has_aux=True)
            importance = pull(subject.directions(scores, target))[0].mean(space, keepdims=True)
            heat = jax.nn.relu((importance * maps).sum(-1))
            heat = jax.image.resize(heat, (len(rows), *size), "linear", antialias=False)
            largest = heat.max(space, keepdims=True)
            return heat / jnp.where(largest > 0, largest, 1)

        return subject.by_batches(explain, batch_size)


def last_maps(places: dict[str, Place]) -> str:
    """The last layer whose output has the shape that the last layer with weights and maps gives."""
    trained = [name for name, place in places.items() if len(place.shape) > 3 and place.is_trained]
    trained = trained or [name for name, place in places.items() if len(place.shape) == 3 and place.is_trained]
    if not trained:
        raise SettingError("grad_cam looks at the maps of a convolution, an output (batch, height, width, channels), "
                           "and no layer with weights of this model has one.")
    names = list(places)
    behind = names[names.index(trained[-1]):]
    return [name for name in behind if places[name].shape == places[trained[-1]].shape][-1]


def _check_maps(name: str, shape: tuple[int, ...], input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a layer's output, if it has maps that lie over the input."""
    if len(shape) < 3 or len(input_shape) < len(shape) - 1:
        given = format_shape((None, *shape[1:])) if shape else "a structure of arrays"
        raise ShapeError(f"grad_cam looks at maps that lie over the input, an output (batch, height, width, channels); "
                         f"that of the layer {name!r} is {given}, for inputs {format_shape((None, *input_shape[1:]))}. "
                         f"Name a convolutional layer.")
    return shape
