"""Networks that are trained: `Model`, `Sequential`. A thin front over the graph and the compiled program."""
import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from chainrule import layers as built_in
from chainrule import losses, metrics, optimizers, saving
from chainrule.callbacks.history import Recorder
from chainrule.callbacks.progress import EvaluationProgress, TrainingProgress, resolve_verbosity
from chainrule.callbacks.run_recorder import RunRecorder
from chainrule.configuration import Configurable
from chainrule.data import arrays
from chainrule.data.iterables import IterableSource
from chainrule.data.preparation import Preparation
from chainrule.data.recognition import as_source
from chainrule.data.source import Source
from chainrule.devices import bring, check_device, on_device
from chainrule.errors import DataError, NotReadyError, SettingError, shortened
from chainrule.kernels import allowed
from chainrule.layers.base import Layer
from chainrule.layers.binding import (
    apply,
    evaluate_eagerly,
    frozen_paths,
    held_variables,
    hold,
    infer_outputs,
    initialise,
    ordered_arrays,
    ordered_weights,
    replace_arrays,
    seed_words,
    walk,
)
from chainrule.layers.host import HostLayer
from chainrule.layers.symbol import Symbol, contains_symbol
from chainrule.network.graph import Input, InputLayer, Network, name_layers
from chainrule.network.summary import count, summary_html, summary_text
from chainrule.network.view import LayerView, find_view
from chainrule.ops import random
from chainrule.precision import check_policy, precision
from chainrule.runs import Keeper, Run, as_run
from chainrule.runs.facts import describe_arrays, describe_data, describe_network
from chainrule.training import prepare
from chainrule.training.batches import Batches
from chainrule.training.compiled import Compiled
from chainrule.training.events import Events
from chainrule.training.fit import Fit, Pace, floats
from chainrule.training.history import History
from chainrule.training.predict import Evaluation, Predictor, concatenate, default_batch_size, goes_on
from chainrule.training.program import RunState, TrainingProgram
from chainrule.training.statistics import check_can_follow
from chainrule.training.stream import (
    Stream,
    batches_in_turn,
    check_source,
    chunk_steps,
    inputs_ahead,
    known_class_weight,
    taken,
    taken_validation,
)

# Attributes that hold what was compiled for a model as it stands.
_PROGRAMS = ("_predictor", "_member_predictor", "_writing")
_MOST_CLASSES = 100_000
_LONGEST_CLASS_NAME = 200


