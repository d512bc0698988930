"""Write docs/reference.md from the docstrings: `make reference`."""
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import chainrule
from chainrule import (
    activations,
    applications,
    callbacks,
    constraints,
    data,
    datasets,
    errors,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    population,
    regularizers,
    saving,
    schedules,
    series,
    symbolic,
    text,
    tuning,
    uncertainty,
    utils,
)
from chainrule.configuration import Registry

PAGE = Path(__file__).with_name("reference.md")
LABELS = ("Args", "Attributes", "Class attributes", "Example", "Raises", "Reference", "Returns", "Shapes")


class Entry(NamedTuple):
    """One thing with a heading of its own.

    Attributes:
        title: the heading.
        thing: the class, function or property.
        names: the strings that stand for it.
        common: settings that are described once, at the head of the section.
        methods: what a user's own subclass writes or calls, listed by its first sentence.
        returned: whether it is handed out by a function and never made by hand.
    """

    title: str
    thing: object
    names: tuple[str, ...] = ()
    common: frozenset[str] = frozenset()
    methods: tuple[str, ...] = ()
    returned: bool = False


class Section(NamedTuple):
    """A part of the page."""

    title: str
    text: str
    entries: list[Entry]


def sections() -> list[Section]:
    """What the page is made of, in order."""
    return [
        Section("Networks", "What `import chainrule as cr` gives for making networks: `cr.Sequential`, `cr.Model`, "
                "`cr.Input`. Methods stand behind their class.",
                [Entry("Input", chainrule.Input), *_with_methods("Model", models.Model),
                 *_with_methods("Sequential", models.Sequential), Entry("models.load_model", models.load_model)]),
        Section("Layers", "Every layer also takes `name`, `trainable`, `input_shape` and `dtype`, by keyword; `Layer` "
                "says what they mean. Shapes have the batch first and channels last.",
                [Entry("layers.Layer", layers.Layer, methods=(
                    "build", "call", "compute_mask", "add_weight", "add_loss", "compute_output_shape", "get_config")),
                 *_registered("layers", layers.registry, layers.Layer, named=False),
                 Entry("layers.check_layer", layers.check_layer),
                 Entry("layers.LayerReport", layers.LayerReport, returned=True)]),
        Section("Activations", "Functions on arrays; layers take them, or their names, as `activation`.",
                _registered("activations", activations.registry)),
        Section("Operations", "Pure functions on arrays: what layers of images are made of, for plain images and for "
                "layers of one's own. The kernels at the end are what `ops.named_kernel` knows.",
                [*_listed("ops", chainrule.ops), *_registered("ops.filters", chainrule.ops.filters.registry)]),
        Section("Losses", "Every loss also takes `reduction` and `name`, by keyword; `Loss` says what they mean. Each "
                "has a functional form in snake case, `losses.mean_squared_error(y_true, y_pred)`, that returns one "
                "value per row. In the equations `y` is the target and `p` the output; a loss that is called reduces "
                "its values to a number.",
                [Entry("losses.Loss", losses.Loss, methods=("call", "mask", "values", "__call__")),
                 *_registered("losses", losses.registry, losses.Loss)]),
        Section("Metrics", "Every metric also takes `name`, by keyword. `\"accuracy\"` stands for the accuracy that "
                "fits the loss and the shapes. In the equations `y` is the target, `p` the output and `w` the weight.",
                [Entry("metrics.Metric", metrics.Metric, methods=(
                    "zeros", "add", "compute", "update_state", "result", "reset_state", "__call__")),
                 *_registered("metrics", metrics.registry, metrics.Metric),
                 Entry("metrics.exact_auc", metrics.exact_auc)]),
        Section("Optimizers", "Every optimiser also takes the settings of `Optimizer`, by keyword.",
                [Entry("optimizers.Optimizer", optimizers.Optimizer, methods=(
                    "init", "update", "hyperparameters", "learning_rate_at", "final_weights", "slots", "rule",
                    "prepare")),
                 *_registered("optimizers", optimizers.registry, optimizers.Optimizer),
                 Entry("optimizers.OptaxOptimizer", optimizers.OptaxOptimizer)]),
        Section("Schedules", "Learning rates that depend on the step; given to an optimiser as its `learning_rate`. "
                "Every schedule also takes `name`, by keyword.",
                [Entry("schedules.Schedule", schedules.Schedule, methods=("__call__", "momentum")),
                 *_registered("schedules", schedules.registry, schedules.Schedule)]),
        Section("Initializers", "How weights start.",
                [Entry("initializers.Initializer", initializers.Initializer, methods=("draw", "__call__")),
                 *_registered("initializers", initializers.registry)]),
        Section("Regularizers", "Penalties on weights or outputs, added to the loss.",
                [Entry("regularizers.Regularizer", regularizers.Regularizer),
                 *_registered("regularizers", regularizers.registry)]),
        Section("Constraints", "Projections of weights after each update.",
                [Entry("constraints.Constraint", constraints.Constraint),
                 *_registered("constraints", constraints.registry)]),
        Section("Callbacks", "What acts between the steps or epochs of a fit.",
                [Entry("callbacks.Callback", callbacks.Callback, methods=(
                    *callbacks.EVENTS, "get_state", "set_state")),
                 *_listed("callbacks", callbacks, except_for=("Callback",), returned=("History",))]),
        Section("Published networks", "For images, with the weights trained on ImageNet. All take images prepared by "
                "the same `preprocess_input`, which stands beside each: `applications.vgg16.preprocess_input`. Weights "
                "of other networks come from files of PyTorch and Keras as arrays.",
                [*(Entry(f"applications.{name}", getattr(applications, name))
                   for name in ("VGG16", "VGG19", "ResNet18", "ResNet50")),
                 *(Entry(f"applications.imagenet.{name}", getattr(applications.imagenet, name))
                   for name in ("preprocess_input", "decode_predictions", "classes")),
                 Entry("saving.read_pytorch", saving.read_pytorch), Entry("saving.read_keras", saving.read_keras)]),
        Section("Populations", "Many networks trained by one program: `cr.Population`. The guide is "
                "docs/populations.md.",
                [*_with_methods("Population", population.Population),
                 *_with_methods("population.PopulationHistory", population.PopulationHistory, returned=True)]),
        Section("Inspection", "Looking into networks.",
                [*_listed("inspect", chainrule.inspect, except_for=("Picture",),
                          returned=("GradientReport", "Maximisation", "WeightCheck")),
                 *_with_methods("inspect.Picture", chainrule.inspect.Picture)]),
        Section("Symbols", "Small networks as formulas; needs `pip install 'chainrule[symbols]'` and "
                "`from chainrule import symbolic`.",
                [Entry("symbolic.derive", symbolic.derive),
                 *_with_methods("symbolic.Derivation", symbolic.Derivation, returned=True)]),
        Section("Data", "Rows that are read while a network is trained on them; images need "
                "`pip install 'chainrule[images]'`, Parquet and CSV files `pip install 'chainrule[tables]'`.",
                [Entry("data.Source", data.Source, methods=("__len__", "rows", "load", "subset", "split")),
                 *_listed("data", data, except_for=("Source",))]),
        Section("Text", "Text as numbers, windows of it to train on, and text that a model writes; byte pairs need "
                "`pip install 'chainrule[text]'`.",
                [*_listed("text", text, except_for=("TextData", "Vocabulary")),
                 Entry("text.TextData", text.TextData, methods=("encode", "decode"), returned=True),
                 Entry("text.Vocabulary", text.Vocabulary, methods=("encode", "decode", "decode_stream", "unknown"),
                       returned=True)]),
        Section("Series", "Readings in the order of time: windows of them, scaling, forecasts, and what these are "
                "measured against. `series.split` and the readers give what the others take.",
                [*(Entry(f"series.{name}", getattr(series, name)) for name in series.__all__
                   if name != "Scaling"),
                 *_with_methods("series.Scaling", series.Scaling)]),
        Section("Uncertainty", "Predictions of several members made into one, how sure it is, and whether that is "
                "true. NumPy arrays in, NumPy arrays out.",
                _listed("uncertainty", uncertainty, returned=("CalibrationCurve", "CoverageCurve", "GaussianMixture"))),
        Section("Tuning", "Many settings of a network tried at once; `by=\"optuna\"` needs "
                "`pip install 'chainrule[tuning]'`.",
                [Entry("tune", chainrule.tune), *_with_methods("tuning.Results", tuning.Results, returned=True),
                 Entry("tuning.Trial", tuning.Trial, returned=True),
                 *_listed("tuning", tuning, except_for=("Results", "Trial", "tune", "Dimension", "Proposer")),
                 Entry("tuning.Dimension", tuning.Dimension, methods=("value",), returned=True),
                 Entry("tuning.Proposer", tuning.Proposer, methods=("propose",))]),
        Section("Data sets", "Found in the folder that `CHAINRULE_DATA` names, in the cache, or downloaded once.",
                [*(Entry(f"datasets.{name}.load_data", getattr(datasets, name).load_data)
                   for name in ("cifar10", "digits", "fashion_mnist", "mnist")),
                 Entry("datasets.read_idx", datasets.read_idx), Entry("datasets.write_idx", datasets.write_idx)]),
        Section("Utilities", "",
                [Entry("cache_compilations", chainrule.cache_compilations), *_defined("utils", utils)]),
        Section("Errors", "Every error says what was expected, what came, and the likely fix.",
                [entry for entry in _defined("errors", errors) if inspect.isclass(entry.thing)]),
    ]


