"""ModelCheckpoint: which files are there after a fit, and what is in them."""
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_same_bytes

from chainrule.callbacks import Callback, LambdaCallback, ModelCheckpoint
from chainrule.models import load_model


class Watch(Callback):
    """Keeps the weights after each epoch."""

    def __init__(self):
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())


def test_the_best_file_holds_the_best_epoch(trainer, tmp_path):
    watch, best = Watch(), ModelCheckpoint(tmp_path / "new" / "best.chain", save_best_only=True)
    losses = trainer.fit(watch, best).history["val_loss"]
    assert best.best == min(losses) and best.saved == [str(tmp_path / "new" / "best.chain")]
    assert_same_bytes(load_model(best.saved[0]).get_weights(), watch.weights[int(np.argmin(losses))])


def test_a_best_file_is_not_replaced_by_a_worse_one_when_a_fit_goes_on(trainer, tmp_path):
    values = [5, 1, 3, 2, 2, 2]
    judge = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=values[epoch]))
    best = ModelCheckpoint(tmp_path / "best.chain", save_best_only=True)
    trainer.fit(judge, best, epochs=2)
    written, state = (tmp_path / "best.chain").read_bytes(), best.get_state()
    again = ModelCheckpoint(tmp_path / "best.chain", save_best_only=True)
    restore = LambdaCallback(on_train_begin=lambda logs: again.set_state(state))
    trainer.fit(judge, again, restore, initial_epoch=2)
    assert again.best == 1 and (tmp_path / "best.chain").read_bytes() == written


def test_a_threshold_must_be_beaten(trainer, tmp_path):
    best = ModelCheckpoint(tmp_path / "best.chain", save_best_only=True, initial_value_threshold=1e-6)
    trainer.fit(best)
    assert best.best == 1e-6 and best.saved == [] and list(tmp_path.iterdir()) == []


def test_larger_is_better_for_an_accuracy(trainer, tmp_path):
    best = ModelCheckpoint(tmp_path / "{epoch}.chain", monitor="val_accuracy", save_best_only=True)
    found = trainer.fit(best).history["val_accuracy"]
    rises = [epoch for epoch, value in enumerate(found) if value > max(found[:epoch], default=-1)]
    assert best.saved == [str(tmp_path / f"{epoch + 1}.chain") for epoch in rises] and best.best == max(found)


def test_names_epochs_and_the_last_few(trainer, tmp_path):
    files = ModelCheckpoint(tmp_path / "{epoch:03d}-{val_loss:.3f}.chain", every_epochs=2, keep_last=2)
    losses = trainer.fit(files).history["val_loss"]
    names = [f"{epoch:03d}-{losses[epoch - 1]:.3f}.chain" for epoch in (4, 6)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert files.saved == [str(tmp_path / name) for name in names]


def test_files_by_steps_hold_the_weights_of_their_step(trainer, tmp_path):
    class Steps(Callback):
        weights = []

        def on_train_batch_end(self, batch, logs=None):
            self.weights.append(self.model.get_weights())

    steps = Steps()
    trainer.fit(steps, ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=10, save_weights_only=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{(step - 1) // 7 + 1}-{(step - 1) % 7 + 1}" for step in (10, 20, 30, 40))
    trainer.model.load_weights(tmp_path / "3-6")
    assert_same_bytes(trainer.model.get_weights(), steps.weights[19])


def test_files_by_time(trainer, tmp_path, monkeypatch):
    clock = iter(range(0, 1_000_000, 25))  # seconds
    monkeypatch.setattr("chainrule.callbacks.model_checkpoint.time", SimpleNamespace(monotonic=lambda: next(clock)))
    files = ModelCheckpoint(tmp_path / "{epoch}-{batch}.chain", every_minutes=1)
    trainer.fit(files)
    assert files.saved and all(name.endswith("-0.chain") for name in files.saved)  # this network ends whole epochs


def test_a_name_that_needs_validation_waits_for_it(trainer, tmp_path):
    trainer.fit(ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.1f}.chain"), validation_freq=3)
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["3", "6"]


def test_what_it_says(trainer, tmp_path, capsys):
    losses = trainer.fit(ModelCheckpoint(tmp_path / "a", save_best_only=True, verbose=1), epochs=1).history["val_loss"]
    assert capsys.readouterr().out == f"Epoch 1: val_loss improved to {losses[0]:.5g}, written to {tmp_path / 'a'}.\n"


@pytest.mark.parametrize("weights_only", [False, True])
def test_a_failing_write_leaves_the_old_file(trainer, tmp_path, weights_only, monkeypatch):
    path = tmp_path / "best"
    trainer.fit(ModelCheckpoint(path, save_weights_only=weights_only), epochs=1)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space left"):
        trainer.fit(ModelCheckpoint(path, save_weights_only=weights_only), epochs=1)
    assert path.read_bytes() == before and [found.name for found in tmp_path.iterdir()] == ["best"]
