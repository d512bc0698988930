"""The compiled loops that write: a model is asked for the next token again and again, within one program.

`StepLoop` reads each token once and keeps what the layers carry along; `WindowLoop` runs the model anew over the last
tokens. Both take the prompt and all numbers as arguments, so that one program serves for any prompt, length and seed.
"""
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from chainrule.layers.binding import Call, walk
from chainrule.network.stepping import Stepping
from chainrule.ops import random
from chainrule.precision import variable_dtype
from chainrule.text.sampling import Choice, choose

CHUNK = 256  # the most tokens of one call of a program


class Piece(NamedTuple):
    """What one call of a loop does.

    Attributes:
        given: tokens that are not chosen but known, `(CHUNK,)`: the rest of a prompt.
        known: how many of them there are.
        count: how many tokens to add, the known ones first.
        position: the place in the text of the first of them; each place has random numbers of its own.
        key: where the random numbers come from.
        choice: how tokens are chosen.
    """

    given: np.ndarray
    known: np.ndarray
    count: np.ndarray
    position: np.ndarray
    key: np.ndarray
    choice: Choice


class Asked:
    """A model, asked for the logits of the next token.

    Args:
        model: a built model.
        is_one_hot: whether it takes tokens as vectors of zeros and a one.
        tokens: the size of the vocabulary.
        from_logits: whether it gives logits; else probabilities.
    """

    def __init__(self, model, is_one_hot: bool, tokens: int, from_logits: bool):
        self.model, self.is_one_hot, self.tokens, self.from_logits = model, is_one_hot, tokens, from_logits
        # The states that stateful layers keep are those of training data; every text begins with zeros.
        self._settings = {f"{path}/stateful": False for path, layer in walk(model) if getattr(layer, "stateful", False)}

    def step(self, weights, state, token, caches: dict, length: int):
        """The logits behind one more token, `(rows,)` to `(rows, tokens)`, and the evaluation that knows the caches."""
        call = Stepping(self.model, weights, state, caches, length, self.model.dtype)
        outputs = self._outputs(call, token[:, None])
        return outputs[:, 0] if outputs.ndim == 3 else outputs, call

    def window(self, weights, state, tokens):
        """The logits behind each token of a window, `(rows, window)` to `(rows, window, tokens)`; or the last alone."""
        call = Call(self.model, weights, state, dtype=self.model.dtype, settings=self._settings)
        call.checks_inputs = False  # the number of rows is ours
        return self._outputs(call, tokens)

    def _outputs(self, call: Call, tokens):
        x = tokens
        if self.is_one_hot:
            x = jax.nn.one_hot(tokens, self.tokens, dtype=variable_dtype(self.model.dtype))
        outputs, = jax.tree.leaves(call.run(call.copy(self.model), (x,), {}))
        return outputs if self.from_logits else jnp.log(jnp.maximum(outputs, jnp.finfo(outputs.dtype).tiny))


class _Loop:
    """What both loops share: a subclass says how the next logits are found, and what is kept."""

    def __init__(self, asked: Asked):
        self.asked = asked
        self.advance = jax.jit(self._advance)

    def _advance(self, weights, state, kept, piece: Piece):
        """What is kept after so many tokens, the tokens `(rows, CHUNK)`, and whether all logits were numbers."""

        def add(index, carried):
            kept, written, is_number = carried
            logits, kept = self._logits(weights, state, kept)
            key = random.fold_in(piece.key, piece.position + index)
            token = jnp.where(index < piece.known, piece.given[index], choose(logits, key, piece.choice))
            written = lax.dynamic_update_slice_in_dim(written, token[:, None], index, 1)
            return self._with(kept, token), written, is_number & ~jnp.isnan(logits).any()

        rows = len(jax.tree.leaves(kept)[0])
        return lax.fori_loop(0, piece.count, add, (kept, jnp.zeros((rows, CHUNK), jnp.int32), jnp.bool_(True)))

    def _logits(self, weights, state, kept):
        """The logits of the next token, `(rows, tokens)`, and what is kept."""
        raise NotImplementedError

    def _with(self, kept, token):
        """What is kept, a token added."""
        raise NotImplementedError


class StepLoop(_Loop):
    """Each token is read once; the layers carry along what they need.

    Args:
        asked: a model whose layers can all step.
        length: how many tokens the texts have at most, for layers that keep them all.
    """

    def __init__(self, asked: Asked, length: int):
        super().__init__(asked)
        self.length = length
        self._first = jax.jit(lambda *arrays: asked.step(*arrays, {}, length)[1].first_caches)

    def start(self, weights, state, tokens: np.ndarray) -> Any:
        """What is kept before the first token of each text, `(rows, 1)`, is read."""
        token = tokens[:, 0].astype(np.int32)
        return token, self._first(weights, state, token)

    def _logits(self, weights, state, kept):
        token, caches = kept
        logits, call = self.asked.step(weights, state, token, caches, self.length)
        return logits, (token, call.new_caches)

    def _with(self, kept, token):
        return token, kept[1]


class WindowLoop(_Loop):
    """The model runs anew over the last tokens for each that is added.

    Args:
        asked: any model.
        size: how many tokens it sees.
    """

    def __init__(self, asked: Asked, size: int):
        super().__init__(asked)
        self.size = size

    def start(self, weights, state, tokens: np.ndarray) -> Any:
        """What is kept after the tokens, `(rows, count)`. Behind them a window that is not full has zeros."""
        tokens = tokens[:, -self.size:]
        window = np.zeros((len(tokens), self.size), np.int32)
        window[:, : tokens.shape[1]] = tokens
        return window, np.int32(tokens.shape[1])

    def _logits(self, weights, state, kept):
        window, filled = kept
        logits = self.asked.window(weights, state, window)
        return logits[:, filled - 1] if logits.ndim == 3 else logits, kept

    def _with(self, kept, token):
        window, filled = kept
        is_full = filled == self.size
        window = jnp.where(is_full, jnp.roll(window, -1, axis=1), window)
        place = jnp.where(is_full, self.size - 1, filled)
        return lax.dynamic_update_slice_in_dim(window, token[:, None], place, 1), jnp.where(is_full, filled, filled + 1)