class Model(Network):
    """A network with everything around it: training, evaluation, prediction, files.

    Made from symbols, or as a subclass with a `call` of its own:

        inputs = Input((8,))
        model = Model(inputs, Dense(1)(inputs))

        class Twice(Model):
            def __init__(self):
                super().__init__()
                self.body = Dense(8, activation="relu")
                self.head = Dense(1)

            def call(self, x):
                return self.head(self.body(x) + self.body(2 * x))

    Args:
        inputs: the symbol or structure of symbols made by `Input`.
        outputs: the symbol or structure (list, tuple, dict) of symbols made of them by layers.
        name: the name of the model.
        trainable: whether training changes its weights.
        dtype: its precision, `"float32"` (default), `"float64"`, or `"mixed_bfloat16"`: weights, optimiser, losses and
            predictions in float32, layers computing in bfloat16.

    Attributes:
        optimizer: what `compile` was given; its `learning_rate` can be set at any time.
        history: the `History` of the last fit.
        stop_training: set to `True` by a callback to end a fit.

    Example:
        >>> import numpy as np
        >>> from chainrule.layers import Dense
        >>> inputs = Input((2,))
        >>> model = Model(inputs, Dense(1)(inputs))
        >>> model.count_params()
        3
    """

    def __init__(self, inputs=None, outputs=None, name: str | None = None, trainable: bool = True,
                 dtype: str | None = None):
        super().__init__(inputs, outputs, name=name, trainable=trainable, dtype=check_policy(dtype))

    # The pure face.

    def init(self, key) -> tuple[dict, dict]:
        """New weights and state, nested dicts by layer and weight name: a function of a key (`jax.random.key(0)`).

        Example:
            >>> from chainrule.layers import Dense
            >>> weights, state = Sequential([Input((2,)), Dense(1)]).init(jax.random.key(0))
            >>> jax.tree.map(np.shape, weights)
            {'dense': {'bias': (1,), 'kernel': (2, 1)}}
        """
        self._require_built("init")
        with precision(self.dtype):
            return initialise(self, random.words(key), self.dtype)

    def apply(self, weights: dict, state: dict, x, *, key=None, training: bool = False):
        """The network as a pure function of its weights: `(outputs, new state)`.

        Args:
            weights, state: as `init` or `variables` return them.
            x: an array, or the structure of arrays that the network takes. Where a layer such as `TextVectorization`
                prepares an input, it is what that layer gives: `model.apply(weights, state, vectorize(texts))`.
            key: where dropout and other random layers draw from; needed in training where there are such layers.
            training: whether layers behave as in training.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(1, kernel_initializer="ones")])
            >>> weights, state = model.init(jax.random.key(0))
            >>> gradient = jax.grad(lambda weights: model.apply(weights, state, np.array([[3.0, 4.0]]))[0].sum())
            >>> gradient(weights)["dense"]["kernel"].tolist()
            [[3.0], [4.0]]
        """
        with precision(self.dtype):
            outputs, call = apply(self, weights, state, (x,), key=key, training=training, dtype=self.dtype)
        return outputs, call.new_state

    def __call__(self, *inputs, **options):
        if self._bound is not None or contains_symbol((inputs, options)):
            return super().__call__(*inputs, **options)
        graph = self.__dict__.get("_graph")
        if graph is not None and graph.hosts and inputs:
            inputs = (prepare.input_arrays(self, inputs[0]), *inputs[1:])
        with self._environment():
            inputs = jax.tree.map(jax.numpy.asarray, inputs)
            if not self.built:
                self._build_for(*inputs)
            return evaluate_eagerly(self, inputs, options, self.dtype)

    # The store of weights.

    def variables(self, seed: int = 0) -> tuple[dict, dict]:
        """The present weights and state, shared by models of the same layers; made from `seed` where there are none.

        Example:
            >>> from chainrule.layers import Dense
            >>> weights, state = Sequential([Input((2,)), Dense(1)]).variables()
            >>> weights["dense"]["bias"].tolist(), state
            ([0.0], {})
        """
        self._require_built("variables")
        with self._environment():
            return held_variables(self, seed, self.dtype)

    def _present(self) -> tuple[dict, dict]:
        """As `variables`, for reading only: assembled again where a layer holds other arrays than the last time."""
        assembled = self.__dict__.get("_assembled")
        if assembled is None or any(layer.__dict__.get("_held") is not held for layer, held in assembled[0]):
            trees = self.variables()
            owners = [(layer, layer.__dict__["_held"]) for _, layer in walk(self) if layer.own_weights()]
            assembled = self.__dict__["_assembled"] = (owners, trees)
        return assembled[1]

    def set_variables(self, weights: dict, state: dict) -> None:
        """Replace the present weights and state, for every model that shares the layers.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(1)])
            >>> weights, state = model.variables()
            >>> model.set_variables(jax.tree.map(np.ones_like, weights), state)
            >>> model.get_weights()[0].tolist()
            [[1.0], [1.0]]
        """
        self._require_built("set_variables")
        expected = jax.eval_shape(functools.partial(initialise, self, dtype=self.dtype), np.zeros(2, np.uint32))
        for name, given, wanted in zip(("weights", "state"), (weights, state), expected, strict=True):
            if jax.tree.structure(given) != jax.tree.structure(wanted):
                raise SettingError(f"The {name} do not have the structure of this model's: expected "
                                   f"{jax.tree.structure(wanted)}, got {jax.tree.structure(given)}.")
        entries = ordered_weights(self)
        values = [value for _, value in ordered_arrays(self, weights, state)]
        with self._environment():
            zeros = jax.tree.map(lambda spec: np.zeros(spec.shape, spec.dtype), expected)
            hold(self, *replace_arrays(entries, *zeros, values, "The model"))

    def get_weights(self) -> list[np.ndarray]:
        """All arrays as a list, layer by layer in Keras's order: trained ones first, then running statistics.

        Example:
            >>> from chainrule.layers import Dense
            >>> [array.shape for array in Sequential([Input((2,)), Dense(1)]).get_weights()]
            [(2, 1), (1,)]
        """
        self._require_built("get_weights")
        return super().get_weights()

    def set_weights(self, weights: Iterable) -> None:
        """Replace all arrays by a list in the order of `get_weights`.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(1)])
            >>> model.set_weights([[[1.0], [2.0]], [3.0]])
            >>> model.predict(np.array([[1.0, 1.0]])).tolist()
            [[6.0]]
        """
        self._require_built("set_weights")
        with self._environment():
            hold(self, *replace_arrays(ordered_weights(self), *self.variables(), weights, "The model"))

    def hold_run(self, run: RunState) -> None:
        """Take over the arrays that training has reached."""
        hold(self, run.weights, run.state)
        self._compiled.optimizer_state = run.optimizer

    def build(self, input_shape) -> None:
        """Build the model before it sees data.

        Args:
            input_shape: the shape of the input, batch axis included: `(None, 8)`; a list or dict of shapes for several.
        """
        if not self.built:
            self._build_for(_symbols(input_shape))

    # Looking at it.

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes in the order of the outputs, kept in the model's file; `None` where none were set.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(2, activation="softmax")])
            >>> model.class_names = ["cat", "dog"]
            >>> model.class_names[int(model.predict(np.zeros((1, 2))).argmax())]
            'cat'
        """
        names = self.__dict__.get("_class_names")
        return None if names is None else list(names)

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        self.__dict__["_class_names"] = None if names is None else check_class_names(names)

    @property
    def preparation(self) -> Preparation | None:
        """What made raw data into the model's inputs, kept in the model's file: the vocabulary of a text, the scaling
        of a series; `None` where there is none. `fit` takes it from its `Source`.
        """
        return self.__dict__.get("_preparation")

    @preparation.setter
    def preparation(self, preparation: Preparation | None) -> None:
        if preparation is not None and not isinstance(preparation, Preparation):
            raise SettingError(f"A preparation is a vocabulary of chainrule.text, a scaling of chainrule.series, or "
                               f"None; got {shortened(preparation)}.")
        self.__dict__["_preparation"] = preparation

    @property
    def layers(self) -> list[LayerView]:
        """The layers in order, each as seen from this model."""
        return [LayerView(self, name, layer) for name, layer in self.sublayers().items()]

    def get_layer(self, name: str | None = None, index: int | None = None) -> LayerView:
        """The layer of that name or at that place.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(3), Dense(1, name="head")])
            >>> model.get_layer("head").units, model.get_layer(index=0).units
            (1, 3)
        """
        return find_view(self, name, index)

    def count_params(self) -> int:
        """How many numbers the weights hold, running statistics included; shared ones once.

        Example:
            >>> from chainrule.layers import Dense
            >>> Sequential([Input((2,)), Dense(3), Dense(1)]).count_params()
            13
        """
        self._require_built("count_params")
        return count(self)

    def summary(self, print_fn=None) -> None:
        """Print a table of the layers with their shapes and numbers of weights.

        Args:
            print_fn: what receives the table instead of `print`.

        Example:
            >>> from chainrule.layers import Dense
            >>> Sequential([Input((2,)), Dense(3)]).summary()
            Sequential
            ────────────────────────────────────
            Layer          Output shape  Weights
            ────────────────────────────────────
            dense (Dense)  (None, 3)           9
            ────────────────────────────────────
            Total weights: 9
            Trainable: 9
            Not trainable: 0
        """
        (print_fn or print)(summary_text(self))

    def _repr_html_(self) -> str:
        return summary_html(self)

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name else ""
        layers = len(self.layers)
        size = f"{layers} layer{'s' * (layers != 1)}, {count(self):,} weights" if self.built else "not built yet"
        return f"<{type(self).__name__}{named}: {size}>"

    # Training.

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None,
                device: str | None = None, deterministic: bool = False, kernels: bool = True) -> None:
        """Choose how the model is trained.

        Args:
            optimizer: a name, an optimiser or an optax transformation.
            loss: a name, a loss or a function `(y_true, y_pred)`; for several outputs a dict by name or a list.
            loss_weights: the factors of several losses, a dict by name or a list.
            metrics: names, metrics or functions to report beside the loss, `sample_weight` counting in them; for
                several outputs a dict by name.
            weighted_metrics: more of them (here all metrics are weighted).
            device: `"cpu"`, `"gpu"` or `"tpu"`: where the weights are made, trained and used; by default the best that
                there is. It is not kept in the model's file.
            deterministic: whether a run on a GPU repeats to the bit, which makes it slower. On a processor all do.
            kernels: whether chainrule's own kernels may be used on a processor, `False` to compare with plain JAX.

        Raises:
            SettingError: an argument is none of these, or this machine has no such device.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(3, activation="softmax")])
            >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            >>> model.optimizer.learning_rate
            0.001
        """
        loss, chosen = _named(loss), _named(_joined(metrics, weighted_metrics))
        for identifier in _identifiers(loss):
            losses.get(identifier)
        _check_metrics(chosen)
        for name in _PROGRAMS:  # settings of layers may have changed since they were compiled
            self.__dict__.pop(name, None)
        for setting, value in (("deterministic", deterministic), ("kernels", kernels)):
            if not isinstance(value, bool):
                raise SettingError(f"{setting} is True or False; got {value!r}.")
        self.__dict__["_compiled"] = Compiled(
            optimizers.get(optimizer), loss, loss_weights, chosen, check_device(device), deterministic, kernels)
        for layer in () if device is None else [layer for _, layer in walk(self) if "_held" in layer.__dict__]:
            layer.__dict__["_held"] = bring(layer.__dict__["_held"], self._compiled.device)

    @property
    def optimizer(self) -> optimizers.Optimizer:
        """What `compile` was given."""
        return self._require_compiled("optimizer").optimizer

    @property
    def metrics_names(self) -> list[str]:
        """The names of the figures that the last `fit`, or `evaluate`, reports."""
        compiled = self._require_compiled("metrics_names")
        objectives = [made for key, made in compiled.programs.items() if key[0] == "objective"]
        if not objectives:
            raise NotReadyError("metrics_names are known after the first fit or evaluate, because the shape of the "
                                "targets decides what 'accuracy' means.")
        return objectives[-1].names()

    @property
    def output_shape(self):
        """The shape of the output, batch axis included, in the structure of the outputs.

        Example:
            >>> from chainrule.layers import Dense
            >>> Sequential([Input((2,)), Dense(3)]).output_shape
            (None, 3)
        """
        self._require_built("output_shape")
        graph = self.__dict__.get("_graph")
        outputs = graph.outputs if graph is not None else self.__dict__["_output_specs"]
        return jax.tree.map(lambda output: tuple(output.shape), outputs)

    @property
    def loss(self):
        """What `compile` was given."""
        return self._require_compiled("loss").loss

    def fit(self, x=None, y=None, batch_size: int | None = None, epochs: int = 1, verbose="auto", callbacks=None,
            validation_split: float = 0.0, validation_data=None, shuffle: bool = True, class_weight=None,
            sample_weight=None, initial_epoch: int = 0, steps_per_epoch: int | None = None,
            validation_steps: int | None = None, validation_batch_size: int | None = None,
            validation_freq: int = 1, seed: int | None = None, run=None, resume: bool = False) -> History:
        """Train the model.

        Args:
            x: inputs: an array, or a list or dict of arrays for several inputs; or what gives both x and y and may be
                bigger than memory: a `Source`, a generator or another iterable of batches `(x, y)` or
                `(x, y, sample_weight)`, a function that makes one, a data set or loader of PyTorch, a data set of
                Hugging Face.
            y: targets: an array, or a list or dict for several outputs.
            batch_size: rows a step, 32 by default (all for L-BFGS; of an iterable those of its first batch). The last
                short batch counts exactly.
            epochs: where to end (with `initial_epoch` 5 and `epochs` 8, three epochs are trained).
            verbose: 0 for silence, 1 for a live line an epoch, 2 for plain lines; `"auto"` is 1 on a terminal and in
                notebooks, 2 elsewhere.
            callbacks: objects with the methods of `Callback`.
            validation_split: the share of rows, taken from the end before any shuffling, to validate on.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or what `x` may be beside arrays: to validate on
                instead.
            shuffle: whether each epoch has an order of its own.
            class_weight: weights of labels in the loss, a dict or `"balanced"`; by output for several.
            sample_weight: weights of rows in loss and metrics; only their proportions matter.
            initial_epoch: the number of the first epoch: going on after 5 epochs with the same seed trains exactly as
                if there had been no stop.
            steps_per_epoch: the batches of an epoch, for iterables: the next epoch goes on where this one ended, and
                an iterable that is at its end begins again. It is needed where that cannot be, as for a generator.
            validation_steps: the same for `validation_data`; every validation takes the same batches.
            validation_batch_size: as `batch_size` by default.
            validation_freq: validate after every so many epochs.
            seed: decides the initial weights, where there are none yet, the order of rows and all random layers.
                Without one, weights start from seed 0 and each further fit has an order of its own.
            run: a folder for all of this training, or a `Run`: checkpoints are written to it while it is under way,
                figures by step and epoch, and in the end the model.
            resume: whether to go on from the newest whole checkpoint in that folder: a run that was interrupted, in
                whatever way, ends with the same bytes as one that was not. Where there is none, training starts anew.

        Returns:
            The `History`: `history.history["loss"]` has one value an epoch, `history.resumed_from` says where the run
            went on.

        Raises:
            SettingError: the folder holds a run and `resume` is not given, or one that was begun with other data,
                another network or other arguments than `epochs`.
            FileAccessError: the folder cannot be written to, or another process trains in it.
            NotFiniteError: the loss became NaN or infinite; the model keeps the weights from before that step.

        Example:
            >>> from chainrule.layers import Dense
            >>> x = np.linspace(-1, 1, 64)[:, None]
            >>> model = Sequential([Input((1,)), Dense(1)])
            >>> model.compile(optimizer=optimizers.SGD(0.1), loss="mse")
            >>> history = model.fit(x, 2 * x + 1, epochs=50, batch_size=16, verbose=0, seed=0)
            >>> [round(float(array.item()), 2) for array in model.get_weights()], len(history.history["loss"])
            ([2.0, 1.0], 50)
        """
        self._require_compiled("fit")
        check_whole("epochs", epochs, minimum=0)
        check_whole("initial_epoch", initial_epoch, minimum=0)
        check_whole("validation_freq", validation_freq, minimum=1)
        if not isinstance(resume, bool):
            raise SettingError(f"resume is True or False; got {resume!r}. The folder is named by run='runs/first'.")
        if resume and run is None:
            raise SettingError("resume=True goes on with a run: say in which folder it is, as in run='runs/first'.")
        check_steps("steps_per_epoch", steps_per_epoch)
        check_steps("validation_steps", validation_steps)
        x = as_source(x)
        source = x if isinstance(x, Source) else None
        batch_size = getattr(source, "batch_size", None) if batch_size is None else batch_size
        with self._environment(), contextlib.ExitStack() as readers:
            x, y, sample_weight = taken(x, y, sample_weight, steps_per_epoch, batch_size or 32)
            judged = taken_validation(validation_data, validation_steps, validation_batch_size or batch_size or 32)
            x, y, sample_weight, held_out = self._divide(x, y, sample_weight, validation_split, judged)
            if self.optimizer.needs_all_rows and batch_size is None and not isinstance(x, Source):
                batch_size = len(jax.tree.leaves(x)[0])
            prepared = self._prepared(x, y, sample_weight, class_weight, batch_size, shuffle, epochs, warn=True,
                                      relative=source is None)
            objective, batches, data = readers.enter_context(prepared)
            prepare.check_suits_optimizer(self, batches)
            validation_batches, validation, judge = None, None, None
            if held_out is not None:
                _, validation_batches, validation = readers.enter_context(
                    self._prepared(*held_out, batch_size=validation_batch_size or batch_size))
                if validation_batches.chunk:
                    judge, validation_batches = self._evaluation(objective, validation_batches), None
            program, pace = self._program(objective, batches, validation_batches)
            if self.class_names is None:
                self.class_names = getattr(source, "class_names", None)
            if self.preparation is None:
                self.preparation = getattr(source, "preparation", None)
            weights, state = self.variables(0 if seed is None else seed)
            start = self._start(program, weights, state, initial_epoch, seed)
            history = History(self, {
                "epochs": epochs, "steps": batches.steps, "samples": batches.count, "batch_size": batches.size,
                "metrics": objective.names(), "verbose": resolve_verbosity(verbose),
                "validation_freq": 0 if held_out is None else validation_freq})
            told, keeper = _as_list(callbacks), None
            self._check_averages(objective, start, batches.size, data, told)
            if run is not None:
                keeper = readers.enter_context(self._keeper(as_run(run), resume, told, start, {
                    "training_data": describe_data(batches, data),
                    "validation_data": describe_data(validation_batches, validation),
                    "validation_freq": validation_freq, "seed": seed}, epochs))
                told = [*told, RunRecorder(keeper.metrics, keeper.run.log_steps)]
                history.resumed_from = history.params["resumed_from"] = keeper.resumed_from
            display = TrainingProgress(history.params["verbose"])
            events = Events([*told, Recorder(history), display], self, history.params)
            self._check_rate_is_set_once(events)
            self.__dict__.update(stop_training=False, history=history)
            if keeper is not None:
                keeper.watch(told)
            Fit(self, program, data, validation, events, epochs, validation_freq, pace, judge, keeper).run(start)
            if keeper is not None:
                keeper.save_model(self)
        return history

    def _check_averages(self, objective, start: RunState, rows: int, data, callbacks: list) -> None:
        """Raise where the fit ends with an average of weights, and running statistics could not be taken for it."""
        who = [f"{type(self.optimizer).__name__} with use_ema=True"] if self.optimizer.averages_weights else []
        who += [type(callback).__name__ for callback in callbacks if getattr(callback, "averages_weights", False)]
        if who:
            inputs = prepare.input_arrays(self, data.source.head()[0]) if isinstance(data, Stream) else data.x
            check_can_follow(who[0], objective, start, inputs, rows, data)

    def _keeper(self, run: Run, resume: bool, callbacks: list, start: RunState, data: dict, epochs: int) -> Keeper:
        """What keeps a fit in a folder, with all that must be the same when it goes on."""
        network, optimizer = describe_network(self), type(self.optimizer).__name__
        facts = {"network": network, "weights": describe_arrays(start.weights), "optimizer": optimizer,
                 "optimizer_state": describe_arrays(start.optimizer), "dtype": self.dtype,
                 "callbacks": [type(callback).__name__ for callback in callbacks], **data}
        settings = {"network": network, "optimizer": {optimizer: self.optimizer.hyperparameters()}, "epochs": epochs,
                    **{name: facts[name] for name in ("dtype", "callbacks", *data)}}
        return Keeper(run, resume, settings, facts)

    def evaluate(self, x=None, y=None, batch_size: int | None = None, verbose="auto", sample_weight=None,
                 steps: int | None = None, callbacks=None, return_dict: bool = False):
        """The loss and the metrics on data.

        Args:
            x, y, sample_weight: as for `fit`.
            batch_size: rows a step, 32 by default; it does not change the result but in rounding.
            verbose: as for `fit`.
            steps: how many batches to take of an iterable, by default all. Without it, all that a generator yields is
                held in memory.
            callbacks: objects with the methods of `Callback`.
            return_dict: whether to return the figures by name.

        Returns:
            The loss, or a list of the loss and the metrics, or a dict of them.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((1,)), Dense(1, kernel_initializer="ones")])
            >>> model.compile(loss="mse", metrics=["mae"])
            >>> model.evaluate(np.ones((4, 1)), np.full((4, 1), 3.0), verbose=0, return_dict=True)
            {'loss': 4.0, 'mae': 2.0}
        """
        self._require_compiled("evaluate")
        x = as_source(x)
        batch_size = getattr(x, "batch_size", None) if batch_size is None and isinstance(x, Source) else batch_size
        with self._environment(), contextlib.ExitStack() as readers:
            if steps is None and isinstance(x, IterableSource) and x.read_once:
                x = x.kept()
            x, y, sample_weight = taken(x, y, sample_weight, check_steps("steps", steps), batch_size or 32, "steps")
            prepared = self._prepared(*self._data_of(x, y), sample_weight, batch_size=batch_size, epochs=1)
            objective, batches, data = readers.enter_context(prepared)
            events = Events([*_as_list(callbacks), EvaluationProgress(resolve_verbosity(verbose))], self,
                            {"steps": batches.steps, "samples": batches.count, "verbose": resolve_verbosity(verbose)})
            evaluation = self._evaluation(objective, batches)
            weights, state = self.variables()
            number = objective.number
            loss_weights = {output.name: np.asarray(output.loss_weight, number) for output in objective.outputs}
            by_batches = events.wants("on_test_batch_begin", "on_test_batch_end")
            events.on_test_begin()
            for step, part in evaluation.parts(weights, state, loss_weights, data, one_by_one=by_batches):
                if by_batches:
                    events.on_test_batch_begin(step)
                state, figures = part()
                if by_batches:
                    events.on_test_batch_end(step, logs=floats(figures))
            if goes_on(self):
                hold(self, weights, state)
            figures = floats({name: figures[name] for name in objective.names()})
            events.on_test_end(logs=figures)
        return _returned(figures, return_dict)

    def predict(self, x, batch_size: int | None = None, verbose=0, steps: int | None = None, callbacks=None):
        """The outputs for given inputs, as NumPy arrays.

        Args:
            x: as for `fit`; batches may be `x` alone.
            batch_size: rows at a time; by default as many as fit comfortably.
            verbose: 1 shows progress.
            steps: how many batches to take of an iterable, by default all.
            callbacks: objects with the methods of `Callback`.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(1, kernel_initializer="ones")])
            >>> model.predict(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
            [[3.0], [7.0]]
        """
        return self._predict_all(x, batch_size, verbose, steps, callbacks)

    def predict_members(self, x, batch_size: int | None = None, verbose=0, steps: int | None = None):
        """What each member of an ensemble predicts, `(members, rows, ...)`: of a network that ends in `EnsembleMean`.

        `uncertainty.reduce_members` and its kind take it.

        Args:
            x, batch_size, verbose, steps: as for `predict`.

        Raises:
            SettingError: an output does not come out of an `EnsembleMean`.

        Example:
            >>> from chainrule.layers import DenseEnsemble, EnsembleMean, EnsembleView
            >>> model = Sequential([Input((2,)), EnsembleView(8), DenseEnsemble(1), EnsembleMean()])
            >>> x = np.ones((3, 2))
            >>> model.predict(x).shape, model.predict_members(x).shape
            ((3, 1), (8, 3, 1))
        """
        return jax.tree.map(lambda leaf: np.moveaxis(leaf, 1, 0),
                            self._predict_all(x, batch_size, verbose, steps, members=True))

    def predict_with(self, weights: dict, state: dict, x, batch_size: int | None = None):
        """As `predict`, with weights and state that are handed in; those of the model stay what they are.

        Args:
            weights, state: nested dicts of arrays, as `variables` gives them.
            x, batch_size: as for `predict`.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(1, kernel_initializer="ones")])
            >>> weights, state = model.variables()
            >>> doubled = jax.tree.map(lambda array: 2 * array, weights)
            >>> x = np.array([[1.0, 2.0]])
            >>> model.predict_with(doubled, state, x).tolist(), model.predict(x).tolist()
            ([[6.0]], [[3.0]])
        """
        return self._predict_all(x, batch_size, 0, None, variables=(weights, state))

    def _predict_all(self, x, batch_size, verbose, steps, callbacks=None, **how):
        """As `predict`; `how` goes on to `_predict`."""
        x = as_source(x)
        if check_steps("steps", steps) is not None and not isinstance(x, IterableSource):
            x, _, _ = taken(x, None, None, steps, setting="steps")
        if isinstance(x, Source):
            if isinstance(x, IterableSource):
                chunks = batches_in_turn(x, steps)
            else:
                check_source(x, None, None)
                chunks = inputs_ahead(x, self._row_bytes(x))
            return concatenate([self._predict(part, batch_size, verbose, callbacks, rows, **how)
                                for rows, part in chunks])
        return self._predict(x, batch_size, verbose, callbacks, **how)

    def _predict(self, x, batch_size=None, verbose=0, callbacks=None, rows=None, members=False, variables=None):
        """As `predict`.

        Args:
            rows: the numbers that the rows have in their source.
            members: leaves those of ensembles as they are, in the axis behind the rows.
            variables: weights and state in the place of the model's own.
        """
        with self._environment():
            self._ensure_built(x)
            x = prepare.input_arrays(self, x, rows)
            count = arrays.check_lengths({f"x[{i}]": leaf for i, leaf in enumerate(jax.tree.leaves(x))})
            predictor = self.__dict__.get(_predictor_name(members)) or self._new_predictor(members)
            size = predictor.batch_size if batch_size is None else check_whole("batch_size", batch_size, minimum=1)
            weights, state = self._present() if variables is None else variables
            keeps = predictor.goes_on and variables is None
            if count <= size and not callbacks and not verbose:
                outputs, state = predictor(weights, state, x)
                if keeps:
                    hold(self, weights, state)
                return outputs
            events = Events([*_as_list(callbacks), EvaluationProgress(resolve_verbosity(verbose))], self,
                            {"steps": -(-count // size), "samples": count})
            parts = []
            try:
                events.on_predict_begin()
                for batch, start in enumerate(range(0, count, size)):
                    events.on_predict_batch_begin(batch)
                    outputs, state = predictor(weights, state, _rows(x, start, start + size))
                    parts.append(outputs)
                    events.on_predict_batch_end(batch, logs={"outputs": parts[-1]})
                events.on_predict_end()
            finally:
                events.close()
                if keeps:
                    hold(self, weights, state)
        return concatenate(parts)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict: bool = False):
        """One step on one batch; the loss (and metrics) of the batch before it.

        Weights are not divided by their mean here: the loss is divided by the rows, as in Keras.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((1,)), Dense(1, kernel_initializer="ones")])
            >>> model.compile(optimizer=optimizers.SGD(0.25), loss="mse")
            >>> model.train_on_batch(np.ones((2, 1)), np.zeros((2, 1)))
            1.0
            >>> model.get_weights()[0].tolist()
            [[0.5]]
        """
        self._require_compiled("train_on_batch")
        with self._environment():
            self._ensure_built(x)
            x, y = prepare.input_arrays(self, x), prepare.target_arrays(self, y)
            objective, count = self._objective(x, y)
            data = self._batch(objective, x, y, count, sample_weight, class_weight, relative=False)
            program, _ = self._program(objective, Batches(count, count), None)
            run = self._start(program, *self.variables(), 0, None)
            fit = Fit(self, program, data, None, Events([], self, {}), 1, 1, Pace())
            run, progress = program.compiled(run, fit.numbers(), data, None, np.int32(1), np.int32(1))
            if np.asarray(run.not_finite)[0] >= 0:
                raise fit._not_finite(self._start(program, *self.variables(), 0, None))
            self.hold_run(run)
            figures = floats({name: progress.logs[name][0] for name in objective.names()})
        return _returned(figures, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict: bool = False):
        """The loss (and metrics) of one batch, nothing trained.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((1,)), Dense(1, kernel_initializer="ones")])
            >>> model.compile(loss="mse")
            >>> model.test_on_batch(np.ones((2, 1)), np.zeros((2, 1)))
            1.0
        """
        rows = len(jax.tree.leaves(prepare.input_arrays(self, x))[0])
        return self.evaluate(x, y, batch_size=rows, verbose=0, sample_weight=sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x):
        """The outputs for one batch.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((1,)), Dense(1, kernel_initializer="ones")])
            >>> model.predict_on_batch(np.ones((2, 1))).tolist()
            [[1.0], [1.0]]
        """
        return self.predict(x, batch_size=len(jax.tree.leaves(prepare.input_arrays(self, x))[0]))

    # Files.

    def save(self, path, overwrite: bool = True, include_optimizer: bool = True) -> None:
        """Write the model to a file that holds only data; `chainrule.models.load_model` reads it.

        Args:
            path: the file, by habit `name.chain`. A crash leaves the old one as it was.
            overwrite: whether a file that is there may be replaced.
            include_optimizer: whether the file keeps what `compile` was given and where training stands.

        Example:
            >>> import tempfile, pathlib
            >>> from chainrule.layers import Dense
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = pathlib.Path(folder) / "model.chain"
            ...     Sequential([Input((2,)), Dense(1)]).save(path)
            ...     path.exists()
            True
        """
        saving.save_model(self, path, overwrite=overwrite, include_optimizer=include_optimizer)

    def save_weights(self, path, overwrite: bool = True) -> None:
        """Write the weights and running statistics alone, as a safetensors file.

        Example:
            >>> import tempfile, pathlib
            >>> from chainrule.layers import Dense
            >>> first, second = (Sequential([Input((2,)), Dense(1, name="head")]) for _ in range(2))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     first.save_weights(pathlib.Path(folder) / "weights.safetensors")
            ...     second.load_weights(pathlib.Path(folder) / "weights.safetensors")
        """
        saving.save_weights(self, path, overwrite=overwrite)

    def load_weights(self, path) -> None:
        """Take the weights and running statistics from a file of `save_weights`: names and shapes must agree.

        Example:
            >>> import tempfile, pathlib
            >>> from chainrule.layers import Dense
            >>> first = Sequential([Input((2,)), Dense(1, kernel_initializer="ones")])
            >>> second = Sequential([Input((2,)), Dense(1)])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     first.save_weights(pathlib.Path(folder) / "weights.safetensors")
            ...     second.load_weights(pathlib.Path(folder) / "weights.safetensors")
            >>> second.get_weights()[0].tolist()
            [[1.0], [1.0]]
        """
        saving.load_weights(self, path)

    # What the methods above share.

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs: keys of a dict, or the names of the layers they come from."""
        graph, outputs = self.__dict__.get("_graph"), self._output_structure
        if isinstance(outputs, dict):
            return sorted(outputs)
        leaves = jax.tree.leaves(outputs)
        if graph is None:
            return [f"output_{index}" if index else "output" for index in range(len(leaves))]
        names = [graph.names[id(symbol.node.layer)] for symbol in leaves]
        return [name if names.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(names)]

    @property
    def _output_structure(self):
        """The structure of the outputs: symbols, or shapes where there is no graph."""
        graph = self.__dict__.get("_graph")
        return graph.outputs if graph is not None else self.__dict__["_output_specs"]

    def _output_leaves(self) -> list:
        return jax.tree.leaves(self._output_structure)

    def _variables(self):
        self._require_built("weights")
        return self.variables()

    def _require_built(self, what: str) -> None:
        if not self.built:
            raise NotReadyError(
                f"{what} needs the model's weights, and their shapes are not known yet. Give the first layer an input "
                f"shape (Input(...) or input_shape=...), or fit or call the model on data first.")

    def _require_compiled(self, what: str) -> Compiled:
        if "_compiled" not in self.__dict__:
            raise NotReadyError(
                f"{what} needs a loss and an optimiser: call model.compile(optimizer='adam', loss=...) first.")
        return self._compiled

    def _ensure_built(self, x) -> None:
        """Build the model for the first data it meets."""
        if not self.built:
            if x is None:
                raise DataError("x is None: there is no data to build the model for.")
            self._build_for(prepare.arrays_of_no_graph(x))

    def _build_for(self, *inputs) -> None:
        """Build the model for inputs of these shapes: arrays or symbols, what `call` takes."""
        symbols = jax.tree.map(lambda leaf: Symbol((None, *leaf.shape[1:])), inputs)
        try:
            self.__dict__.update(_output_specs=infer_outputs(self, symbols, {}), _input_symbols=symbols)
        except BaseException:
            self.__dict__.pop("_built_shape", None)  # so that another attempt, with other data, begins anew
            raise

    def _divide(self, x, y, sample_weight, validation_split, validation_data):
        """Training data and validation data, as arrays or as sources that are streamed."""
        x, y = self._data_of(x, y)
        if validation_data is not None:
            held_x, held_y, weight = validation_data
            return x, y, sample_weight, (*self._data_of(held_x, held_y), weight)
        if validation_split and isinstance(x, Source):
            kept, held = prepare.split_source_tail(x, validation_split)
            return *kept, held
        if validation_split:
            arrays.check_lengths({f"part {i}": leaf for i, leaf in enumerate(jax.tree.leaves((x, y)))})
            kept, held = prepare.split_tail(x, y, sample_weight, validation_split)
            return *kept, held
        return x, y, sample_weight, None

    def _data_of(self, x, y, rows=None):
        """Inputs and targets as arrays, in the structure that the network takes; a source as it is.

        `rows` are the numbers that they have in their source.
        """
        if isinstance(x, Source):
            if not self.built:
                self._ensure_built(x.head()[0])
            return x, y
        self._ensure_built(x)
        return prepare.input_arrays(self, x, rows), prepare.target_arrays(self, y)

    def _prepared(self, x, y, sample_weight=None, class_weight=None, batch_size=None, shuffle=False, epochs=None,
                  warn=False, relative=True):
        """What a program runs over: the objective, the division into batches, and the data, for use in a `with`."""
        if not isinstance(x, Source):
            objective, count = self._objective(x, y, warn)
            data = self._batch(objective, x, y, count, sample_weight, class_weight, relative)
            return contextlib.nullcontext((objective, self._batches(objective, count, batch_size, shuffle), data))
        class_weight = known_class_weight(x, class_weight)

        def make(parts, rows, room):
            inputs, targets = self._data_of(*parts[:2], rows)
            objective, count = self._objective(inputs, targets, rows=rows)
            weight = parts[2] if len(parts) > 2 else None
            return self._batch(objective, inputs, targets, count, weight, class_weight, relative=False, room=room)

        objective, _ = self._objective(*self._data_of(*x.head()[:2]), warn)
        prepare.check_chunks(self, x)
        batches = self._batches(objective, len(x), batch_size, shuffle)
        chunk = chunk_steps(x, batches.size, self._row_bytes(x))
        return Stream(x, objective, dataclasses.replace(batches, chunk=chunk), make, epochs)

    def _row_bytes(self, source: Source) -> int:
        """The memory of a row behind the layers that prepare it: text is short, and counts of its tokens are not."""
        graph = self.__dict__.get("_graph")
        if graph is None or not graph.hosts:
            return 0
        return sum(leaf.nbytes for leaf in jax.tree.leaves(prepare.input_arrays(self, source.head()[0])))

    def _evaluation(self, objective, batches) -> Evaluation:
        make = lambda: Evaluation(objective, batches, self._compiled.deterministic)
        return self._cached(("evaluate", id(objective), batches), make)

    def _objective(self, x, y: list, warn: bool = False, rows=None):
        """Loss and metrics for data, checked against them, and the number of rows."""
        shapes = [None if target is None else (None, *target.shape[1:]) for target in y]
        compiled, names, specs = self._compiled, self.output_names, self._output_leaves()
        objective = self._cached(("objective", tuple(shapes)),
                                 lambda: compiled.objective(self, names, specs, shapes, self.dtype))
        if compiled.loss is not None and all(output.loss is None for output in objective.outputs):
            raise DataError("y is missing: the model was compiled with a loss, which compares its output with targets.")
        count = prepare.check_data(objective, specs, x, y, rows=rows)
        if warn:
            prepare.warn_if_unsuited(self, objective)
        return objective, count

    def _batch(self, objective, x, y, count, sample_weight=None, class_weight=None, relative=True, room=None):
        names = [output.name for output in objective.outputs]
        prepare.refuse_order(sample_weight, self._output_structure, "sample_weight", "output")
        classes = [max(spec.shape[-1], 2) if len(spec.shape) > 1 else 2 for spec in self._output_leaves()]
        return prepare.make_batch(x, y, count, objective.number, sample_weight, class_weight, names, classes, relative,
                                  room, self._compiled.staging)

    def _batches(self, objective, count: int, batch_size: int | None, shuffle: bool = False) -> Batches:
        size = 32 if batch_size is None else check_whole("batch_size", batch_size, minimum=1)
        masked = all(type(layer) in built_in.registry or isinstance(layer, (InputLayer, Network))
                     or "rows" in layer.accepted_options() for _, layer in walk(self)) and objective.is_built_in()
        return Batches(count, min(size, count), bool(shuffle), "mask" if masked else "own")

    def _program(self, objective, batches, validation_batches) -> tuple[TrainingProgram, Pace]:
        frozen = frozen_paths(self)
        make = lambda: (
            TrainingProgram(objective, self._compiled.optimizer, batches, validation_batches, frozen,
                            self._compiled.deterministic), Pace())
        return self._cached(("train", id(objective), batches, validation_batches, frozen), make)

    def _start(self, program: TrainingProgram, weights, state, epoch: int, seed: int | None) -> RunState:
        """The state of a run that begins with the model as it stands."""
        optimizer_state = self._compiled.optimizer_state
        fits = jax.tree.structure(optimizer_state) == jax.tree.structure(
            jax.eval_shape(program.initial_optimizer_state, weights))
        key = seed_words(seed or 0)
        goes_on = optimizer_state is not None and fits
        if goes_on and seed is None:
            key[1] ^= np.uint32(int(optimizer_state["step"]) * 2654435761 & 0xFFFFFFFF)
        run = program.compiled_start(weights, state, key, np.int32(epoch))
        return run._replace(optimizer=optimizer_state) if goes_on else run

    def _cached(self, key, make):
        """Something made once for this compilation of the model."""
        programs = self._compiled.programs
        if key not in programs:
            programs[key] = make()
        return programs[key]

    def _check_rate_is_set_once(self, events: Events) -> None:
        setters = [type(callback).__name__ for callback in events.callbacks
                   if getattr(callback, "sets_learning_rate", False)]
        if setters and self.optimizer.learning_rate is None:
            raise SettingError(
                f"{setters[0]} sets the learning rate, but an optax transformation keeps its own. Use an optimizer of "
                f"chainrule, or leave the callback out.")
        if setters and callable(self.optimizer.learning_rate):
            raise SettingError(
                f"{setters[0]} sets the learning rate, and so does the schedule {self.optimizer.learning_rate!r} of "
                f"the optimizer. Use one of them: give the optimizer a number, or leave the callback out.")

    def _environment(self) -> contextlib.AbstractContextManager:
        """The precision of the model, and what `compile` was told of device and kernels, for the time of a `with`."""
        compiled = self.__dict__.get("_compiled")
        if compiled is None or (compiled.device is None and compiled.kernels):
            return precision(self.dtype)
        all_of_it = contextlib.ExitStack()
        all_of_it.enter_context(precision(self.dtype))
        all_of_it.enter_context(on_device(compiled.device))
        all_of_it.enter_context(allowed(compiled.kernels))
        return all_of_it

    def _new_predictor(self, members: bool) -> Predictor:
        compiled = self.__dict__.get("_compiled")
        deterministic = compiled is not None and compiled.deterministic
        made = Predictor(self, self.dtype, default_batch_size(self), deterministic, members)
        self.__dict__[_predictor_name(members)] = made
        return made

    def _forget_programs(self) -> None:
        """Drop what was compiled for another shape of the network."""
        for name in (*_PROGRAMS, "_assembled"):
            self.__dict__.pop(name, None)
        if "_compiled" in self.__dict__:
            self._compiled.programs.clear()
            self._compiled.optimizer_state = None

    def __getstate__(self):
        """For copying and pickling: without compiled programs, which are made again when they are needed."""
        left_out = (*_PROGRAMS, "_assembled", "history")
        kept = {name: value for name, value in self.__dict__.items() if name not in left_out}
        if "_compiled" in kept:
            compiled = kept["_compiled"]
            kept["_compiled"] = dataclasses.replace(compiled, programs={})
        return kept

    def __setstate__(self, state):
        self.__dict__.update(state)


