"""`Population`: many networks of one description, trained by one program."""
import copy
import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chainrule.callbacks.progress import resolve_verbosity
from chainrule.errors import NotReadyError, SettingError, ShapeError, shortened
from chainrule.layers.binding import frozen_paths, hold, initialise, lookup, seed_words, walk
from chainrule.models import Model, check_whole
from chainrule.population.arguments import (
    joined,
    member_count,
    member_seeds,
    refuse_source,
    row_count,
    split_callbacks,
)
from chainrule.population.data import MemberData, is_by_member, member_data
from chainrule.population.division import alike, labels_of, place_count
from chainrule.population.files import load_population, save_population
from chainrule.population.fit import Course, Group, PopulationFit
from chainrule.population.history import PopulationHistory
from chainrule.population.memory import check_memory, member_bytes, most_members
from chainrule.population.predict import (
    MemberEvaluation,
    MemberPredictor,
    check_reduction,
    reduced,
    used_settings,
)
from chainrule.population.program import PopulationProgram
from chainrule.population.progress import PopulationProgress
from chainrule.population.rows import MemberRows, check_folds, count_folds, divide, resample
from chainrule.population.stopping import MemberStopping
from chainrule.population.store import Store
from chainrule.population.values import Values
from chainrule.training import prepare
from chainrule.training.events import Events
from chainrule.training.objective import Batch, split_frozen
from chainrule.training.program import TrainingProgram
from chainrule.training.stream import taken_validation


