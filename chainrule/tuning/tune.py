"""`tune`: many settings of a network tried at once, and the best of them."""
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from chainrule.callbacks.progress import resolve_verbosity
from chainrule.errors import SettingError, UnknownNameError, did_you_mean, shortened
from chainrule.models import Model, check_whole
from chainrule.saving.format import describe_model
from chainrule.training.figures import larger_is_better
from chainrule.tuning.data import check_data, divide
from chainrule.tuning.halving import Halving
from chainrule.tuning.progress import SearchProgress
from chainrule.tuning.proposals import EvenProposer, OptunaProposer, Proposer, RandomProposer
from chainrule.tuning.recipe import Recipe
from chainrule.tuning.results import Results
from chainrule.tuning.rounds import Rounds
from chainrule.tuning.search import Budget, Judge, Search, as_budget
from chainrule.tuning.space import as_space, free_names
from chainrule.tuning.store import SearchStore, read_settings
from chainrule.tuning.trial import Trial

WAYS = ("random", "even", "halving", "optuna")
_MOST_AT_ONCE = 64
_A_ROUND = 16  # trials in a round where later ones learn from it, or where the clock may end the search


def tune(model: Model | Callable[..., Model], space: Mapping[str, Any], data: tuple, budget: int | dict | Budget = 64,
         *, epochs: int = 20, by: str | Proposer | Halving = "random", monitor: str | None = None, mode: str = "auto",
         batch_size: int | None = None, validation_data: tuple | None = None, validation_split: float = 0.2,
         folds=None, class_weight=None, patience: int | None = None, at_once: int | None = None, seed: int = 0,
         run=None, resume: bool = False, memory: int | str | None = None, verbose="auto") -> Results:
    """Search for good settings of a network: many are trained at once, those of one shape by one compiled program.

        results = cr.tune(build, {"units": [32, 64], "learning_rate": (1e-4, 1e-1, "log")}, (x, y), 64, epochs=20)
        results.best_values, results.best_model

    A name in the space is a number of the network in which members of a population may differ (`learning_rate`,
    `weight_decay`, `"dropout/rate"`, `"*/kernel_regularizer/l2"`, ...: see `Population`), `batch_size`, or a parameter
    of the function that builds the network. Which of those parameters only set such numbers is found out by building:
    they go the same way. All that is left decides shapes, and each combination of such values is compiled once.

    Trial `n` is to its network what `fit(seed=seed + n)` is. A trial is judged by its best epoch, and has the weights
    of that epoch; where trials are halved, by the best of its rungs.

    Args:
        model: a compiled model, or a function of the values that returns one.
        space: what each name may be: `(low, high)`, `(low, high, "log")`, a list of options, one value for all, or a
            dimension of `chainrule.tuning`.
        data: `(x, y)`, arrays as for `fit`.
        budget: how many trials; or `{"trials": ..., "epochs": ..., "minutes": ...}`, of which the first that is used up
            ends the search.
        epochs: how many a trial is trained for, at most.
        by: `"random"`; `"even"`, which leaves smaller gaps; `"halving"`, which trains the better ones longer and gives
            the places of the others away; `"optuna"`, which learns from the trials before; or a `Proposer` or `Halving`
            with settings of your own.
        monitor: the figure to improve, `val_loss` by default, the mean over folds where there are folds.
        mode: `"min"`, `"max"`, or `"auto"` by the figure's name.
        batch_size, class_weight: as for `fit`.
        validation_data: `(x, y)` to judge trials by.
        validation_split: the share of the rows to judge by where there are no such data, drawn by `seed`, of each class
            its share.
        folds: cross-validation in the place of that: a number of folds, or the fold of each row. All folds of all
            trials are trained at once.
        patience: how many epochs may pass without improvement before a trial ends.
        at_once: how many trials a round has; by default all, at most 64, or 16 where `by` learns from them or only the
            clock ends the search.
        seed: decides what is tried, which rows are held out, and the seeds of the trials.
        run: a folder to keep the search in while it is under way: settings and trials in `search.sqlite`, the best
            network in `best.chain`.
        resume: whether to go on with the search in that folder. Trials that are over are not trained again.
        memory: as for `Population`.
        verbose: as for `fit`.

    Returns:
        The `Results`. On Ctrl-C, those of the trials until then.

    Raises:
        UnknownNameError: a name of the space stands for nothing. It is raised before anything is trained.
        SettingError: a value cannot be had, or a search of another kind is in the folder.
        ImportError: `by="optuna"`, and optuna is not installed.

    Example:
        >>> import numpy as np
        >>> import chainrule as cr
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
        >>> model.compile(cr.optimizers.SGD(), "mse")
        >>> results = tune(model, {"learning_rate": [1e-4, 1e-3, 1e-1]}, (x, 2 * x + 1), 12, epochs=30, verbose=0)
        >>> results.best_values, len(results)
        ({'learning_rate': 0.1}, 12)
        >>> results.best_model.predict(np.ones((1, 1))).round(1).tolist()
        [[3.0]]
    """
    check_whole("epochs", epochs, minimum=1)
    check_whole("seed", seed, minimum=0)
    for name, value in (("patience", patience), ("at_once", at_once), ("batch_size", batch_size)):
        if value is not None:
            check_whole(name, value, minimum=1)
    if resume and run is None:
        raise SettingError("resume=True needs the folder of the search: run='runs/search'.")
    budget, dimensions, (x, y) = as_budget(budget), as_space(space), check_data(data)
    if batch_size is not None and "batch_size" in dimensions:
        raise SettingError("batch_size is given, and the space has it too. Leave one of them out.")
    proposer, halving = _way(by)
    recipe = Recipe(model, dimensions, x)
    shape = recipe.check(_middle(dimensions))
    parts = divide(shape.model, x, y, validation_data, validation_split, folds, seed)
    judge = _judge(shape.model, parts, monitor, mode)
    options = {"batch_size": batch_size, "class_weight": class_weight}
    known = {} if run is None or not resume else read_settings(run)
    if halving is None:
        at_once = at_once or known.get("at_once") or _at_once(proposer, budget)
        strategy, way = Rounds(at_once), _described(proposer)
    else:
        at_once = at_once or halving.places or known.get("at_once") or halving.size(budget.trials)
        strategy, way = Halving(halving.factor, halving.first, at_once), f"halving {halving.factor} {halving.first}"
    store = None
    if run is not None:
        store = SearchStore(run, dimensions, resume)
    try:
        search = Search(recipe, parts, proposer, judge, epochs, seed, budget, options, patience, store,
                        SearchProgress(resolve_verbosity(verbose), judge.monitor, free_names(dimensions)), memory)
        if store is not None:
            store.begin({"space": {name: dimension.describe() for name, dimension in dimensions.items()},
                         "data": parts.digest(), "model": _fingerprint(shape.model), "epochs": epochs, "seed": seed,
                         "by": way, "monitor": judge.monitor, "larger": judge.larger, "batch_size": batch_size,
                         "class_weight": None if class_weight is None else repr(class_weight), "patience": patience,
                         "at_once": at_once})
            _go_on(search, store.trials())
        search.run(strategy)
        return Results(search, x, y)
    finally:
        if store is not None:
            store.close()


