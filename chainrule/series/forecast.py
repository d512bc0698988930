"""Forecasts: the steps after the end of a series, all at once or one block after the other."""
from typing import NamedTuple

import jax
import numpy as np

from chainrule import losses
from chainrule.data.arrays import as_arrays
from chainrule.data.scaling import Scaling
from chainrule.data.series import all_columns, check_complete, check_count, find_columns, is_several
from chainrule.errors import DataError, SettingError, ShapeError, format_shape


def forecast(model, history, horizon: int | None = None, *, target=None, scaling=None, known=None,
             quantiles=None) -> np.ndarray:
    """What a network predicts for the steps after the end of a series.

    The network is one that was trained on windows of `series.windows` or `series.WindowSource`, without a gap. It
    sees the last rows of the history, as many as its input has, or all of them where the input's length is open. Where
    more steps are wanted than it predicts at once, its own predictions are appended to the history and it is asked
    again; it must then predict all variables that it sees.

    Args:
        model: the network: input `(batch, length, variables)`, or two inputs `"past"` and `"known"`; output
            `(batch, horizon)`, `(batch, horizon, targets)` or `(batch, horizon, quantiles)`.
        history: the series so far, `(rows,)` or `(rows, variables)` in any form that `series.windows` takes, in its
            plain unit; a list of several, or windows `(n, length, variables)`, for as many forecasts.
        horizon: how many steps to predict; by default as many as the network does at once.
        target: the columns that the network predicts, by number or name, as they were given to `series.windows`; all by
            default.
        scaling: the `Scaling` of the data that the network was trained on: the history is scaled by it and the forecast
            is brought back. By default the model's own (`model.preparation`); `False` for none.
        known: for a network with the input `"known"`: the rows of the horizon, `(horizon, k)`, or `(n, horizon, k)` for
            several series. It is not scaled.
        quantiles: the levels in the output's last axis; by default those of the loss, where the model was compiled with
            `losses.Quantile((0.1, 0.5, 0.9))`. They are sorted, so that they never cross. What is fed back is the level
            nearest to 0.5, so the later blocks of a long horizon do not know of the doubts of the earlier ones.

    Returns:
        `(horizon,)` for one target, `(horizon, targets)` for several, `(horizon, quantiles)` for quantiles; for several
        series with an axis of them in front.

    Raises:
        DataError: the history is too short or has missing values, `known` is missing or has too few rows.
        SettingError: the outputs do not say enough to go on: which variables they are, or those that are not predicted.

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential([cr.Input((3, 1)), cr.layers.Flatten(), cr.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([[[0.0], [-1.0], [2.0]]])        # a straight line goes on
        >>> forecast(model, [1.0, 2.0, 3.0, 4.0], horizon=3).tolist()
        [5.0, 6.0, 7.0]
    """
    layout = _Layout.of(model, quantiles)
    histories, names, single = _histories(history)
    scaling = _scaling(model, scaling)
    length, variables = layout.past.shape[1:]
    _check_histories(histories, names, length, variables)
    if scaling is not None and scaling.center is not None and len(scaling.center) != variables:
        raise SettingError(f"The scaling is for {len(scaling.center)} variables, and the network sees {variables}. "
                           f"Give the one its data were scaled by.")
    steps = layout.horizon if horizon is None else horizon
    check_count("horizon", steps, 1)
    blocks = -(-steps // layout.horizon)
    if names is None and scaling is not None:
        names = scaling.columns
    columns, one = layout.columns(target, names, variables, needed=blocks > 1 or scaling is not None)
    if blocks > 1 and sorted(columns) != list(range(variables)):
        raise SettingError(f"The network predicts {layout.horizon} step{'s' * (layout.horizon != 1)} of {len(columns)} "
                           f"variable{'s' * (len(columns) != 1)} and sees {variables}: {steps} steps need the future "
                           f"of the others too. Ask for at most {layout.horizon}, or train on a longer horizon.")
    coming = layout.known_rows(known, len(histories), single, blocks * layout.horizon)
    lasts = [part if length is None else part[-length:] for part in histories]
    groups = [slice(0, None)] if len({len(part) for part in lasts}) == 1 else [
        slice(index, index + 1) for index in range(len(lasts))]  # an open length: each series as long as it is
    found = []
    for group in groups:
        past = np.stack(lasts[group])
        past = past if scaling is None else scaling.transform(past)
        found.append(_predicted(model, layout, past, None if coming is None else coming[group], columns, blocks))
    result = np.concatenate(found)[:, :steps]
    if scaling is not None:
        result = scaling.inverse_transform(result, columns[0] if one else columns)
    if layout.levels:
        result = np.sort(result, -1)
    return result[0] if single else result


class _Layout(NamedTuple):
    """What goes into a network and comes out of it.

    Attributes:
        past: the symbol of the input that sees the history.
        known: the symbol of the input that sees what is known of the future, or `None`.
        horizon: how many steps come out.
        targets: how many variables come out, `None` where the output has no axis of them.
        levels: the quantiles that come out, in order; empty where there are none.
    """

    past: object
    known: object
    horizon: int
    targets: int | None
    levels: tuple[float, ...]

    @classmethod
    def of(cls, model, quantiles) -> "_Layout":
        output = model.output_shape
        if not isinstance(output, tuple) or not all(size is None or isinstance(size, int) for size in output):
            raise SettingError(f"A forecast needs a network with one output; this one has several: {output}.")
        levels, sizes = _levels(model, quantiles), output[1:]
        if levels:
            if sizes[-1:] != (len(levels),):
                raise ShapeError(f"{len(levels)} quantiles need an output with as many columns; that of the network is "
                                 f"{format_shape(output)}.")
            sizes = sizes[:-1] or (1,)
        if not 1 <= len(sizes) <= 2 - bool(levels) or None in sizes:
            raise ShapeError("A forecast needs an output (batch, horizon), (batch, horizon, targets) or, of one target,"
                             f" (batch, horizon, quantiles); that of the network is {format_shape(output)}.")
        return cls(*_input_symbols(model), sizes[0], sizes[1] if len(sizes) == 2 else None, levels)

    def columns(self, target, names, variables: int, needed: bool) -> tuple[list[int], bool]:
        """Which variables come out, and whether the output has no axis of them."""
        one = self.targets is None
        if target is None and (self.targets or 1) != variables:
            if needed or not one:
                raise SettingError(f"The network sees {variables} variables and predicts {self.targets or 1}: say "
                                   f"which, target=... as for series.windows.")
            return [0], True  # which it is makes no difference
        columns, _ = find_columns(target, names, variables)
        if len(columns) != (self.targets or 1):
            raise SettingError(f"target names {len(columns)} variables, and the network predicts {self.targets or 1}.")
        return columns, one

    def known_rows(self, known, count: int, single: bool, rows: int) -> np.ndarray | None:
        """What is known of the future, `(n, rows, k)`."""
        if self.known is None:
            if known is not None:
                raise DataError("known is given, and the network has no input 'known'. Leave it out.")
            return None
        width = self.known.shape[-1]
        if known is None:
            raise DataError(f"The network has an input 'known': give {rows} rows of {width} columns, known=...")
        array = as_arrays(known, "known")
        if single:
            array = (array[:, None] if array.ndim == 1 else array)[None]
        if array.ndim != 3 or len(array) != count or array.shape[1] < rows or array.shape[2] != width:
            wanted = (rows, width) if single else (count, rows, width)
            came = array.shape[1:] if single else array.shape
            raise DataError(f"known needs the shape {format_shape(wanted)}, a row for each step that the network "
                            f"predicts; got {format_shape(came)}.")
        return array

    def inputs(self, past: np.ndarray, known: np.ndarray | None):
        return past if known is None else {"past": past, "known": known}


def _input_symbols(model) -> tuple:
    """The symbols of the history and of what is known of the future."""
    graph = model.__dict__.get("_graph")
    if graph is None:
        structure = model.__dict__["_input_symbols"][0]
        named = structure if isinstance(structure, dict) else None
        symbols = jax.tree.leaves(structure)
    else:
        symbols = jax.tree.leaves(graph.inputs)
        named = graph.inputs if isinstance(graph.inputs, dict) else {
            graph.names[id(symbol.node.layer)]: symbol for symbol in symbols}
    if len(symbols) == 1:
        past, known = symbols[0], None
    elif named is not None and set(named) == {"past", "known"}:
        past, known = named["past"], named["known"]
    else:
        raise SettingError(f"A forecast needs a network with one input, or with the two inputs 'past' and 'known'; "
                           f"this one has {len(symbols)}{f': {sorted(named)}' if named else ''}.")
    if len(past.shape) != 3:
        raise ShapeError(f"A forecast needs an input (batch, length, variables); that of the network is "
                         f"{format_shape(past.shape)}.")
    return past, known


def _levels(model, quantiles) -> tuple[float, ...]:
    """The quantiles that the output holds: those given, or those of the loss."""
    if quantiles is None:
        compiled = model.__dict__.get("_compiled")
        loss = None if compiled is None else compiled.loss
        several = isinstance(loss, losses.Quantile) and isinstance(loss.quantile, (tuple, list))
        return tuple(loss.quantile) if several else ()
    if not isinstance(quantiles, (tuple, list)) or not all(
            isinstance(level, (int, float)) and 0 < level < 1 for level in quantiles):
        raise SettingError(f"quantiles are levels between 0 and 1, such as (0.1, 0.5, 0.9); got {quantiles!r}.")
    return tuple(quantiles)


def _scaling(model, scaling) -> Scaling | None:
    if scaling is None:
        return model.preparation if isinstance(model.preparation, Scaling) else None
    if scaling is False:
        return None
    if not isinstance(scaling, Scaling):
        raise SettingError(f"scaling is a Scaling, None for the model's own, or False for none; got {scaling!r}.")
    return scaling


def _histories(history) -> tuple[list[np.ndarray], list[str] | None, bool]:
    """Each series as `(rows, variables)`, the names of the columns, and whether it is one alone."""
    if not is_several(history) and np.ndim(history) == 3:
        return list(as_arrays(history, "history")), None, False
    series, names = all_columns(history, "history")
    return series, names, not is_several(history)


def _check_histories(histories: list[np.ndarray], names, length: int | None, variables: int) -> None:
    for index, part in enumerate(histories):
        name = "history" if len(histories) == 1 else f"history[{index}]"
        if part.shape[1] != variables:
            raise DataError(f"{name} has {part.shape[1]} variable{'s' * (part.shape[1] != 1)}, and the network sees "
                            f"{variables}.")
        if length is not None and len(part) < length:
            raise DataError(f"{name} has {len(part)} row{'s' * (len(part) != 1)}, and the network sees {length} before "
                            f"it predicts. Give more of the past.")
        check_complete(part if length is None else part[-length:], name if length is None else
                       f"The end of {name} ({length} rows)", names, "Fill them first: series.fill(history).")


def _predicted(model, layout: _Layout, past: np.ndarray, known, columns: list[int], blocks: int) -> np.ndarray:
    """The outputs of all blocks behind each other, in the network's unit."""
    parts, length = [], layout.past.shape[1]
    middle = min(range(len(layout.levels)), key=lambda index: abs(layout.levels[index] - 0.5), default=0)
    for block in range(blocks):
        ahead = None if known is None else known[:, block * layout.horizon : (block + 1) * layout.horizon]
        outputs = np.asarray(model.predict(layout.inputs(past, ahead)))
        if layout.levels:
            outputs = outputs.reshape(len(past), layout.horizon, len(layout.levels))
        parts.append(outputs)
        if block + 1 < blocks:
            values = outputs[..., middle] if layout.levels else outputs
            new = np.empty((len(past), layout.horizon, len(columns)), past.dtype)
            new[..., columns] = values.reshape(new.shape)
            past = np.concatenate([past, new], 1)
            past = past if length is None else past[:, -length:]
    return np.concatenate(parts, 1)