def _registered(module: str, registry: Registry, base: type | None = None, named: bool = True) -> list[Entry]:
    """The entries of a registry, each once, with the names that make one."""
    common = frozenset(_keyword_only(base)) if base else frozenset()
    found = []
    for thing in {id(thing): thing for thing in registry.entries.values()}.values():
        alone = not inspect.isclass(thing) or not _needed(thing)
        names = tuple(name for name, other in registry.entries.items() if other is thing
                      and not (inspect.isclass(thing) and name == thing.__name__))
        found.append(Entry(f"{module}.{thing.__name__}", thing, names if named and alone else (), common))
    return found


def _listed(name: str, module, except_for: tuple[str, ...] = (), returned: tuple[str, ...] = ()) -> list[Entry]:
    """What a module lists as public: classes and functions."""
    return [Entry(f"{name}.{item}", getattr(module, item), returned=item in returned) for item in module.__all__
            if callable(getattr(module, item)) and item not in except_for]


def _defined(name: str, module) -> list[Entry]:
    """The public classes and functions that a module defines."""
    return [Entry(f"{name}.{item}", thing) for item, thing in vars(module).items()
            if not item.startswith("_") and getattr(thing, "__module__", None) == module.__name__]


def _with_methods(title: str, cls: type, returned: bool = False) -> list[Entry]:
    """A class, and the public methods and properties that are its own and not its parents'."""
    own = [(name, thing) for name, thing in vars(cls).items() if not name.startswith("_") and name != "hold_run"
           and (inspect.isfunction(thing) or isinstance(thing, property))
           and not any(hasattr(parent, name) for parent in cls.__mro__[1:])]
    return [Entry(title, cls, returned=returned), *(Entry(f"{title}.{name}", thing) for name, thing in own)]