def _way(by) -> tuple[Proposer, Halving | None]:
    """Who proposes, and the settings of halving where trials are halved."""
    if isinstance(by, Halving):
        return RandomProposer(), by
    if isinstance(by, Proposer):
        return by, None
    if not isinstance(by, str):
        raise SettingError(f"by is one of {', '.join(map(repr, WAYS))}, a Proposer or a Halving; got {shortened(by)}.")
    if by not in WAYS:
        raise UnknownNameError(f"There is no way to search {by!r}. {did_you_mean(by, WAYS)}")
    if by == "halving":
        return RandomProposer(), Halving()
    return {"random": RandomProposer, "even": EvenProposer, "optuna": OptunaProposer}[by](), None


def _middle(space) -> dict[str, Any]:
    """The values in the middle of a space, by which its names are checked."""
    return {name: dimension.value(0.5) for name, dimension in space.items()}


def _judge(model: Model, parts, monitor: str | None, mode: str) -> Judge:
    """The figure to improve, checked against those that trials will report."""
    with model._environment():
        names = model._objective(*model._data_of(parts.x, parts.y))[0].names()
    if parts.validates:
        names = [*names, *(f"val_{name}" for name in names)]
    if monitor is None:
        monitor = "val_loss" if parts.validates else "loss"
    if monitor not in names:
        hint = "" if parts.validates or not monitor.startswith("val_") else (
            " Validation figures need validation_split, validation_data or folds.")
        raise SettingError(f"tune judges by {monitor!r}, which trials will not report.{hint} "
                           f"{did_you_mean(monitor, names)}")
    return Judge(monitor, larger_is_better(monitor, mode))


def _at_once(proposer: Proposer, budget: Budget) -> int:
    """How many trials a round has."""
    if proposer.learns or budget.trials is None or budget.minutes is not None:
        return min(_A_ROUND, budget.trials or _A_ROUND)
    return min(budget.trials, _MOST_AT_ONCE)


def _described(proposer: Proposer) -> str:
    return type(proposer).__name__.removesuffix("Proposer").lower()


def _fingerprint(model: Model) -> str:
    """A text that is the same for the same network: what it is, as far as plain data can say it, and its weights."""
    try:
        text = describe_model(model)[0]
    except SettingError:
        text = "\n".join(f"{layer.name} {type(layer).__name__}" for layer in model.layers).encode()
    return hashlib.sha256(text).hexdigest()


def _go_on(search: Search, trials: list[Trial]) -> None:
    """Take in what is known; trials that were under way begin anew."""
    for trial in trials:
        if trial.over:
            trial.group = search.recipe.shape(trial.values).key
            search.trials[trial.number] = trial
        else:
            search.trials[trial.number] = Trial(trial.number, trial.values, trial.seed)
    judged = [trial for trial in search.over if trial.state != "failed" and trial.figures]
    search.best = min(judged, key=search.judge.key, default=None)
