"""Writing: a trained model is asked for the next token, the token is put behind the text, and so on."""
import math
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from chainrule import losses
from chainrule.data.vocabulary import Vocabulary
from chainrule.errors import DataError, NotFiniteError, NotReadyError, SettingError
from chainrule.layers.binding import seed_words
from chainrule.models import Model, check_whole
from chainrule.precision import precision, variable_dtype
from chainrule.text.loops import CHUNK, Piece, StepLoop, WindowLoop
from chainrule.text.planning import first_token, plan_for
from chainrule.text.sampling import Choice
from chainrule.training.predict import bucket
from chainrule.training.prepare import last_activation

_FIRST_TOKENS = 8  # of the first call of a program
_LONGEST_CALL = 0.05  # seconds, so that a text is seen as it is written


def generate(model, vocabulary=None, prompt: str = "", length: int = 200, temperature: float = 1.0,
             top_k: int | None = None, top_p: float | None = None, seed: int = 0, stop=None, window: int | None = None,
             from_logits: bool | None = None, samples: int = 1):
    """A text that goes on from a prompt: the prompt and `length` tokens that a model writes behind it.

        next token ~ softmax(logits / temperature), over the tokens that top_k and top_p leave

    The model takes tokens, `(batch, time)` (or vectors of zeros and a one, `(batch, time, tokens)`), and gives for each
    of them a number for every token of the vocabulary that may follow, or does so once behind the last.

    Each token is read once where all layers can carry along what they need: recurrent layers, causal Transformers and
    convolutions, and layers that treat each step by itself. States begin with zeros; those that stateful layers keep
    stay as they are. Attention and learned positions see at most as many tokens as the model's input, or its table of
    positions, has; from there on, and for all other models, the model runs anew over the last tokens for each that is
    added. A model with one output for a whole window of fixed length, or whose outputs depend on later tokens, needs
    full windows: a shorter text is filled up in front with ends of lines (with padding, 0, where the model has
    `mask_zero`).

    Args:
        model: a trained model with one input and one output.
        vocabulary: what the model's tokens mean; by default that in the model, which `fit` puts there.
        prompt: what the text begins with. Without one, the model goes on from the end of a line, which is not returned.
        length: how many tokens to add.
        temperature: below 1 the text is surer, above 1 wilder; 0 takes the likeliest token every time.
        top_k: only so many of the likeliest tokens are considered.
        top_p: only the likeliest tokens that together have this probability are considered, from above 0 to 1.
        seed: decides the text; the same seed gives the same.
        stop: a text, or several: the first of them that is written ends the text, and is left out.
        window: how many of the last tokens the model sees at most; by default as many as it can.
        from_logits: whether the model's outputs are logits and not probabilities; by default as its loss says, else by
            its last activation.
        samples: how many texts to write at once.

    Returns:
        The text; for several samples a list of texts.

    Raises:
        NotReadyError: the model has no weights, or no vocabulary and none is given.
        ShapeError: the model's input or output does not fit the vocabulary.
        SettingError: a setting cannot be.
        DataError: the prompt has what the vocabulary does not know.
        NotFiniteError: the model gives no numbers.

    Example:
        >>> from chainrule.layers import Dense, Embedding
        >>> from chainrule.models import Input, Sequential
        >>> from chainrule.text import CharacterVocabulary
        >>> follows = Embedding(3, 3, weights=np.log([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]))
        >>> model = Sequential([Input((None,), dtype="int32"), follows])
        >>> generate(model, CharacterVocabulary("abc"), "a", length=5, temperature=0)
        'abcabc'
    """
    rows = check_whole("samples", samples, minimum=1)
    writer = _Writer(model, vocabulary, prompt, length, temperature, top_k, top_p, seed, stop, window, from_logits)
    if rows == 1:
        return prompt + "".join(writer.pieces(writer.tokens_one_by_one()))
    tokens = np.concatenate([np.zeros((rows, 0), int), *writer.tokens(rows)], axis=1)
    return [prompt + "".join(writer.pieces(row)) for row in tokens.tolist()]