class Population:
    """Many networks of one description that one compiled program trains at once, each with numbers of its own.

    Each member is to its network what `fit(seed=...)` of a model with that member's numbers is: the same first
    weights, the same order of rows, the same dropout. They differ by rounding, where sums over members are taken in
    another order.

        population = Population(model, 32, learning_rate=np.geomspace(1e-4, 1e-1, 32))
        population.fit(x, y, epochs=20, validation_split=0.1, seed=0)
        population.best("val_loss").save("best.chain")

    What may differ, each given as one number for all members or as one a member:

    - every number of the model's optimizer: `learning_rate`, `weight_decay`, `clipnorm`, `beta_1`, ... and of its
      schedule, `settings={"learning_rate/decay_rate": [...]}`;
    - every plain number among the layers' settings that changes no shapes, by path:
      `settings={"dropout/rate": [...], "dense/kernel_regularizer/l2": [...]}`. A name that only one layer has will do
      (`rate=[...]`), and a pattern means all that it fits: `"*/rate"`;
    - how weights start: `seed`, `initializer_scale` (a factor for all that are drawn at random), and numbers of
      initialisers by path, `"dense/kernel_initializer/stddev"`;
    - what counts: `loss_weights={"output": [...]}`, `folds`, `bootstrap`, and `fit(sample_weight=...)` of shape
      `(members, rows)`.

    Args:
        model: a compiled model. The population works on a copy of it.
        size: the number of members; where it is left out, as many as the values by member say, or the folds.
        folds: cross-validation: member `i` trains on all rows but those of fold `i % folds`, and is judged on them
            (figures named `val_...`). A number of folds, drawn by the seed of `fit`, of classes each its share; or the
            fold of each row.
        bootstrap: whether each member trains on as many rows as there are, drawn with replacement by its seed, and is
            judged on those it did not draw.
        order: `"own"`: each member sees the rows in the order of its own seed, as when trained alone; `"shared"`: all
            in that of the first, which saves a little time.
        seed: the seeds of the members, or the first of them (the others follow, one by one). By default they follow
            the seed of `fit`.
        initial: `"seed"`: members start from fresh weights (frozen layers keep theirs, and so does what `adapt`
            learned); `"model"`: all start from the model's present ones.
        loss_weights: the weights of losses by output.
        settings: values by path.
        memory: the bytes, or `"2 GB"`, that training may take; half of what is free by default. A population that
            needs more is trained group by group.
        group_size: how many members are trained at once, in the place of an estimate.
        per_member: values by name.

    Attributes:
        size: the number of members.
        history: the `PopulationHistory` of the last fit.
        stop_training: set to `True` by a callback to end a fit.

    Raises:
        SettingError: a value is not valid, or is one of which all members must have the same.
        UnknownNameError: nothing has a number of such a name.
        ShapeError: values are not one a member.

    Example:
        >>> import chainrule as cr
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
        >>> model.compile(optimizer=cr.optimizers.SGD(), loss="mse")
        >>> population = Population(model, learning_rate=[0.001, 0.1])
        >>> history = population.fit(x, 2 * x + 1, epochs=50, batch_size=16, verbose=0, seed=0)
        >>> history.history["loss"].shape, population.rank("loss").tolist()
        ((50, 2), [1, 0])
        >>> [round(float(array.item()), 2) for array in population.best("loss").get_weights()]
        [2.0, 1.0]
    """

    def __init__(self, model: Model, size: int | None = None, *, folds=None, bootstrap: bool = False,
                 order: str = "own", seed=None, initial: str = "seed", loss_weights=None,
                 settings: Mapping[str, Any] | None = None, memory: int | str | None = None,
                 group_size: int | None = None, **per_member):
        if not isinstance(model, Model):
            raise SettingError(f"A population is made of a compiled Model; got {shortened(model)}.")
        model._require_compiled("Population")
        self._model = copy.deepcopy(model)
        self._folds = None if folds is None else check_folds(folds)
        self._bootstrap, self._order, self._initial = bootstrap, order, initial
        for name, value, allowed in (("bootstrap", bootstrap, (True, False)), ("order", order, ("own", "shared")),
                                     ("initial", initial, ("seed", "model"))):
            if value not in allowed:
                raise SettingError(f"{name} is {' or '.join(map(repr, allowed))}; got {shortened(value)}.")
        if self._folds is not None and bootstrap:
            raise SettingError("folds and bootstrap both choose the rows of each member. Use one of them.")
        self._memory = check_memory(memory)
        self._group_size = None if group_size is None else check_whole("group_size", group_size, minimum=1)
        given = joined(per_member, settings, loss_weights)
        self.size = member_count(size, self._folds, {**given, "seed": seed})
        self._given_seeds = None if seed is None else member_seeds(seed, self.size)
        self._seeds: np.ndarray | None = self._given_seeds
        self._given = given
        self._values: Values | None = None
        self._store: Store | None = None
        self._rows: MemberRows | None = None
        self._programs: dict[Any, Any] = {}
        self.stop_training = False
        self._history: PopulationHistory | None = None
        if self._model.built:
            self._read_values()

    def _read_values(self) -> Values:
        """The values by member, read once the layers are there whose settings they name."""
        if self._values is None:
            self._values = Values(self._model, self.size, self._given)
        return self._values

    # Looking at it.

    @property
    def history(self) -> PopulationHistory:
        """The record of the last fit."""
        if self._history is None:
            raise NotReadyError("There is no history yet: fit the population first.")
        return self._history

    @property
    def values(self) -> dict[str, np.ndarray]:
        """What differs between members: for each name an array with one value a member.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dropout(0.5), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> Population(model, 2, rate=[0.1, 0.2]).values["dropout/rate"].tolist()
            [0.1, 0.2]
        """
        return {name: values.copy() for name, values in self._read_values().by_member.items()}

    @property
    def seeds(self) -> np.ndarray:
        """The seeds of the members."""
        return (np.arange(self.size) if self._seeds is None else self._seeds).copy()

    @property
    def folds(self) -> np.ndarray | None:
        """The fold of each row in the last fit; `None` where there are none."""
        return None if self._rows is None else self._rows.folds

    def count_params(self) -> int:
        """How many numbers the weights of all members hold.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((2,)), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> Population(model, 4).count_params()
            12
        """
        return self.size * self._model.count_params()

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        differ = sorted(self._read_values().by_member) if self._model.built else sorted(self._given)
        way = f", {count_folds(self._folds)} folds" if self._folds is not None else ""
        way += ", bootstrap samples" * self._bootstrap
        text = f" that differ in {', '.join(differ)}" if differ else ""
        return f"<Population of {self.size} members{text}{way}: {self._model!r}>"

    def summary(self, print_fn=None) -> None:
        """Print the network, and what its members differ in.

        Args:
            print_fn: what receives the text instead of `print`.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((2,)), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> lines = []
            >>> Population(model, learning_rate=[0.1, 0.2]).summary(lines.append)
            >>> lines[1:]
            ['Members: 2, 6 weights in all', 'learning_rate: 0.1 to 0.2, 2 values']
        """
        show = print_fn or print
        self._model.summary(show)
        show(f"Members: {self.size}, {self.count_params():,} weights in all")
        for name, values in self._read_values().by_member.items():
            show(f"{name}: {values.min():.4g} to {values.max():.4g}, {len(np.unique(values))} values")

    # Training.

    def fit(self, x=None, y=None, batch_size: int | None = None, epochs: int = 1, verbose="auto", callbacks=None,
            validation_split: float = 0.0, validation_data=None, shuffle: bool = True, class_weight=None,
            sample_weight=None, initial_epoch: int = 0, validation_batch_size: int | None = None,
            validation_freq: int = 1, seed: int | None = None, members: Iterable[int] | None = None
            ) -> PopulationHistory:
        """Train all members.

        Args:
            x, y, batch_size, epochs, verbose, validation_split, validation_data, shuffle, class_weight,
                initial_epoch, validation_batch_size, validation_freq: as for `Model.fit`, arrays in memory.
            callbacks: an `EarlyStopping` decides for each member by itself: a member that has stopped costs nothing
                any more. Callbacks of your own are told of epochs: their figures are arrays with one value a member,
                and `self.model` is the population.
            sample_weight: weights of rows, `(rows,)` for all members or `(members, rows)`.
            seed: the seed of the first member; the others follow, one by one: 7, 8, 9, ... It decides what `seed=` of a
                member trained alone does, and in which fold a row is.
            members: the numbers of those to train; all by default.

        Returns:
            The `PopulationHistory`: `history.history["loss"]` is an array `(epochs, members)`.

        Warns:
            UserWarning: the loss of a member became NaN or infinite: it keeps the weights from before that step, and
                the others are trained on.

        Example:
            >>> import chainrule as cr
            >>> x = np.linspace(-1, 1, 60)[:, None]
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(optimizer=cr.optimizers.SGD(0.1), loss="mse")
            >>> population = Population(model, folds=3)
            >>> history = population.fit(x, 2 * x + 1, epochs=2, verbose=0, seed=0)
            >>> history.history["val_loss"].shape
            (2, 3)
        """
        for name, value, minimum in (("epochs", epochs, 0), ("initial_epoch", initial_epoch, 0),
                                     ("validation_freq", validation_freq, 1)):
            check_whole(name, value, minimum=minimum)
        refuse_source(x, "x")
        refuse_source(validation_data, "validation_data")
        model, stopping, callbacks = self._model, *split_callbacks(callbacks)
        chosen = self._chosen(members)
        if (validation_data is not None or validation_split) and self._has_own_rows:
            way = "folds hold out rows" if self._folds is not None else "bootstrap samples leave rows out"
            raise SettingError(f"{way} for each member to be judged on. Leave validation_split and validation_data "
                               f"out.")
        with model._environment():
            own = is_by_member(sample_weight, self.size, row_count(x))
            sample_weight = np.asarray(sample_weight).T if own else sample_weight  # rows first, to be divided
            judged = taken_validation(validation_data, None, validation_batch_size or batch_size or 32)
            x, y, sample_weight, held = model._divide(x, y, sample_weight, validation_split, judged)
            if own:
                sample_weight = sample_weight.T
                held = held and (*held[:2], held[2].T if validation_data is None else held[2])
            values = self._read_values()
            if model.optimizer.needs_all_rows and batch_size is None:
                batch_size = len(jax.tree.leaves(x)[0])
            objective, count = model._objective(x, y, warn=True)
            explicit = self._settle_seeds(seed)
            self._rows = rows = self._rows_of_members(objective, y, count)
            data = member_data(model, objective, x, y, count, self.size, sample_weight, class_weight,
                               None if rows is None else rows.trained)
            batches = model._batches(objective, count, batch_size, shuffle)
            prepare.check_suits_optimizer(model, batches)
            validation, judged = None, None
            if rows is not None:
                validation = member_data(model, objective, x, y, count, self.size, sample_weight, None, rows.held)
            elif held is not None:
                held_x, held_y, held_weight = held
                _, held_count = model._objective(held_x, held_y)
                validation = member_data(model, objective, held_x, held_y, held_count, self.size, held_weight)
            if validation is not None:
                size = validation_batch_size or batch_size
                judged = model._batches(objective, validation.count, size)
            self._ensure_members()
            self._check_effect(objective, data, batches)
            history = self._begin(objective, batches, epochs, initial_epoch, verbose, validation, stopping)
            course = Course(self._store, functools.partial(values.numbers, objective), self._keys(explicit), None,
                            initial_epoch, epochs, validation_freq, objective.names(), validation is not None, history,
                            None, self._cached("pace", dict))
            if self._order == "shared":
                course.order_key = course.keys[0]
            if stopping is not None:
                names = objective.names()
                names = names + [f"val_{name}" for name in names] * (validation is not None)
                course.stopping = MemberStopping(stopping, names, self.size)
            groups = self._groups(course, objective, batches, judged, data, validation, chosen)
            events = Events(callbacks, self, history.params)
            self.stop_training, self._history = False, history
            progress = PopulationProgress(history.params["verbose"], history, history.params)
            PopulationFit(course, groups, events, self, progress).run()
        return history

    def _begin(self, objective, batches, epochs, first, verbose, validation, stopping) -> PopulationHistory:
        """The empty record of a fit."""
        names = objective.names()
        names = names + [f"val_{name}" for name in names] * (validation is not None)
        return PopulationHistory(self.size, names, {
            "epochs": epochs, "first": first, "steps": batches.steps, "samples": batches.count * self.size,
            "batch_size": batches.size, "metrics": objective.names(), "verbose": resolve_verbosity(verbose),
            "restores_best": stopping is not None and stopping.restore_best_weights})

    def _groups(self, course: Course, objective, batches, judged, data: MemberData, validation: MemberData | None,
                members: np.ndarray) -> list[Group]:
        """Members that can share a program, in groups that fit into memory."""
        most = self._group_size
        if most is None:
            weights, _, optimizer = self._store.variables(0)
            each = member_bytes(self._model, weights, optimizer, batches.size, data, course.restores)
            most = most_members(each, self._memory)
        groups = []
        for together in alike(data, batches, members):
            places = len(together) if len(members) == self.size else place_count(len(together), self.size)
            count = max(data.rows_of(member) for member in together)
            program = self._program(objective, dataclasses.replace(batches, count=count, size=min(batches.size, count)),
                                    judged, data, validation, together)
            size = -(-places // -(-places // most))
            for start in range(0, len(together), size):
                part = together[start : start + size]
                places = np.resize(part, size)
                groups.append(Group(course, program, data, validation, places, np.arange(size) < len(part)))
        return groups

    def _program(self, objective, batches, judged, data: MemberData, validation: MemberData | None,
                 members: np.ndarray) -> PopulationProgram:
        """The program of members that can share one."""
        axes, held_axes = data.of(members)[1], None
        if validation is not None:
            held_axes = validation.of(members)[1]
            if validation.rows is not None:
                longest = max(max(validation.rows_of(member) for member in members), 1)
                judged = dataclasses.replace(judged, count=longest, size=min(judged.size, longest))
        frozen, compiled = frozen_paths(self._model), self._model._compiled

        def make():
            program = TrainingProgram(objective, self._values.optimizer, batches, judged, frozen,
                                      compiled.deterministic)
            return PopulationProgram(program, axes, held_axes, self._order == "shared")

        return self._cached(("train", id(objective), batches, judged, axes, held_axes), make)

    def _cached(self, key, make):
        """Something made once for this population."""
        if key not in self._programs:
            self._programs[key] = make()
        return self._programs[key]

    @property
    def _has_own_rows(self) -> bool:
        return self._folds is not None or self._bootstrap

    def _rows_of_members(self, objective, y: list, count: int) -> MemberRows | None:
        """The rows that each member sees; `None` where all see all."""
        if self._bootstrap:
            return resample(count, self.seeds)
        if self._folds is None:
            return None
        return divide(count, self._folds, self.size, int(self.seeds[0]), labels_of(objective, y))

    def _chosen(self, members) -> np.ndarray:
        """The numbers of members, checked."""
        if members is None:
            return np.arange(self.size)
        return np.array([self._number(member) for member in members], int)

    def _number(self, member) -> int:
        """The number of a member; a negative one counts from the end."""
        if isinstance(member, bool) or not hasattr(member, "__index__") or not -self.size <= member < self.size:
            raise SettingError(f"The members have the numbers 0 to {self.size - 1}; got {shortened(member)}.")
        return int(member) % self.size

    # Weights.

    def _settle_seeds(self, seed: int | None) -> bool:
        """Take in the seed of a fit; whether seeds were given at all."""
        if seed is not None:
            check_whole("seed", seed, minimum=0)
            if self._given_seeds is not None:
                raise SettingError(f"The members have seeds already, from Population(..., seed=...), and fit got "
                                   f"seed={seed}. Leave one of them out.")
            self._seeds = seed + np.arange(self.size)
        elif self._seeds is None:
            self._seeds = np.arange(self.size)
        return seed is not None or self._given_seeds is not None

    def _keys(self, explicit: bool) -> np.ndarray:
        """What decides the orders of rows and the random layers of each member, as in `Model.fit`."""
        keys = np.stack([seed_words(int(seed)) for seed in self._seeds])
        if not explicit:  # so that each further fit has orders of its own
            steps = np.asarray(self._store.optimizer["step"]).astype(np.uint64)
            keys[:, 1] ^= (steps * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        return keys

    def _ensure_members(self) -> None:
        """Make the weights of all members and the optimiser's state, once."""
        self._read_values()
        if self._store is None:
            self._store = Store.of([self._initial_variables(member) for member in range(self.size)])
        if self._store.optimizer is None:
            self._store.begin(jax.vmap(self._initial_optimizer_state)(self._store.weights))

    def _initial_optimizer_state(self, weights):
        return self._values.optimizer.init_beside(*split_frozen(weights, frozen_paths(self._model)))

    def _initial_variables(self, member: int):
        """The weights and the state that a member starts with."""
        model = self._model
        draw = self._cached("draw", lambda: jax.jit(
            lambda words, scale, settings: initialise(model, words, model.dtype, scale, settings)))
        weights, state = draw(seed_words(int(self.seeds[member])), *self._values.initial(member))
        frozen = frozen_paths(model)
        for path, layer in walk(model):
            held = layer.__dict__.get("_held")
            if held is not None and (self._initial == "model" or path in frozen):
                for name, weight in layer.own_weights().items():
                    lookup(weights if weight.trainable else state, path)[name] = held[name]
        return weights, state

    def _require_members(self, what: str) -> Store:
        """The arrays of the members, made from their seeds where there are none yet."""
        self._model._require_built(what)
        with self._model._environment():
            self._ensure_members()
        return self._store

    def _check_effect(self, objective, data: MemberData, batches) -> None:
        """Raise where members are to differ in a setting that changes nothing."""
        settings = self._values.numbers(objective, [0]).settings
        if not settings or self._programs.get("effect") == sorted(settings):
            return
        shared, size = data.shared, batches.size
        row = lambda tree: jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape[1:]), leaf.dtype), tree)
        batch = Batch(row(shared.x), row(shared.y), row(shared.loss_weights), row(shared.metric_weights),
                      shared.mean_weights)
        weights, state, _ = self._store.variables(0)
        used = used_settings(objective, weights, state, batch, jax.tree.map(lambda column: column[0], settings))
        for name in settings:
            if name not in used:
                raise SettingError(f"Members cannot differ in {name!r}: the network was built with its value, and "
                                   f"nothing in training reads it any more. Make a population of each value.")
        self._programs["effect"] = sorted(settings)

    # Using it.

    def evaluate(self, x=None, y=None, batch_size: int | None = None, sample_weight=None) -> dict[str, np.ndarray]:
        """The loss and the metrics of each member on data.

        Args:
            x, y, sample_weight: as for `fit`.
            batch_size: rows a step, 32 by default; it does not change the result but in rounding.

        Returns:
            The figures by name, arrays with one value a member.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1, kernel_initializer="ones")])
            >>> model.compile(loss="mse")
            >>> Population(model, 2).evaluate(np.ones((4, 1)), np.full((4, 1), 3.0))["loss"].tolist()
            [4.0, 4.0]
        """
        refuse_source(x, "x")
        model = self._model
        with model._environment():
            x, y = model._data_of(x, y)
            objective, count = model._objective(x, y)
            self._ensure_members()
            data = member_data(model, objective, x, y, count, self.size, sample_weight)
            batches = model._batches(objective, count, batch_size)
            members = np.arange(self.size)
            batch, axes = data.of(members)
            evaluation = self._cached(("evaluate", id(objective), batches, axes), lambda: MemberEvaluation(
                objective, batches, axes, model._compiled.deterministic))
            weights, state, _ = self._store.take(members)
            figures = evaluation.figures(weights, state, self._values.numbers(objective, members), batch)
            return {name: np.asarray(figures[name]) for name in objective.names()}

    def predict(self, x, batch_size: int | None = None, reduce=None):
        """What the members put out for given inputs.

        Args:
            x: as for `fit`.
            batch_size: rows at a time; by default as many as fit comfortably.
            reduce: `None` for all outputs, `(members, rows, ...)`; `"mean"`; `"mean_std"` for the mean and the
                standard deviation over members; `"median"`; `"vote"` for the class that most members choose; a number
                for that quantile, several for as many of them in front.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1, kernel_initializer="ones")])
            >>> model.compile(loss="mse")
            >>> population = Population(model, initializer_scale=[1.0, 2.0, 6.0])
            >>> population.predict(np.ones((1, 1))).shape, population.predict(np.ones((1, 1)), reduce="mean").shape
            ((3, 1, 1), (1, 1))
        """
        check_reduction(reduce)
        return reduced(self._outputs(x, batch_size, np.arange(self.size)), reduce)

    def _outputs(self, x, batch_size, members: np.ndarray):
        """The outputs of some members."""
        refuse_source(x, "x")
        model = self._model
        if batch_size is not None:
            check_whole("batch_size", batch_size, minimum=1)
        with model._environment():
            model._ensure_built(x)
            x = prepare.input_arrays(model, x)
            self._ensure_members()
            predictor = self._cached("predict", lambda: MemberPredictor(
                model, model.dtype, model._compiled.deterministic))
            weights, state, _ = self._store.take(members)
            return predictor(weights, state, self._values.settings(members), x, batch_size)

    def predict_out_of_fold(self, x, batch_size: int | None = None):
        """For each row the output of the member that did not train on it; the mean of several such members.

        Args:
            x: the inputs that the population was fitted on.
            batch_size: as for `predict`.

        Raises:
            NotReadyError: the population has no folds, or was not fitted.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> population, x = Population(model, folds=3), np.linspace(0, 1, 12)[:, None]
            >>> history = population.fit(x, x, verbose=0)
            >>> population.predict_out_of_fold(x).shape
            (12, 1)
        """
        if self.folds is None:
            raise NotReadyError("predict_out_of_fold needs a population with folds that was fitted: "
                                "Population(model, folds=5), then fit.")
        folds, number = self.folds, count_folds(self._folds)
        rows = len(jax.tree.leaves(x)[0])
        if rows != len(folds):
            raise ShapeError(f"predict_out_of_fold takes the {len(folds)} rows that the population was fitted on; got "
                             f"{rows}.")
        outputs = self.predict(x, batch_size)

        def own(stack):
            joined = np.empty(stack.shape[1:], stack.dtype)
            for fold in range(number):
                joined[folds == fold] = stack[fold::number, folds == fold].mean(0)
            return joined

        return jax.tree.map(own, outputs)

    # Files.

    def save(self, path, overwrite: bool = True) -> None:
        """Write the population to one file that holds only data: the network, all members, their values, the history.

        Args:
            path: the file, by habit `name.population`. A crash leaves the old one as it was.
            overwrite: whether a file that is there may be replaced.

        Example:
            >>> import tempfile, pathlib
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = pathlib.Path(folder) / "first.population"
            ...     Population(model, learning_rate=[0.1, 0.2]).save(path)
            ...     len(Population.load(path))
            2
        """
        self._require_members("save")
        save_population(self, path, overwrite)

    @classmethod
    def load(cls, path, custom_objects: Mapping[str, Any] | None = None) -> "Population":
        """The population in a file that `save` wrote; training goes on where it was.

        Args:
            path: the file. It is data and nothing in it is executed, so it may come from anywhere.
            custom_objects: layers, losses and functions of your own, by name: `{"MyLayer": MyLayer}`.

        Raises:
            FileFormatError: the file is damaged or is not a population's.
            UnknownLayerError: it uses a layer or function that is neither built in nor in `custom_objects`.

        Example:
            >>> import tempfile, pathlib
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Population(model, 3).save(pathlib.Path(folder) / "first.population")
            ...     Population.load(pathlib.Path(folder) / "first.population").seeds.tolist()
            [0, 1, 2]
        """
        return load_population(cls, path, custom_objects)

    # Members.

    def member(self, member: int) -> Model:
        """A member as an ordinary model: its weights, its settings, and its optimizer where training left it.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dropout(0.5), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> Population(model, rate=[0.1, 0.2]).member(1).get_layer("dropout").rate
            0.2
        """
        number = self._number(member)
        weights, state, optimizer = self._require_members("member").variables(number)
        model = copy.deepcopy(self._model)
        self._values.give(model, number)
        hold(model, weights, state)
        model._compiled.optimizer_state = optimizer if int(np.asarray(optimizer["step"])) else None
        return model

    def rank(self, metric: str | None = None) -> np.ndarray:
        """The numbers of the members from the best to the worst; those whose training failed come last.

        Args:
            metric: the figure of the last fit to judge by, `val_loss` by default (`loss` where nothing was validated).
                Members are judged by the weights that they hold.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(optimizer=cr.optimizers.SGD(), loss="mse")
            >>> population, x = Population(model, learning_rate=[0.001, 0.1]), np.linspace(-1, 1, 64)[:, None]
            >>> history = population.fit(x, 2 * x + 1, epochs=20, verbose=0, seed=0)
            >>> population.rank("loss").tolist()
            [1, 0]
        """
        return self.history.order(metric)

    def best(self, metric: str | None = None) -> Model:
        """The best member as an ordinary model; `metric` is as for `rank`.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(optimizer=cr.optimizers.SGD(), loss="mse")
            >>> population, x = Population(model, learning_rate=[0.001, 0.1]), np.linspace(-1, 1, 64)[:, None]
            >>> history = population.fit(x, 2 * x + 1, epochs=20, verbose=0, seed=0)
            >>> population.best("loss").optimizer.learning_rate
            0.1
        """
        return self.member(self.rank(metric)[0])

    def worst(self, metric: str | None = None) -> Model:
        """The worst member as an ordinary model; `metric` is as for `rank`.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(optimizer=cr.optimizers.SGD(), loss="mse")
            >>> population, x = Population(model, learning_rate=[0.001, 0.1]), np.linspace(-1, 1, 64)[:, None]
            >>> history = population.fit(x, 2 * x + 1, epochs=20, verbose=0, seed=0)
            >>> population.worst("loss").optimizer.learning_rate
            0.001
        """
        return self.member(self.rank(metric)[-1])

    def subset(self, members: Iterable[int]) -> "Population":
        """Some members as a population of their own, in the order given: an ensemble of the best, say.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> len(Population(model, 8).subset([5, 2]))
            2
        """
        numbers = self._chosen(members)
        if not len(numbers):
            raise SettingError("A population has at least one member; subset got none.")
        store = self._require_members("subset")
        part = copy.copy(self)
        part.size, part._store, part._values = len(numbers), store.taken(numbers), self._values.taken(numbers)
        part._seeds = part._given_seeds = self.seeds[numbers]
        part._given = part._values.by_member
        part._folds = part._rows = part._history = None
        part._model, part._programs = copy.deepcopy(self._model), {}
        return part

    def replace(self, member: int, seed: int | None = None, **values) -> None:
        """Begin a member anew: fresh weights, from another seed if one is given, and other values.

        The others stay as they are, and no program is compiled for it.

        Args:
            member: its number.
            seed: its seed.
            values: as for the population, for this member; `settings={...}` for paths.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> population = Population(model, learning_rate=[0.1, 0.2])
            >>> population.replace(0, seed=7, learning_rate=0.3)
            >>> population.values["learning_rate"].tolist(), population.seeds.tolist()
            ([0.3, 0.2], [7, 1])
        """
        number, store = self._number(member), self._require_members("replace")
        self._set_values(number, seed, values)
        with self._model._environment():
            weights, state = self._initial_variables(number)
            optimizer = self._initial_optimizer_state(weights)
            store.put(np.array([number]), *jax.tree.map(lambda leaf: np.asarray(leaf)[None],
                                                        (weights, state, optimizer)))

    def copy_member(self, source: int, target: int, seed: int | None = None, **values) -> None:
        """Put a copy of one member in the place of another: weights, values, and where its training stands.

        Args:
            source, target: their numbers.
            seed: the seed of the copy, by default that which `target` had.
            values: what the copy shall have other than its source.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.Input((1,)), cr.layers.Dense(1)])
            >>> model.compile(loss="mse")
            >>> population = Population(model, learning_rate=[0.1, 0.2])
            >>> population.copy_member(0, 1, learning_rate=0.05)
            >>> bool((population.member(0).get_weights()[0] == population.member(1).get_weights()[0]).all())
            True
        """
        source, target = self._number(source), self._number(target)
        store = self._require_members("copy_member")
        self._set_values(target, seed, values, self._values.of(source))
        store.copy(source, target)

    def _set_values(self, member: int, seed: int | None, values: dict[str, Any],
                    before: Mapping[str, Any] | None = None) -> None:
        """Give one member other values, over those of `before`."""
        settings, losses = values.pop("settings", None), values.pop("loss_weights", None)
        self._values.set(member, {**(before or {}), **joined(values, settings, losses)})
        if seed is not None:
            self._seeds = self.seeds
            self._seeds[member] = check_whole("seed", seed, minimum=0)
            if self._given_seeds is not None:
                self._given_seeds = self._seeds
