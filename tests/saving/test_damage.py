"""Damaged files, and those that attack their reader: each is refused, with its reason, and before it costs anything."""
import os

import numpy as np
import pytest

from chainrule import Run
from chainrule.callbacks import Callback
from chainrule.errors import FileFormatError, SettingError, UnknownLayerError
from chainrule.saving import archive
from chainrule.saving.checkpoint import Checkpoint, read_checkpoint
from tests.saving import damage


@pytest.mark.parametrize("kind", [*damage.ARCHIVES, damage.WEIGHTS], ids=lambda kind: kind.name)
def test_every_file_of_the_corpus_is_refused(kind, tmp_path):
    """Its reason as whole text; memory within twice the file, and a little for any file; nothing read twice."""
    path, wrong = tmp_path / "damaged", []
    kind.make(path)
    kind.read(path)  # what is imported or compiled at the first reading is not counted
    count = 0
    for name, data, reason in damage.corpus(kind, tmp_path):
        path.write_bytes(data)
        found = damage.cost(kind, path)
        if found.reason != reason:
            wrong.append(f"{name}: {found.reason}\n    instead of {reason}")
        if found.memory > 2 * len(data) + (1 << 17) or found.read > len(data) + (1 << 12):
            wrong.append(f"{name}: {found} for {len(data):,} bytes")
        count += 1
    assert wrong == [] and count > 20


def test_no_file_names_code_that_is_run(tmp_path):
    """Not by module and class, by a function's name, by bytes of code, nor by a switch that allows it."""
    path, wrong = tmp_path / "attack.chain", []
    for name, data, kind, message in damage.code(tmp_path):
        path.write_bytes(data)
        with pytest.raises((FileFormatError, UnknownLayerError)) as error:
            damage.MODEL.read(path)
        if (type(error.value), str(error.value)) != (kind, message.replace("{path}", str(path))):
            wrong.append(f"{name}: {error.value!r}")
    assert wrong == []


@pytest.mark.parametrize("kind", damage.ARCHIVES, ids=lambda kind: kind.name)
def test_a_bit_turned_over_is_noticed(kind, tmp_path):
    """Or it is one of the archive's own fields that nobody reads, such as the time of a member."""
    good, path = tmp_path / "good", tmp_path / "damaged"
    kind.make(good)
    members, refused, names = kind.take_apart(good), 0, 0
    for name, data in damage.flip(good.read_bytes()):
        path.write_bytes(data)
        try:
            kind.read(path)
        except FileFormatError as error:
            assert str(error).startswith(f"{path} cannot be read as {kind.what}: ")
            refused += 1
        else:
            assert kind.take_apart(path) == members, name
            names += 1
    assert refused > 8 * names


