"""The networks that `chainrule fit` builds for text: recurrent ones and Transformers, with how they are trained."""
from typing import NamedTuple

KINDS = ("lstm", "gru", "transformer")
_HEAD_SIZE = 32


class TextRecipe(NamedTuple):
    """A network that writes and how it is trained.

    Attributes:
        kind: one of `KINDS`.
        hidden: the units of its layers; all the same in a Transformer.
        length: how many tokens a step of training spans.
        epochs, batch_size, patience, learning_rate, dropout: how it is trained.
    """

    kind: str
    hidden: tuple[int, ...]
    length: int
    epochs: int
    batch_size: int
    patience: int
    learning_rate: float
    dropout: float

    @property
    def carries(self) -> bool:
        """Whether its layers go on, in training, with the states that the text before has left."""
        return self.kind != "transformer"


def recipe(kind: str | None, size: int) -> TextRecipe:
    """The recipe for a text of so many tokens: the more there is to read, the wider the network.

    Raises:
        UnknownNameError: there is no such kind of network.
    """
    from chainrule.errors import UnknownNameError, did_you_mean

    kind = kind or "lstm"
    if kind not in KINDS:
        raise UnknownNameError(f"There is no network {kind!r} for text. {did_you_mean(kind, KINDS)}")
    small, tiny = size < 300_000, size < 30_000
    epochs, batch = (60, 8) if tiny else (30, 16) if small else (6, 32)
    if kind == "transformer":
        width = 64 if tiny else 128
        return TextRecipe(kind, (width, width), width, epochs, batch, 5, 2e-3, 0.1 if small else 0.0)
    units = 128 if tiny else 256 if small else 384
    return TextRecipe(kind, (units,), 64, epochs, batch, 5, 4e-3 if small else 3e-3, 0.25)


def build(recipe: TextRecipe, tokens: int, carry: bool = False):
    """A network that gives, for each token of a text, logits of the next.

    Recurrent: an embedding, the recurrent layers with dropout behind each, and a dense layer. A Transformer: an
    embedding, causal blocks that know positions by rotation, a normalisation, and a dense layer.

    Args:
        recipe: which network.
        tokens: the size of the vocabulary.
        carry: whether it goes on from batch to batch with the states of the batch before, for training over a text in
            its order; the weights are the same.
    """
    from chainrule import layers
    from chainrule.models import Input, Sequential

    # Attention is not asked about more tokens than it was trained on: positions beyond them are new to it.
    length = None if recipe.carries else recipe.length
    model = Sequential([Input(batch_shape=(recipe.batch_size if carry else None, length), dtype="int32")])
    if recipe.kind == "transformer":
        width = recipe.hidden[0]
        model.add(layers.Embedding(tokens, width))
        for _ in recipe.hidden:
            model.add(layers.TransformerBlock(_heads(width), dropout=recipe.dropout, causal=True,
                                              rotary=True))
        model.add(layers.LayerNormalization())
    else:
        layer = {"lstm": layers.LSTM, "gru": layers.GRU}[recipe.kind]
        model.add(layers.Embedding(tokens, min(tokens, 64)))
        for units in recipe.hidden:
            model.add(layer(units, return_sequences=True, stateful=carry))
            if recipe.dropout:
                model.add(layers.Dropout(recipe.dropout))
    model.add(layers.Dense(tokens))
    return model


def _heads(width: int) -> int:
    """The heads of an even width: about `_HEAD_SIZE` wide or wider, all of one size, which rotation wants even."""
    return next(heads for heads in range(max(width // _HEAD_SIZE, 1), 0, -1) if width % (2 * heads) == 0)


def describe(recipe: TextRecipe) -> str:
    """A network in a few words: `LSTM of 512 units`, `Transformer of 4 blocks, 128 wide`."""
    if recipe.kind == "transformer":
        return f"Transformer of {len(recipe.hidden)} blocks, {recipe.hidden[0]} wide"
    layers = " and ".join(map(str, recipe.hidden))
    return f"{recipe.kind.upper()} of {layers} units"
