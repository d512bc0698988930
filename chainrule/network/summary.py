"""A network as a table: layers, shapes, numbers of weights."""
import html
from dataclasses import dataclass

import jax

from chainrule.errors import format_shape
from chainrule.layers.binding import output_shapes, walk


@dataclass(frozen=True)
class Row:
    """One line of a summary."""

    name: str
    kind: str
    shape: str
    weights: int
    comes_from: str
    trainable: bool


def rows(model) -> list[Row]:
    """The lines of a summary, one a call of a layer; weights of a shared layer are counted at its first."""
    graph = model.__dict__.get("_graph")
    if graph is None:
        symbols = model.__dict__.get("_input_symbols")
        shapes = {} if symbols is None else output_shapes(model, symbols)
        text = lambda name: ", ".join(dict.fromkeys(map(format_shape, shapes.get(name, [])))) or "?"
        return [Row(name, type(layer).__name__, text(name), count(layer), "", layer.trainable)
                for name, layer in model.sublayers().items()]
    found, seen = [], set()
    shown = {view.name for view in model.layers}
    for node in graph.nodes:
        if graph.names[id(node.layer)] not in shown:
            continue
        shapes = ", ".join(format_shape(symbol.shape) for symbol in jax.tree.leaves(node.outputs))
        before = ", ".join(dict.fromkeys(graph.names[id(symbol.node.layer)] for symbol in node.inputs()))
        layer = node.layer
        found.append(Row(graph.names[id(layer)], type(layer).__name__, shapes,
                         0 if id(layer) in seen else count(layer), before, layer.trainable))
        seen.add(id(layer))
    return found


def count(layer, trainable: bool | None = None) -> int:
    """How many numbers a layer holds, shared ones once; only those that training changes, or does not, if asked."""
    total = 0
    for _, inner in walk(layer):
        for weight in inner.own_weights().values():
            trained = weight.trainable and inner.trainable and layer.trainable
            total += weight.size * (trainable is None or trained == trainable)
    return total


def totals(model) -> dict[str, int]:
    """The numbers of weights: all, trained, not trained."""
    return {"Total weights": count(model), "Trainable": count(model, True), "Not trainable": count(model, False)}


def summary_text(model) -> str:
    """The summary as lines of text."""
    lines = rows(model)
    linear = all(line.comes_from in ("", before.name) for before, line in zip(lines, lines[1:], strict=False))
    header = ["Layer", "Output shape", "Weights"] + ["Comes from"] * (not linear)
    table = [[f"{line.name} ({line.kind})", line.shape, f"{line.weights:,}"] + [line.comes_from] * (not linear)
             for line in lines]
    widths = [max(len(row[column]) for row in [header, *table]) for column in range(len(header))]
    right = {2}
    fill = lambda row: "  ".join(cell.rjust(width) if column in right else cell.ljust(width)
                                 for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    frozen = [f"{name}: {number:,}" for name, number in totals(model).items()]
    title = f"{type(model).__name__} {model.name!r}" if model.name else type(model).__name__
    return "\n".join([title, rule, fill(header), rule, *map(fill, table), rule, *frozen])


def summary_html(model) -> str:
    """The summary as a table for notebooks."""
    cells = lambda row, tag: "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)
    body = "".join(f"<tr>{cells((line.name, line.kind, line.shape, f'{line.weights:,}'), 'td')}</tr>"
                   for line in rows(model))
    foot = "; ".join(f"{name}: {number:,}" for name, number in totals(model).items())
    head = cells(("layer", "kind", "output shape", "weights"), "th")
    return f"<table><tr>{head}</tr>{body}</table><p>{html.escape(foot)}</p>"