def stream(model, vocabulary=None, prompt: str = "", length: int = 200, temperature: float = 1.0,
           top_k: int | None = None, top_p: float | None = None, seed: int = 0, stop=None, window: int | None = None,
           from_logits: bool | None = None) -> Iterator[str]:
    """As `generate`, piece by piece as the text is written: joined, the pieces are what it adds to the prompt.

    Settings are checked at the call, before the first piece is asked for.

    Args:
        model, vocabulary, prompt, length, temperature, top_k, top_p, seed, stop, window, from_logits: as for
            `generate`.

    Raises:
        ChainruleError: as `generate`.

    Example:
        >>> from chainrule.layers import Embedding
        >>> from chainrule.models import Input, Sequential
        >>> from chainrule.text import CharacterVocabulary
        >>> follows = Embedding(3, 3, weights=np.log([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]))
        >>> model = Sequential([Input((None,), dtype="int32"), follows])
        >>> list(stream(model, CharacterVocabulary("abc"), "a", length=3, temperature=0))
        ['b', 'c', 'a']
    """
    writer = _Writer(model, vocabulary, prompt, length, temperature, top_k, top_p, seed, stop, window, from_logits)
    return writer.pieces(writer.tokens_one_by_one())


class _Writer:
    """One request to write, all of it checked."""

    def __init__(self, model, vocabulary, prompt, length, temperature, top_k, top_p, seed, stop, window, from_logits):
        if not isinstance(model, Model):
            raise SettingError(f"A text is written by a model, chainrule.Sequential or chainrule.Model; got "
                               f"{type(model).__name__}.")
        model._require_built("Writing a text")
        self.model, self.vocabulary = model, _checked_vocabulary(model, vocabulary)
        if not isinstance(prompt, str):
            raise DataError(f"prompt is a text; got {type(prompt).__name__}.")
        self.length = check_whole("length", length, minimum=0)
        self.choice = _checked_choice(temperature, top_k, top_p, len(self.vocabulary), model.dtype)
        self.key = seed_words(check_whole("seed", seed, minimum=0))
        self.stops = _checked_stops(stop)
        window = None if window is None else check_whole("window", window, minimum=1)
        from_logits = _gives_logits(model) if from_logits is None else bool(from_logits)
        self.prompt = np.asarray(self.vocabulary.encode(prompt), np.int32)
        with precision(model.dtype):
            self.plan = self._made(("plan", len(self.vocabulary), first_token(self.vocabulary), window, from_logits),
                                   lambda: plan_for(model, self.vocabulary, window, from_logits))

    def tokens_one_by_one(self) -> Iterator[int]:
        """The tokens of one text."""
        return (token for piece in self.tokens(1) for token in piece[0].tolist())

    def pieces(self, tokens: Iterable[int]) -> Iterator[str]:
        """The text of tokens as they come, up to where it is to stop."""
        pieces = filter(None, self.vocabulary.decode_stream(tokens, after=self.prompt.tolist()))
        return _stopped(pieces, self.stops) if self.stops else pieces

    def tokens(self, rows: int) -> Iterator[np.ndarray]:
        """The tokens behind the prompt, `(rows, count)` at a time."""
        plan, left = self.plan, self.length
        begin = self.prompt if len(self.prompt) else np.array([first_token(self.vocabulary)], np.int32)
        text = np.broadcast_to(begin, (rows, len(begin)))
        if plan.steps and (plan.limit is None or len(begin) <= plan.limit):
            fresh = left if plan.limit is None else min(left, plan.limit + 1 - len(begin))
            for piece in self._run(self._step_loop(len(begin) + left), text[:, :1], begin[1:], fresh, position=1):
                text, left = np.concatenate([text, piece], axis=1), left - piece.shape[1]
                yield piece
        if left:
            loop = self._window_loop(text.shape[1] + left)
            missing = max(loop.size - text.shape[1], 0) if plan.is_full else 0
            seen = np.pad(text, ((0, 0), (missing, 0)), constant_values=plan.filling)
            yield from self._run(loop, seen, begin[:0], left, position=text.shape[1])

    def _run(self, loop, start: np.ndarray, given: np.ndarray, count: int, position: int) -> Iterator[np.ndarray]:
        """The tokens that a loop adds to `start`, `(rows, count)`: `given` first, which are passed over, then new ones.

        How many one call adds grows as long as it does not take long; the text does not depend on it.
        """
        weights, state = self.model._present()
        with precision(self.model.dtype):
            kept = loop.start(weights, state, start)
        done, total, size = 0, len(given) + count, _FIRST_TOKENS
        while done < total:
            size, known, began = min(size, total - done), given[done : done + CHUNK], time.perf_counter()
            piece = Piece(np.pad(known, (0, CHUNK - len(known))), np.int32(len(known)), np.int32(size),
                          np.int32(position + done), self.key, self.choice)
            with precision(self.model.dtype):
                kept, written, is_number = loop.advance(weights, state, kept, piece)
                written = np.asarray(written)[:, :size]
            if not is_number:
                raise NotFiniteError("The model gives NaN instead of a number for each token. Its weights are no "
                                     "numbers, or a token is outside of a table of it: see model.get_weights().")
            if size > len(known):
                yield written[:, len(known):]
            done += size
            size = min(2 * size, CHUNK) if time.perf_counter() - began < _LONGEST_CALL else size

    def _step_loop(self, length: int) -> StepLoop:
        """The loop over steps for texts of that length, the same for all of about that length."""
        plan = self.plan
        size = 1 if plan.carries_all else bucket(length) if plan.limit is None else plan.limit
        return self._made(("steps", size, self._about()), lambda: StepLoop(plan.asked, size))

    def _window_loop(self, length: int) -> WindowLoop:
        """The loop over windows, likewise."""
        plan = self.plan
        size = bucket(length) if plan.limit is None else plan.limit
        return self._made(("window", size, self._about()), lambda: WindowLoop(plan.asked, size))

    def _about(self) -> tuple:
        """What else a program depends on."""
        return len(self.vocabulary), self.plan.asked.from_logits

    def _made(self, key: tuple, make):
        """Something that is made once for the model, as long as its layers stay."""
        made = self.model.__dict__.setdefault("_writing", {})
        if key not in made:
            made[key] = make()
        return made[key]