class Sequential(Model):
    """Layers one after another, each taking the output of the one before.

    Args:
        layers: the layers; the first may be an `Input`, or have `input_shape=`. Where no shape is given, the model is
            built by the first data it meets.
        name: the name of the model.
        trainable: whether training changes its weights.
        dtype: its precision, `"float32"` (default), `"float64"`, or `"mixed_bfloat16"`: weights, optimiser, losses and
            predictions in float32, layers computing in bfloat16.

    Example:
        >>> from chainrule.layers import Dense
        >>> model = Sequential([Input((2,)), Dense(3, activation="relu"), Dense(1)])
        >>> model.count_params()
        13
    """

    def __init__(self, layers: Iterable = (), name: str | None = None, trainable: bool = True,
                 dtype: str | None = None):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.__dict__.update(_stack=[], _input=None)
        for layer in layers:
            self._append(layer)
        self._connect_stack()

    def add(self, layer) -> None:
        """Put a layer behind the others.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,))])
            >>> model.add(Dense(1))
            >>> model.count_params()
            3
        """
        self._append(layer)
        self._connect_stack()

    def pop(self) -> LayerView:
        """Take the last layer off.

        Example:
            >>> from chainrule.layers import Dense
            >>> model = Sequential([Input((2,)), Dense(3), Dense(1)])
            >>> model.pop().units, model.count_params()
            (1, 9)
        """
        if not self._stack:
            raise SettingError("There is no layer to take off.")
        layer = self._stack.pop()
        self._connect_stack()
        return LayerView(self, layer.name or "", layer)

    def _append(self, layer) -> None:
        if isinstance(layer, LayerView):
            layer = layer.__dict__["layer"]
        if isinstance(layer, Symbol) and isinstance(layer.node.layer, InputLayer):
            layer = layer.node.layer
        if isinstance(layer, InputLayer):
            if self._stack or self._input is not None:
                raise SettingError("An Input must be the first of a Sequential, and there is one only.")
            self.__dict__["_input"] = Input(layer.shape, layer.dtype, layer.name, layer.batch_size)
            return
        if not isinstance(layer, Layer):
            hint = " Write it with parentheses: Dense(10)." if isinstance(layer, type) else ""
            raise SettingError(f"A Sequential is made of layers; got {layer!r}.{hint}")
        if any(layer is other for other in self._stack):
            raise SettingError(
                f"The layer {layer!r} is already in this Sequential. Use Model(inputs, outputs) to use a layer twice.")
        if not self._stack and self._input is None:
            shape = layer.input_shape
            dtype = layer.prepares[-1] if isinstance(layer, HostLayer) and not layer.also_computes else None
            if shape is None and dtype is not None:
                self.__dict__["_input"] = Input((), dtype)
            elif shape is None and isinstance(layer, Network) and layer.__dict__.get("_graph") is not None:
                shape, dtype = layer.inputs[0].shape[1:], layer.inputs[0].dtype
                self.__dict__["_input"] = Input(shape, dtype)
            elif shape is not None:
                self.__dict__["_input"] = Input((shape,) if isinstance(shape, int) else tuple(shape), dtype)
        self._stack.append(layer)

    def _connect_stack(self) -> None:
        """Connect the graph anew, where the shape of the input is known."""
        self._forget_programs()
        if self._input is None:
            self.__dict__["_graph"] = None
            return
        symbol = self._input
        for layer in self._stack:
            symbol = layer(symbol)
        if self._stack:
            self._connect(self._input, symbol)

    def sublayers(self) -> dict[str, Layer]:
        graph = self.__dict__.get("_graph")
        return name_layers(self._stack) if graph is None else graph.layers

    @property
    def layers(self) -> list[LayerView]:
        """The layers in order, each as seen from this model; the input is none of them."""
        return [view for view in super().layers if not isinstance(view, InputLayer)]

    def ensure_built(self, *input_shapes) -> None:
        if self.__dict__.get("_graph") is None and input_shapes:
            self.__dict__["_input"] = Input(tuple(input_shapes[0])[1:])
            self._connect_stack()

    def _build_for(self, x) -> None:
        if not self._stack:
            raise NotReadyError("This Sequential has no layers. Add some: model.add(Dense(10)).")
        if isinstance(x, (list, tuple)):  # there is one input: an array in a list, or a list of its rows
            x = x[0] if len(x) == 1 else arrays.as_arrays(list(x), "x")
        self.__dict__["_input"] = Input(x.shape[1:])
        self._connect_stack()

    @property
    def built(self) -> bool:
        return self.__dict__.get("_graph") is not None

    def get_config(self) -> dict[str, Any]:
        first = self._input
        shape = None if first is None else {"shape": first.shape[1:], "dtype": first.dtype, "name": first.name}
        if first is not None and first.shape[0] is not None:
            shape["batch_size"] = first.shape[0]
        if "layers" not in inspect.signature(type(self).__init__).parameters:
            return Configurable.get_config(self)
        return {"name": self.name, "trainable": self.trainable, "dtype": self.dtype, "input": shape,
                "layers": list(self._stack)}

    @classmethod
    def from_config(cls, config):
        if "layers" not in config:
            return super().from_config(config)
        first = [Input(**config["input"])] if config.get("input") else []
        settings = {name: config[name] for name in ("name", "trainable", "dtype") if name in config}
        return cls([*first, *config["layers"]], **settings)


