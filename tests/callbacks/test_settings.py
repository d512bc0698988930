"""Settings that a callback cannot have are refused where they are written, and figures that a fit does not report."""
import pytest

from chainrule.callbacks import (
    CSVLogger,
    EarlyStopping,
    ExponentialMovingAverage,
    JSONLinesLogger,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    StochasticWeightAveraging,
    TensorBoard,
    Timer,
)
from chainrule.errors import FileAccessError, SettingError


@pytest.mark.parametrize(("make", "message"), [
    (lambda: EarlyStopping(patience=-1), "EarlyStopping: patience must be an integer of at least 0; got -1."),
    (lambda: EarlyStopping(start_from_epoch=1.5),
     "EarlyStopping: start_from_epoch must be an integer of at least 0; got 1.5."),
    (lambda: EarlyStopping(min_delta="a"), "EarlyStopping: `min_delta` must be a number; got 'a' (str)."),
    (lambda: EarlyStopping(baseline="a"), "EarlyStopping: `baseline` must be a number; got 'a' (str)."),
    (lambda: EarlyStopping(mode="up"), "mode must be 'auto', 'min' or 'max'; got 'up'."),
    (lambda: ReduceLROnPlateau(factor=1.0),
     "ReduceLROnPlateau: `factor` must be a number above 0 and below 1; got 1.0."),
    (lambda: ReduceLROnPlateau(patience=True),
     "ReduceLROnPlateau: patience must be an integer of at least 0; got True."),
    (lambda: ReduceLROnPlateau(cooldown=-1), "ReduceLROnPlateau: cooldown must be an integer of at least 0; got -1."),
    (lambda: ReduceLROnPlateau(min_delta=-1), "ReduceLROnPlateau: `min_delta` must be a number of at least 0; got -1."),
    (lambda: ReduceLROnPlateau(min_lr=None),
     "ReduceLROnPlateau: `min_lr` must be a number of at least 0; got None (NoneType)."),
    (lambda: ModelCheckpoint(None), "ModelCheckpoint: filepath must be the path of a file; got None."),
    (lambda: ModelCheckpoint("a", save_freq="batch"),
     "ModelCheckpoint: save_freq is 'epoch' or a number of steps; got 'batch'."),
    (lambda: ModelCheckpoint("a", save_freq=0), "ModelCheckpoint: save_freq is 'epoch' or a number of steps; got 0."),
    (lambda: ModelCheckpoint("a", every_epochs=0),
     "ModelCheckpoint: every_epochs must be an integer of at least 1; got 0."),
    (lambda: ModelCheckpoint("a", every_minutes=0),
     "ModelCheckpoint: `every_minutes` must be a number above 0; got 0."),
    (lambda: ModelCheckpoint("a", keep_last=0), "ModelCheckpoint: keep_last must be an integer of at least 1; got 0."),
    (lambda: ModelCheckpoint("a", initial_value_threshold="x"),
     "ModelCheckpoint: `initial_value_threshold` must be a number; got 'x' (str)."),
    (lambda: ModelCheckpoint("a", save_freq=5, every_minutes=2),
     "ModelCheckpoint: save_freq=5 and every_minutes=2 exclude each other. Give one of them, or two callbacks."),
    (lambda: ModelCheckpoint("a", save_freq=5, save_best_only=True),
     "ModelCheckpoint: 'val_loss' is known at the end of an epoch, and save_freq=5 writes within one. Leave it out, or "
     "leave save_best_only out."),
    (lambda: ModelCheckpoint("a-{epoch"),
     "ModelCheckpoint: filepath='a-{epoch' cannot be read: expected '}' before end of string. Write a brace of "
     "the name itself twice."),
    (lambda: ModelCheckpoint("a-{epoch.real}"),
     "ModelCheckpoint: filepath='a-{epoch.real}' has the place {epoch.real}, which is no name of a figure. Write "
     "{epoch}, {batch} or {val_loss:.3f}."),
    (lambda: CSVLogger(""), "CSVLogger: filename must be the path of a file; got ''."),
    (lambda: CSVLogger("a", separator=", "),
     "CSVLogger: separator must be one character, such as ',', ';' or a tab; got ', '."),
    (lambda: CSVLogger("a", append=1), "CSVLogger: append must be True or False; got 1."),
    (lambda: JSONLinesLogger("a", every_steps=0),
     "JSONLinesLogger: every_steps must be an integer of at least 1; got 0."),
    (lambda: TensorBoard(5), "TensorBoard: log_dir must be the path of a file; got 5."),
    (lambda: TensorBoard("a", histogram_freq=-1),
     "TensorBoard: histogram_freq must be an integer of at least 0; got -1."),
    (lambda: TensorBoard("a", update_freq="step"),
     "TensorBoard: update_freq is 'epoch', 'batch' or a number of steps; got 'step'."),
    (lambda: StochasticWeightAveraging(-1),
     "StochasticWeightAveraging: start_epoch must be an integer of at least 0; got -1."),
    (lambda: StochasticWeightAveraging(1, every_epochs=0),
     "StochasticWeightAveraging: every_epochs must be an integer of at least 1; got 0."),
    (lambda: ExponentialMovingAverage(momentum=1.5),
     "ExponentialMovingAverage: `momentum` must be a number of at least 0 and of at most 1; got 1.5."),
    (lambda: ExponentialMovingAverage(every_steps=0),
     "ExponentialMovingAverage: every_steps must be an integer of at least 1; got 0."),
    (lambda: ExponentialMovingAverage(swap_on_epoch=1),
     "ExponentialMovingAverage: swap_on_epoch must be True or False; got 1."),
    (lambda: Timer(), "Timer takes one of seconds=..., minutes=... and a datetime.timedelta; got nothing."),
    (lambda: Timer(seconds=1, minutes=1),
     "Timer takes one of seconds=..., minutes=... and a datetime.timedelta; got seconds and minutes."),
    (lambda: Timer(60), "Timer: duration must be a datetime.timedelta; got 60. A number has a unit: Timer(seconds=...) "
                        "or Timer(minutes=...)."),
    (lambda: Timer(minutes=-1), "Timer: `minutes` must be a number above 0; got -1."),
    (lambda: LearningRateScheduler(0.1), "LearningRateScheduler takes a function of the epoch; got 0.1."),
    (lambda: LambdaCallback(on_epoch_stop=print),
     "There is no event 'on_epoch_stop'. Did you mean 'on_epoch_end'?"),
])
def test_settings(make, message):
    with pytest.raises(SettingError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(("callback", "settings", "message"), [
    (EarlyStopping(), {"validation_data": None},
     "EarlyStopping watches 'val_loss', which this fit does not report. Validation figures need validation_split or "
     "validation_data in fit. Did you mean 'loss'?"),
    (ReduceLROnPlateau(monitor="val_acuracy"), {"validation_data": None},
     "ReduceLROnPlateau watches 'val_acuracy', which this fit does not report. Did you mean 'accuracy'?"),
    (ModelCheckpoint("a-{f1:.2f}"), {},
     "ModelCheckpoint: filepath='a-{f1:.2f}' needs 'f1', which this fit does not report here. Known names: "
     "'accuracy', 'batch', 'epoch', 'loss', 'val_accuracy', 'val_loss'."),
    (ModelCheckpoint("a-{loss:d}"), {},
     "ModelCheckpoint: filepath='a-{loss:d}' cannot be filled in: Unknown format code 'd' for object of type 'float'."),
    (StochasticWeightAveraging(start_epoch=6), {},
     "StochasticWeightAveraging: start_epoch=6 is never reached by a fit of epochs=6; epochs count from 0."),
], ids=["early stopping", "plateau", "name", "format", "average"])
def test_what_a_fit_does_not_have(callback, settings, message, trainer):
    with pytest.raises(SettingError) as error:
        trainer.fit(callback, **settings)
    assert str(error.value) == message


def test_files_that_cannot_be_written(trainer, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileAccessError) as error:
        trainer.fit(CSVLogger(tmp_path / "folder"))
    assert str(error.value) == f"CSVLogger cannot write to {str(tmp_path / 'folder')!r}: Is a directory."
    log = JSONLinesLogger(tmp_path / "log.jsonl")
    log.on_epoch_end(0, {"loss": 0.5})
    (tmp_path / "log.jsonl").write_bytes(b"short")
    with pytest.raises(FileAccessError) as error:
        log.on_epoch_end(1, {"loss": 0.5})
    assert str(error.value) == (
        f"JSONLinesLogger had written {log.position} bytes to {str(tmp_path / 'log.jsonl')!r}, which now has 5: the "
        f"file was changed by somebody else. Put it back, or give another name.")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SettingError) as error:
        CSVLogger(tmp_path / "other.csv", append=True).on_epoch_end(0, {"loss": 0.5})
    assert str(error.value) == (
        f"CSVLogger: {str(tmp_path / 'other.csv')!r} does not begin with a heading that has a column 'epoch', but with "
        f"['a', 'b']. Leave append out to replace the file, or give another name.")