def _parameters(cls: type) -> list[inspect.Parameter]:
    return list(inspect.signature(cls.__init__).parameters.values())[1:]


def _keyword_only(cls: type) -> list[str]:
    return [parameter.name for parameter in _parameters(cls) if parameter.kind is parameter.KEYWORD_ONLY]


def _needed(cls: type) -> bool:
    """Whether an object needs an argument to be made."""
    return any(parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
               for parameter in _parameters(cls))


# From a docstring to Markdown


def signature(entry: Entry) -> str:
    """How it is called, with defaults: `Dense(units, activation=None, ...)`; empty where nobody calls it."""
    thing, name = entry.thing, entry.title.rpartition(".")[2]
    is_error = inspect.isclass(thing) and issubclass(thing, Exception)
    if entry.returned or is_error or not callable(thing):
        return ""
    parts, starred = [], False
    for parameter in inspect.signature(thing.__init__ if inspect.isclass(thing) else thing).parameters.values():
        if parameter.name == "self" or parameter.name in entry.common:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
        starred = starred or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={_default(parameter.default)}"
        parts.append(f"{stars}{parameter.name}{default}")
    if inspect.isclass(thing) and thing.__init__ is object.__init__:
        parts = []
    return textwrap.fill(f"{name}({', '.join(parts)})", 100, subsequent_indent=" " * (len(name) + 1),
                         break_long_words=False, break_on_hyphens=False)


def _default(value) -> str:
    return getattr(value, "__name__", None) or repr(value)