def load_model(path, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model in a file that `model.save(path)` wrote: same class, same weights, training goes on where it was.

    Args:
        path: the file. It is data and nothing in it is executed, so it may come from anywhere.
        custom_objects: layers, losses and functions of your own, by name: `{"MyLayer": MyLayer}`.

    Raises:
        FileFormatError: the file is damaged or is not a model file.
        UnknownLayerError: it uses a layer or function that is neither built in nor in `custom_objects`.

    Example:
        >>> import tempfile, pathlib
        >>> from chainrule.layers import Dense
        >>> model = Sequential([Input((2,)), Dense(1)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(pathlib.Path(folder) / "model.chain")
        ...     load_model(pathlib.Path(folder) / "model.chain")
        <Sequential: 1 layer, 3 weights>
    """
    return saving.load_model(path, [Model, Sequential], custom_objects)


def _rows(x, start: int, stop: int):
    """Some rows of inputs."""
    return jax.tree.map(lambda leaf: leaf[start:stop], x)


def _symbols(shape):
    """A shape as a symbol; several shapes as a structure of symbols."""
    if isinstance(shape, Mapping):
        return {name: _symbols(part) for name, part in shape.items()}
    if shape and isinstance(shape[0], (tuple, list)):
        return type(shape)(_symbols(part) for part in shape)
    return Symbol(tuple(shape))


def _returned(figures: dict[str, float], as_dict: bool):
    """Figures as `evaluate` returns them."""
    values = list(figures.values())
    return figures if as_dict else (values[0] if len(values) == 1 else values)


def _as_list(callbacks) -> list:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def _joined(metrics, weighted):
    """`metrics` and `weighted_metrics` together."""
    if not weighted:
        return metrics
    if isinstance(metrics, dict) or isinstance(weighted, dict):
        first, second = metrics or {}, weighted
        return {name: _as_list(first.get(name)) + _as_list(second.get(name)) for name in {**first, **second}}
    by_output = lambda given: isinstance(given, (list, tuple)) and any(
        isinstance(part, (list, tuple)) for part in given)
    if by_output(metrics) and by_output(weighted) and len(metrics) == len(weighted):
        return [_as_list(first) + _as_list(second) for first, second in zip(metrics, weighted, strict=True)]
    return _as_list(metrics) + _as_list(weighted)


def _identifiers(given) -> list:
    """The names, objects and functions in a structure of dicts and lists."""
    return jax.tree.leaves(given, is_leaf=lambda leaf: not isinstance(leaf, (dict, list, tuple, type(None))))


def _named(given):
    """A structure of losses or metrics with chainrule's own functions by their names, which a file can hold."""
    return jax.tree.map(lambda leaf: leaf.__name__ if hasattr(leaf, "loss_class") else leaf, given,
                        is_leaf=lambda leaf: not isinstance(leaf, (dict, list, tuple)))


def _check_metrics(chosen) -> None:
    """Raise for unknown names where they are written."""
    for identifier in _identifiers(chosen):
        if isinstance(identifier, str) and identifier not in ("accuracy", "acc"):
            metrics.get(identifier)


def check_class_names(names) -> list[str]:
    """Raise where names of classes could not be kept in a file and printed."""
    found = list(names) if isinstance(names, (list, tuple, np.ndarray)) else []
    if not 0 < len(found) <= _MOST_CLASSES:
        raise SettingError(f"class_names is a list of names, 1 to {_MOST_CLASSES:,}, or None; got {shortened(names)}.")
    for name in found:
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_CLASS_NAME or not _is_text(name):
            raise SettingError(f"A name of a class is text of 1 to {_LONGEST_CLASS_NAME} characters; got "
                               f"{shortened(name)}.")
    return [str(name) for name in found]


def _is_text(name: str) -> bool:
    """Whether a name can be written: one made of a file's name may hold bytes that are no characters."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def check_steps(name: str, steps: int | None) -> int | None:
    """Raise where a number of steps is neither one nor left out."""
    return None if steps is None else check_whole(name, steps, minimum=1)


def _predictor_name(members: bool) -> str:
    """The attribute that holds what predicts, the members of ensembles together or each."""
    return "_member_predictor" if members else "_predictor"


def check_whole(name: str, value, minimum: int) -> int:
    """Raise where a count is not an integer of at least `minimum`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < minimum:
        raise SettingError(f"{name} must be an integer of at least {minimum}; got {value!r}.")
    return int(value)