def _stopped(pieces: Iterator[str], stops: Sequence[str]) -> Iterator[str]:
    """The text before the first stop; what may be the beginning of one is held back until that is known."""
    held, longest = "", max(map(len, stops))
    for piece in pieces:
        held += piece
        found = [held.find(stop) for stop in stops if stop in held]
        if found:
            if min(found):
                yield held[: min(found)]
            return
        safe = max(len(held) - longest + 1, 0)
        if safe:
            yield held[:safe]
            held = held[safe:]
    if held:
        yield held


def _checked_vocabulary(model, vocabulary) -> Vocabulary:
    if vocabulary is None and isinstance(model.preparation, Vocabulary):
        return model.preparation
    if vocabulary is None:
        raise NotReadyError("The model has no vocabulary, which says what its tokens mean. `fit` puts that of "
                            "text.characters(...).train into the model; else give one: generate(model, vocabulary).")
    if not isinstance(vocabulary, Vocabulary):
        hint = " Give data.vocabulary." if hasattr(vocabulary, "vocabulary") else ""
        raise SettingError(f"vocabulary is one of chainrule.text; got {type(vocabulary).__name__}.{hint}")
    return vocabulary


def _checked_choice(temperature, top_k, top_p, tokens: int, dtype: str) -> Choice:
    if not _is_number(temperature) or not 0 <= temperature < math.inf:
        raise SettingError(f"temperature is a number of at least 0, which takes the likeliest token; got "
                           f"{temperature!r}.")
    if top_p is not None and (not _is_number(top_p) or not 0 < top_p <= 1):
        raise SettingError(f"top_p is a probability above 0 and up to 1, or None for all tokens; got {top_p!r}.")
    top_k = tokens if top_k is None else check_whole("top_k", top_k, minimum=1)
    number = np.dtype(variable_dtype(dtype)).type
    return Choice(number(temperature), np.int32(min(top_k, tokens)), number(1 if top_p is None else top_p))


def _is_number(value) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float, np.number))


def _checked_stops(stop) -> list[str]:
    stops = [] if stop is None else [stop] if isinstance(stop, str) else list(stop)
    for each in stops:
        if not isinstance(each, str) or not each:
            raise SettingError(f"stop is a text that ends the writing, or several, none of them empty; got {stop!r}.")
    return stops


def _gives_logits(model) -> bool:
    """Whether the outputs are logits: as the loss says, else as the last activation."""
    chosen = model._compiled.loss if "_compiled" in model.__dict__ else None
    if isinstance(chosen, dict):
        chosen = list(chosen.values())
    if isinstance(chosen, (list, tuple)) and len(chosen) == 1:
        chosen = chosen[0]
    said = None if chosen is None or isinstance(chosen, (list, tuple)) else getattr(
        losses.get(chosen), "from_logits", None)
    if said is not None:
        return bool(said)
    graph = model.__dict__.get("_graph")
    return graph is None or last_activation(model.outputs[0]) != "softmax"