@pytest.mark.parametrize("kind", damage.ARCHIVES, ids=lambda kind: kind.name)
def test_a_checkpoint_is_not_a_model(kind, tmp_path):
    path = tmp_path / "file"
    kind.make(path)
    other = next(each for each in damage.ARCHIVES if each is not kind)
    found = damage.cost(other, path)
    assert found.reason == f"it has an unexpected member {kind.text!r}"


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = tmp_path / "file.checkpoint"
    damage.CHECKPOINT.make(path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(archive, "open", refuse, raising=False)
    with pytest.raises(PermissionError):
        read_checkpoint(path)


# What cannot be read back is not written.

def checkpoint_of(memory) -> Checkpoint:
    numbers = {name: np.int32(0) for name in ("epoch", "step")}
    return Checkpoint(run=numbers, facts={}, hyperparameters={}, callbacks=[("Own", memory)],
                      history={"epoch": [], "history": {}, "last": {}})


def deep(levels):
    return [] if levels == 0 else [deep(levels - 1)]


@pytest.mark.parametrize(("memory", "message"), [
    ({"text": "\ud800"}, "The run cannot be kept in a checkpoint: what its callbacks remember holds text that is not "
                         "valid Unicode."),
    ({"deep": deep(120)}, "The run cannot be kept in a checkpoint: what its callbacks remember nests more than 100 "
                          "levels."),
    ({"empty": [[] for _ in range(60_000)]}, "The run cannot be kept in a checkpoint: what its callbacks remember has "
                                             "more than 40,032 lists and objects in 240,391 bytes."),
    ({"arrays": [np.zeros(1) for _ in range(10_001)]}, "A file holds at most 10,000 arrays; these are 10,001."),
])
def test_memories_that_could_not_be_read_back(tmp_path, memory, message):
    with pytest.raises(SettingError) as error:
        checkpoint_of(memory).freeze().write(tmp_path)
    assert str(error.value) == message and not list(tmp_path.iterdir())


@pytest.mark.parametrize("memory", [
    {"zeros": [0] * 3_000_000},  # packs so well that a packed member would be taken for a bomb
    {"losses": [np.float32(number) for number in range(20_000)]},  # more numbers of NumPy than a file has arrays
    {"pairs": [(number, number / 3) for number in range(60_000)]},
], ids=["zeros", "losses", "pairs"])
def test_long_memories_come_back(tmp_path, memory):
    path = checkpoint_of(memory).freeze().write(tmp_path)
    found = read_checkpoint(path)
    assert found.callbacks == [("Own", memory)]


# In the folder of a run.

class Remembers(Callback):
    def __init__(self, what):
        self.what, self.seen = what, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(epoch)


def fit(folder, resume=False, what="", epochs=3):
    model = damage.small_model()
    x = np.zeros((8, 3), "float32")
    return model, model.fit(x, x[:, :2], epochs=epochs, verbose=0, seed=1, resume=resume, callbacks=[Remembers(what)],
                            run=Run(folder, checkpoint_seconds=0))


def test_the_newest_checkpoint_is_damaged(tmp_path):
    """It is named, kept under another name, and passed over; the bytes at the end are the same."""
    alone, _ = fit(tmp_path / "alone")
    fit(tmp_path / "damaged")
    checkpoints = [path for _, path in Run(tmp_path / "damaged").checkpoints]
    newest = checkpoints[0]
    half = newest.read_bytes()[: newest.stat().st_size // 2]
    newest.write_bytes(half)
    (newest.with_name(newest.name + ".damaged")).write_bytes(b"an earlier one")
    with pytest.warns(UserWarning) as warned:
        model, history = fit(tmp_path / "damaged", resume=True)
    assert [str(warning.message) for warning in warned] == [
        f"{newest} cannot be read as a checkpoint: it is not a zip archive, or a damaged one (File is not a zip file). "
        f"It is kept as {newest.name}.damaged-2, and an older one is looked for."]
    assert (newest.with_name(newest.name + ".damaged-2")).read_bytes() == half
    assert str(checkpoints[1]).endswith(f"epoch-{history.resumed_from.epoch:06d}-step-"
                                        f"{history.resumed_from.step:08d}.checkpoint")
    assert all((one == two).all() for one, two in zip(model.get_weights(), alone.get_weights(), strict=True))


def test_all_checkpoints_are_damaged(tmp_path):
    alone, _ = fit(tmp_path / "alone")
    fit(tmp_path / "damaged")
    paths = [path for _, path in Run(tmp_path / "damaged").checkpoints]
    for path in paths:
        path.write_bytes(b"")
    with pytest.warns(UserWarning) as warned:
        model, history = fit(tmp_path / "damaged", resume=True)
    assert len(warned) == len(paths) and history.resumed_from is None
    assert sorted(path.name + ".damaged" for path in paths) == sorted(
        name for name in os.listdir(paths[0].parent) if name.endswith(".damaged"))
    assert all((one == two).all() for one, two in zip(model.get_weights(), alone.get_weights(), strict=True))


def rewritten(path, change):
    """A checkpoint with its JSON changed, under a digest that is right."""
    kind = damage.CHECKPOINT
    members = kind.take_apart(path)
    members[kind.text] = change(members[kind.text])
    path.write_bytes(kind.put_together(members))


@pytest.mark.parametrize(("change", "reason"), [
    (lambda text: text.replace(b'"gamma"', b'"delta"'),
     "its arrays are not those of this network and its optimiser"),
    (lambda text: text.replace(b'"hyperparameters": {"dict": {', b'"hyperparameters": {"dict": {"__class__": 1, '),
     "its hyperparameters are not those of this optimiser"),
    (lambda text: text.replace(b'{"tuple": ["Rem', b'{"tuple": ["Other", {"dict": {}}]}, {"tuple": ["Rem'),
     "its callbacks are not those of this fit"),
])
def test_a_checkpoint_that_was_tampered_with(tmp_path, change, reason):
    fit(tmp_path)
    newest = Run(tmp_path).checkpoints[0][1]
    rewritten(newest, change)
    with pytest.raises(FileFormatError) as error:
        fit(tmp_path, resume=True)
    assert str(error.value) == f"{newest} cannot be read as a checkpoint of this run: {reason}."
