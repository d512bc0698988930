"""The networks that `chainrule fit` builds for series, with how they are trained."""
from typing import NamedTuple

KINDS = ("dense", "gru", "lstm", "convolutional", "linear")
LEVELS = (0.1, 0.5, 0.9)  # of the forecast: its middle, and a range that should hold four of five values


class Windows(NamedTuple):
    """What a network needs to know of the windows it is for.

    Attributes:
        length, variables: what it sees.
        horizon, targets: what it predicts: the first of the variables.
        known: how many columns are known of the future.
        rows: how many windows there are to train on.
    """

    length: int
    variables: int
    horizon: int
    targets: int
    known: int
    rows: int


class SeriesRecipe(NamedTuple):
    """A network that forecasts and how it is trained.

    Attributes:
        kind: one of `KINDS`.
        hidden: the units of its layers.
        epochs, batch_size, patience, learning_rate, dropout: how it is trained.
    """

    kind: str
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    patience: int
    learning_rate: float
    dropout: float


def recipe(kind: str | None, rows: int) -> SeriesRecipe:
    """The recipe for so many windows.

    Raises:
        UnknownNameError: there is no such kind of network.
    """
    from chainrule.errors import UnknownNameError, did_you_mean

    kind = kind or "dense"
    if kind not in KINDS:
        raise UnknownNameError(f"There is no network {kind!r} for series. {did_you_mean(kind, KINDS)}")
    hidden = {"dense": (64, 64), "convolutional": (32, 32), "linear": ()}.get(kind, (64,))
    epochs, batch = (200, 16) if rows < 500 else (60, 64) if rows < 5_000 else (30, 128)
    return SeriesRecipe(kind, hidden, epochs, batch, max(epochs // 5, 5), 2e-3, 0.1)


def build(recipe: SeriesRecipe, windows: Windows):
    """A network for windows: what lies ahead as the last value and a change that it foretells.

    The window enters with its last value taken off, so that the level of the series does not matter, and what is known
    of the future stands beside what the body made of it. The last layer starts at zero: the untrained network is the
    naive forecast. One target is forecast at the levels `LEVELS`, several each by its middle.
    """
    from chainrule import layers
    from chainrule.models import Input, Model

    past = Input((windows.length, windows.variables), name="past")
    known = Input((windows.horizon, windows.known), name="known") if windows.known else None
    last = past[:, -1:, :]
    x = _body(recipe, past - last)
    if known is not None:
        x = layers.Concatenate()([x, layers.Flatten()(known)])
    if recipe.kind != "linear":
        for units in recipe.hidden if recipe.kind == "dense" else (64,):
            x = layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x)
            x = layers.Dropout(recipe.dropout)(x) if recipe.dropout else x
    columns = len(LEVELS) if windows.targets == 1 else windows.targets
    change = layers.Dense(windows.horizon * columns, kernel_initializer="zeros")(x)
    outputs = layers.Reshape((windows.horizon, columns))(change) + last[:, :, :windows.targets]
    return Model(past if known is None else {"past": past, "known": known}, outputs)


def _body(recipe: SeriesRecipe, x):
    """A window as a row of features."""
    from chainrule import layers

    if recipe.kind == "convolutional":
        for filters in recipe.hidden:
            x = layers.Conv1D(filters, 5, padding="same", activation="relu", kernel_initializer="he_normal")(x)
    elif recipe.kind in ("gru", "lstm"):
        layer = {"gru": layers.GRU, "lstm": layers.LSTM}[recipe.kind]
        for index, units in enumerate(recipe.hidden, start=1):
            x = layer(units, return_sequences=index < len(recipe.hidden))(x)
        return x
    return layers.Flatten()(x)


def describe(recipe: SeriesRecipe, windows: Windows) -> str:
    """A network in a line: `dense, 28 steps → 64 → 64 → 7 steps`."""
    steps = lambda count: f"{count} step{'s' * (count != 1)}"
    return f"{recipe.kind}, " + " → ".join([steps(windows.length), *map(str, recipe.hidden), steps(windows.horizon)])
