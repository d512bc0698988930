"""How a model is to be asked for the next token: step by step, or over windows, and of how many tokens."""
from dataclasses import dataclass

import jax
import numpy as np

from chainrule.errors import SettingError, ShapeError, format_shape
from chainrule.layers.binding import walk
from chainrule.layers.positions import PositionEmbedding
from chainrule.network.stepping import CannotStepError
from chainrule.text.loops import Asked


@dataclass(frozen=True)
class Plan:
    """How a model is asked.

    Attributes:
        asked: the model.
        steps: whether each token is read once, the layers carrying along what they need; else, and where the text has
            grown longer than `limit`, the model runs anew over a window for each token.
        limit: how many of the last tokens the model sees; `None` for all.
        is_full: whether windows must always be full: a shorter text is filled up in front with `filling`.
        filling: a token.
        carries_all: whether what is carried along serves for texts of any length.
    """

    asked: Asked
    steps: bool
    limit: int | None
    is_full: bool = False
    filling: int = 0
    carries_all: bool = True


def plan_for(model, vocabulary, window: int | None, from_logits: bool) -> Plan:
    """The plan that suits a model, the model being held against the vocabulary.

    Raises:
        ShapeError: the model does not take tokens, or does not give a number for each of the vocabulary.
        SettingError: it cannot take that window, or needs to be told one.
    """
    tokens = len(vocabulary)
    length, is_one_hot = _input_length(model, tokens)
    has_one_output = _check_output(model, tokens)
    asked = Asked(model, is_one_hot, tokens, from_logits)
    tables = [layer.sequence_length for _, layer in walk(model) if isinstance(layer, PositionEmbedding)]
    most = min([size for size in (length, *tables) if size is not None], default=None)
    stepped = None if has_one_output and length is not None else _stepped(asked)
    if stepped is not None:
        most = None if stepped.goes_on else most
        return Plan(asked, True, _window(window, most), carries_all=stepped.goes_on)
    limit = _window(window, most)
    if limit != length and length is not None:
        raise SettingError(f"The model takes {length} tokens at a time, no less; got window={window}. Leave window "
                           f"out.")
    if not has_one_output and _is_causal(asked, limit or 16):
        return Plan(asked, False, limit)
    if limit is None:
        raise SettingError("The model sees whole windows, and may have been trained on any length of them. Give the "
                           "length of its training windows: window=64.")
    return Plan(asked, False, limit, is_full=True, filling=_filling(model, vocabulary))


def first_token(vocabulary) -> int:
    """What a text begins with where there is no prompt: the end of a line; else a space; else the first token."""
    for text in ("\n", " "):
        if not vocabulary.unknown(text):
            ids = np.asarray(vocabulary.encode(text))
            if len(ids) == 1:
                return int(ids[0])
    return 0


def _filling(model, vocabulary) -> int:
    """What stands before a text that is shorter than a window: padding where the model knows it, else as at a start."""
    knows_padding = any(getattr(layer, "mask_zero", False) for _, layer in walk(model))
    return 0 if knows_padding else first_token(vocabulary)


def _window(window: int | None, most: int | None) -> int | None:
    if window is not None and most is not None and window > most:
        raise SettingError(f"The model sees at most {most} tokens; got window={window}. Leave window out, or give "
                           f"less.")
    return most if window is None else window


def _input_length(model, tokens: int) -> tuple[int | None, bool]:
    """How many tokens the input has, `None` where that is open, and whether each is a vector."""
    graph = model.__dict__.get("_graph")
    symbols = jax.tree.leaves(graph.inputs if graph is not None else model.__dict__["_input_symbols"])
    shapes = [tuple(symbol.shape) for symbol in symbols]
    if len(shapes) == 1 and (len(shapes[0]) == 2 or len(shapes[0]) == 3 and shapes[0][-1] == tokens):
        return shapes[0][1], len(shapes[0]) == 3
    raise ShapeError(f"A model that writes takes the numbers of tokens, (batch, time), or a vector of {tokens} for "
                     f"each, (batch, time, {tokens}); this one takes "
                     f"{', '.join(map(format_shape, shapes[:3]))}{' and more' * (len(shapes) > 3)}.")


def _check_output(model, tokens: int) -> bool:
    """Whether there is one output for a whole window, not one for each of its tokens."""
    shapes = [tuple(spec.shape) for spec in jax.tree.leaves(model._output_structure)]
    if len(shapes) > 1 or len(shapes[0]) not in (2, 3):
        raise ShapeError(f"A model that writes gives one number for each of the {tokens} tokens, (batch, time, "
                         f"{tokens}) or (batch, {tokens}); this one gives {', '.join(map(format_shape, shapes[:3]))}"
                         f"{' and more' * (len(shapes) > 3)}.")
    if shapes[0][-1] != tokens:
        raise ShapeError(f"The vocabulary has {tokens} tokens, and the model gives {shapes[0][-1]} numbers, "
                         f"{format_shape(shapes[0])}: one for each token is needed. Use the vocabulary that the model "
                         f"was trained with, or end it in Dense({tokens}).")
    return len(shapes[0]) == 2


def _stepped(asked: Asked):
    """The evaluation of one step; `None` where a layer of the model needs whole sequences."""
    found = []

    def step(weights, state):
        logits, call = asked.step(weights, state, np.zeros(1, np.int32), {}, 1)
        found.append(call)
        return logits

    try:
        shape = jax.eval_shape(step, *asked.model._present()).shape
    except CannotStepError:
        return None
    return found[0] if shape == (1, asked.tokens) else None


def _is_causal(asked: Asked, size: int) -> bool:
    """Whether outputs do not depend on later tokens: seen by two windows that differ in their second half.

    A model of layers that are not known to be causal, a user's own for example, may still be.
    """
    windows = np.random.default_rng(0).integers(0, asked.tokens, (2, size)).astype("int32")
    half = size - size // 2
    windows[1, :half], windows[1, half:] = windows[0, :half], (windows[0, half:] + 1) % asked.tokens
    first, second = np.asarray(jax.jit(asked.window)(*asked.model._present(), windows))[:, :half]
    return bool(np.allclose(first, second, rtol=1e-5, atol=1e-6 * np.abs(first).max()))
