"""Bad input gets a clear error before anything runs: every message as whole text."""
import numpy as np
import pytest

import chainrule as cr
from chainrule import errors
from chainrule.layers import Dense, Dropout, Reshape

X = np.ones((20, 4), "float32")
Y = np.arange(20) % 3
WITH_NAN = X.copy()
WITH_NAN[17, 2] = np.nan


def classifier():
    model = cr.Sequential([cr.Input((4,)), Dense(8, activation="relu"), Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def regressor(outputs=1):
    model = cr.Sequential([cr.Input((4,)), Dense(outputs)])
    model.compile("adam", "mse")
    return model


def signs_for_a_sigmoid():
    model = cr.Sequential([cr.Input((4,)), Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(X, np.where(Y > 0, 1, -1))


def dropout_without_a_key():
    model = cr.Sequential([cr.Input((4,)), Dropout(0.5)])
    model.apply({}, {}, X, training=True)


CASES = {
    "x rank": (
        lambda: classifier().fit(X[:, :, None], Y),
        errors.ShapeError,
        "The input of the model has shape (20, 4, 1); expected (None, 4). Flatten the rows: x.reshape(len(x),"
        " -1), or start with a Flatten layer.",
    ),
    "x size": (
        lambda: classifier().fit(X[:, :3], Y),
        errors.ShapeError,
        "The input of the model has shape (20, 3); expected (None, 4). Axis 1 holds 3 instead of 4.",
    ),
    "one row": (
        lambda: classifier().predict(X[0]),
        errors.ShapeError,
        "The input of the model has shape (4,); expected (None, 4). This is one row without the batch axis: "
        "use x[None].",
    ),
    "image": (
        lambda: classifier().predict(np.ones((5, 2, 2))),
        errors.ShapeError,
        "The input of the model has shape (5, 2, 2); expected (None, 4). Flatten the rows: x.reshape(len(x), "
        "-1), or start with a Flatten layer.",
    ),
    "nan": (
        lambda: classifier().fit(WITH_NAN, Y),
        errors.DataError,
        "x has 1 value that is NaN or infinite, in row 17, column 2. Training on it would spoil every weight:"
        " fill it or leave that row out.",
    ),
    "y nan": (
        lambda: regressor().fit(X, np.full(20, np.inf)),
        errors.DataError,
        "y has 20 values that are NaN or infinite, the first in row 0. Training on them would spoil every "
        "weight: fill them or leave those rows out.",
    ),
    "labels": (
        lambda: classifier().fit(X, Y+1),
        errors.DataError,
        "y has labels from 1 to 3; the network has 3 outputs, for labels from 0 to 2. Labels that start at 1 "
        "need 1 taken off: give y - 1.",
    ),
    "labels neg": (
        lambda: classifier().fit(X, Y-1),
        errors.DataError,
        "y has labels from -1 to 1; the network has 3 outputs, for labels from 0 to 2. Number them from 0: "
        "names, y = numpy.unique(y, return_inverse=True).",
    ),
    "labels float": (
        lambda: classifier().fit(X, Y+0.5),
        errors.DataError,
        "y needs integer labels from 0 to 2; found 0.5 in row 0. For measured targets use a loss such as "
        "mean_squared_error, for a probability of each class categorical_crossentropy.",
    ),
    "onehot": (
        lambda: classifier().fit(X, np.eye(3)[Y]),
        errors.ShapeError,
        "SparseCategoricalCrossentropy: an output of shape (None, 3) needs a target of shape (None,); got "
        "(20, 3). For one-hot targets use CategoricalCrossentropy, or turn them into labels: "
        "y.argmax(axis=-1).",
    ),
    "empty": (
        lambda: classifier().fit(X[:0], Y[:0]),
        errors.DataError,
        "x has no rows; its shape is (0, 4).",
    ),
    "length": (
        lambda: classifier().fit(X, Y[:10]),
        errors.DataError,
        "All arrays need the same number of rows: x has 20, y has 10.",
    ),
    "weight length": (
        lambda: classifier().fit(X, Y, sample_weight=np.ones(3)),
        errors.DataError,
        "sample_weight has 3 rows and x has 20: give one weight a row.",
    ),
    "loss name": (
        lambda: regressor().compile("adam", "msee"),
        errors.UnknownNameError,
        "There is no loss 'msee'. Did you mean 'mse'?",
    ),
    "opt name": (
        lambda: regressor().compile("adamm", "mse"),
        errors.UnknownNameError,
        "There is no optimizer 'adamm'. Did you mean 'adam'?",
    ),
    "metric": (
        lambda: regressor().compile("adam", "mse", metrics=["acuracy"]),
        errors.UnknownNameError,
        "There is no metric 'acuracy'. Did you mean 'accuracy'?",
    ),
    "act": (
        lambda: Dense(3, activation="rellu"),
        errors.UnknownNameError,
        "There is no activation 'rellu'. Did you mean 'relu'?",
    ),
    "units": (
        lambda: Dense(0),
        errors.SettingError,
        "Dense: `units` must be a positive integer; got 0.",
    ),
    "units s": (
        lambda: Dense("3"),
        errors.SettingError,
        "Dense: `units` must be a positive integer; got '3'.",
    ),
    "rate": (
        lambda: Dropout(1.5),
        errors.SettingError,
        "Dropout: `rate` is the share of inputs to drop, at least 0 and below 1; got 1.5.",
    ),
    "y none": (
        lambda: classifier().fit(X),
        errors.DataError,
        "y is missing: the model was compiled with a loss, which compares its output with targets.",
    ),
    "y rank": (
        lambda: regressor().fit(X, np.ones((20, 3))),
        errors.ShapeError,
        "MeanSquaredError: an output of shape (None, 1) needs a target of shape (None, 1); got (20, 3). Let "
        "the last layer have 3 units instead of 1.",
    ),
    "y rank2": (
        lambda: regressor(3).fit(X, np.ones(20)),
        errors.ShapeError,
        "MeanSquaredError: an output of shape (None, 3) needs a target of shape (None, 3); got (20,). Let the"
        " last layer have 1 unit instead of 3.",
    ),
    "string x": (
        lambda: classifier().fit(np.array([["a"]*4]*20), Y),
        errors.DataError,
        "x holds text: 'a' in row 0, column 0. For categories: names, x = numpy.unique(x, "
        "return_inverse=True).",
    ),
    "obj": (
        lambda: classifier().fit([[1, 2], [3]], Y),
        errors.DataError,
        "x is a list whose rows have different lengths. Make them equally long first, for instance by "
        "padding.",
    ),
    "epochs": (
        lambda: classifier().fit(X, Y, epochs=-1),
        errors.SettingError,
        "epochs must be an integer of at least 0; got -1.",
    ),
    "batch": (
        lambda: classifier().fit(X, Y, batch_size=0),
        errors.SettingError,
        "batch_size must be an integer of at least 1; got 0.",
    ),
    "split": (
        lambda: classifier().fit(X, Y, validation_split=1.5),
        errors.SettingError,
        "validation_split is the share of rows to hold out, between 0 and 1; got 1.5.",
    ),
    "valdata": (
        lambda: classifier().fit(X, Y, validation_data=X),
        errors.SettingError,
        "validation_data is (x, y), (x, y, sample_weight) or a source; got ndarray.",
    ),
    "not compiled": (
        lambda: cr.Sequential([cr.Input((4, )), Dense(1)]).fit(X, Y),
        errors.NotReadyError,
        "fit needs a loss and an optimiser: call model.compile(optimizer='adam', loss=...) first.",
    ),
    "not built": (
        lambda: cr.Sequential([Dense(1)]).get_weights(),
        errors.NotReadyError,
        "get_weights needs the model's weights, and their shapes are not known yet. Give the first layer an "
        "input shape (Input(...) or input_shape=...), or fit or call the model on data first.",
    ),
    "set_w": (
        lambda: classifier().set_weights([1]),
        errors.ShapeError,
        "The model has 4 weights (dense/kernel (4, 8), dense/bias (8,), dense_1/kernel (8, 3), dense_1/bias "
        "(3,)); set_weights got 1 arrays.",
    ),
    "set_w2": (
        lambda: classifier().set_weights([np.ones((3, 3))]*4),
        errors.ShapeError,
        "The model: the weight dense/kernel has shape (4, 8); set_weights got an array of shape (3, 3).",
    ),
    "get_layer": (
        lambda: classifier().get_layer("dens"),
        errors.UnknownNameError,
        "The model has no layer 'dens'. Did you mean 'dense'?",
    ),
    "dup": (
        lambda: cr.Sequential([cr.Input((4, )), Dense(1, name="a"), Dense(2, name="a")]),
        errors.SettingError,
        "Two layers are called 'a': names in a network must differ. Rename one, or use the same layer object "
        "twice to share its weights.",
    ),
    "monitor": (
        lambda: classifier().fit(X, Y, verbose=0, callbacks=[cr.callbacks.EarlyStopping()]),
        errors.SettingError,
        "EarlyStopping watches 'val_loss', which this fit does not report. Validation figures need "
        "validation_split or validation_data in fit. Did you mean 'loss'?",
    ),
    "binary": (
        lambda: signs_for_a_sigmoid(),
        errors.DataError,
        "y has values from -1 to 1; binary cross-entropy needs targets from 0 to 1. Targets -1 and 1 become 0"
        " and 1 by (y + 1) / 2.",
    ),
    "dense rank": (
        lambda: Dense(3)(cr.Input(())),
        errors.ShapeError,
        "Dense takes rows with at least one feature axis, (batch, ..., features); got (None,). Use x[:, None]"
        " to make single numbers into rows of one feature.",
    ),
    "input int": (
        lambda: cr.Input(4),
        errors.SettingError,
        "Input takes the shape of one row as a tuple; got 4. Write Input((4,)).",
    ),
    "multiin": (
        lambda: classifier().fit({"foo":X}, Y),
        errors.UnknownNameError,
        "x names the input 'foo', which the model does not have. Known names: 'input_layer'.",
    ),
    "class weight": (
        lambda: classifier().fit(X, Y, class_weight={5:1.}),
        errors.SettingError,
        "class_weight names the class 5, which is none of the labels 0, 1, 2.",
    ),
    "dtype": (
        lambda: cr.Sequential([Dense(1)], dtype="float16"),
        errors.SettingError,
        "The precision of a network is 'float32', 'float64' or 'mixed_bfloat16'; got 'float16'.",
    ),
    "verbose": (
        lambda: classifier().fit(X, Y, verbose=7),
        errors.SettingError,
        "verbose is 0 (silent), 1 (live), 2 (one line an epoch) or 'auto'; got 7.",
    ),
    "reshape": (
        lambda: cr.Sequential([cr.Input((4, )), Reshape((3, ))]),
        errors.ShapeError,
        "Reshape cannot make rows of shape (3,) of rows of shape (4,): 4 entries do not fit. The number of "
        "entries must stay the same.",
    ),
    "apply key": (
        lambda: dropout_without_a_key(),
        errors.NotReadyError,
        "Dropout draws random numbers in training and needs a key: model.apply(weights, state, x, "
        "training=True, key=jax.random.key(0)).",
    ),
    "predict none": (
        lambda: classifier().predict(None),
        errors.DataError,
        "x has nothing for the input 'input_layer'.",
    ),
    "nested list": (
        lambda: classifier().fit([X, X], Y),
        errors.ShapeError,
        "The input of the model has shape (2, 20, 4); expected (None, 4). Flatten the rows: x.reshape(len(x),"
        " -1), or start with a Flatten layer.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name):
    act, kind, message = CASES[name]
    with pytest.raises(kind) as error:
        act()
    assert str(error.value) == message
    assert type(error.value) is kind