def blocks(docstring: str) -> list[tuple[str, str]]:
    """A docstring as labelled parts in order: `("", paragraph)`, `("Args", ...)`, `("Example", ...)`.

    A part begins at its label and ends where, after an empty line, something is not indented.
    """
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in docstring.splitlines():
        match = re.match(rf"({'|'.join(LABELS)})(?: that a subclass may set)?:\s*(.*)$", line)
        label, lines = found[-1]
        if match:
            found.append((match[1], [match[2]]))
        elif label and line and not line.startswith(" ") and not lines[-1]:
            found.append(("", [line]))
        else:
            lines.append(line)
    dedented = lambda lines: [lines[0], textwrap.dedent("\n".join(lines[1:]))]
    parts = [(label, "\n".join(dedented(lines) if label else lines).strip("\n")) for label, lines in found if lines]
    return [(label, text) for label, text in parts if text]


def markdown(label: str, text: str) -> str:
    """One part of a docstring as Markdown."""
    headings = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Raises",
                "Class attributes": "Class attributes that a subclass may set"}
    if label in headings:
        return f"{headings[label]}:\n\n{_items(text)}"
    if label == "Example":
        return f"```pycon\n{text}\n```"
    if label == "Reference":
        return f"*Reference:* {_joined(text)}"
    return f"{label}: {_joined(text)}" if label else _paragraphs(text)


def _items(text: str) -> str:
    """The lines `name: meaning` as a list."""
    items, behind = [], []
    for line in text.splitlines():
        match = re.match(r"([*\w]+(?:, [*\w]+)*): (.*)", line)
        if match:
            names = ", ".join(f"`{name}`" for name in match[1].split(", "))
            items.append(f"- {names}: {match[2]}")
        elif line.startswith(" ") and items:
            items[-1] += f" {line.strip()}"
        elif line.strip():
            behind.append(line)
    return "\n".join(items) + (f"\n\n{_paragraphs(chr(10).join(behind))}" if behind else "")


def _paragraphs(text: str) -> str:
    """Paragraphs as they are, indented ones (equations, code) as blocks."""
    parts = []
    for indented, part in _runs(text.splitlines()):
        body = "\n".join(part).strip("\n")
        parts.append(f"```\n{textwrap.dedent(body)}\n```" if indented else body)
    return "\n\n".join(part for part in parts if part)


def _runs(lines: list[str]) -> list[tuple[bool, list[str]]]:
    """Lines grouped into indented ones and others; empty lines go with what is before them."""
    runs: list[tuple[bool, list[str]]] = []
    for line in lines:
        indented = runs[-1][0] if runs and not line.strip() else line.startswith("    ")
        if not runs or runs[-1][0] != indented:
            runs.append((indented, []))
        runs[-1][1].append(line)
    return runs


def _joined(text: str) -> str:
    return " ".join(text.split())


def _first_paragraph(thing) -> str:
    return _joined((inspect.getdoc(thing) or "").split("\n\n")[0])


def described(entry: Entry) -> str:
    """The heading and all that stands under it."""
    parts = [f"### {entry.title}"]
    if call := signature(entry):
        parts.append(f"```python\n{call}\n```")
    parts += [markdown(label, text) for label, text in blocks(inspect.getdoc(entry.thing) or "")]
    if entry.methods:
        methods = [Entry(name, getattr(entry.thing, name)) for name in entry.methods]
        parts.append("Methods:\n\n" + "\n".join(
            f"- `{_joined(signature(method))}`: {_first_paragraph(method.thing)}" for method in methods))
    if entry.names:
        parts.append("By name: " + ", ".join(f'`"{name}"`' for name in entry.names) + ".")
    return "\n\n".join(parts)


def page() -> str:
    """The whole page."""
    chosen = sections()
    anchor = lambda title: re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    link = lambda title, text: f"[{text}](#{anchor(title)})"
    contents = []
    for section in chosen:
        short = [entry.title.removeprefix(f"{entry.title.split('.')[0]}.") if entry.title[0].islower() else entry.title
                 for entry in section.entries]
        links = ", ".join(link(entry.title, text) for entry, text in zip(section.entries, short, strict=True))
        contents.append(f"- {link(section.title, section.title)}: {links}")
    parts = ["# Reference", "Made from the docstrings by `make reference`; every example runs in `make test`. In the "
             "examples `np` is NumPy, `jnp` is `jax.numpy`, and names of the section's own module need no prefix.",
             "\n".join(contents)]
    for section in chosen:
        parts += [f"## {section.title}", section.text, *(described(entry) for entry in section.entries)]
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE}: {len(PAGE.read_text().splitlines()):,} lines", file=sys.stderr)
