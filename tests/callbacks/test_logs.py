"""What stands in the files of loggers."""
import csv
import json
import struct

import numpy as np
import pytest

from chainrule.callbacks import CSVLogger, JSONLinesLogger, LearningRateScheduler, TensorBoard
from chainrule.callbacks.log_file import write_at
from chainrule.callbacks.tensor_board import masked_checksum


def table(path, separator=","):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def test_csv_has_the_history_in_full_precision(trainer, tmp_path):
    history = trainer.fit(LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1)),
                          CSVLogger(tmp_path / "new" / "log.csv", separator=";")).history
    rows = table(tmp_path / "new" / "log.csv", ";")
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    for name, values in history.items():
        assert [float(row[name]) for row in rows] == values


def test_csv_leaves_cells_empty_where_validation_was_not_due(trainer, tmp_path):
    history = trainer.fit(CSVLogger(tmp_path / "log.csv"), validation_freq=2).history
    rows = table(tmp_path / "log.csv")
    assert [row["val_loss"] for row in rows][::2] == ["", "", ""]
    assert [float(row["val_loss"]) for row in rows[1::2]] == history["val_loss"]


def test_csv_is_replaced_or_appended_to(trainer, tmp_path):
    path = tmp_path / "log.csv"
    trainer.fit(CSVLogger(path), epochs=2)
    first = path.read_bytes()
    trainer.fit(CSVLogger(path), epochs=2)
    assert path.read_bytes() == first
    trainer.fit(CSVLogger(path, append=True), epochs=2)
    heading, *lines = first.decode().splitlines()
    assert path.read_text().splitlines() == [heading, *lines, *lines]


def test_json_lines(trainer, tmp_path):
    history = trainer.fit(JSONLinesLogger(tmp_path / "log.jsonl", every_steps=5)).history
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [line["val_loss"] for line in epochs] == history["val_loss"]
    assert [(line["epoch"], line["step"]) for line in lines if line["event"] == "step"] == [
        (0, 5), (1, 3), (2, 1), (2, 6), (3, 4), (4, 2), (4, 7), (5, 5)]
    last = next(line for line in lines if line["event"] == "step" and line["step"] == 7)
    assert last["loss"] == history["loss"][4]


def test_json_has_no_nan(tmp_path):
    JSONLinesLogger(tmp_path / "log.jsonl").on_epoch_end(0, {"loss": np.nan, "acc": np.float32(0.5)})
    found = json.loads((tmp_path / "log.jsonl").read_text())
    assert found["loss"] is None and found["acc"] == 0.5


def events(folder):
    """The events of a folder's one file: `(step, {tag: field of the value and its bytes})`, checksums held."""
    path, = folder.glob("events.out.tfevents.*")
    data, found = path.read_bytes(), []
    while data:
        length, = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12])[0] == masked_checksum(data[:8])
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked_checksum(body)
        found.append(dict(fields(body)))
        data = data[16 + length:]
    assert found[0][3] == b"brain.Event:2"
    return [(event.get(2, 0), [dict(fields(value)) for _, value in fields(event[5])]) for event in found[1:]]


def fields(data):
    """The fields of a message of Protocol Buffers."""
    place = 0

    def varint():
        nonlocal place
        number = shift = 0
        while True:
            byte, place = data[place], place + 1
            number, shift = number | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return number

    while place < len(data):
        tag = varint()
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            yield number, varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            part, place = data[place : place + size], place + size
            yield number, part if kind == 2 else struct.unpack({1: "<d", 5: "<f"}[kind], part)[0]


def test_event_files_have_the_history(trainer, tmp_path):
    history = trainer.fit(TensorBoard(tmp_path, update_freq=20)).history
    for folder, prefix in (("train", ""), ("validation", "val_")):
        for name in ("loss", "accuracy"):
            found = [(step, value[2]) for step, values in events(tmp_path / folder) for value in values
                     if value[1] == f"epoch_{name}".encode()]
            expected = [np.float32(value) for value in history[prefix + name]]
            assert found == list(enumerate(expected))
    steps = [step for step, values in events(tmp_path / "train") if values[0][1] == b"batch_loss"]
    assert steps == [19, 39]


def test_event_files_have_histograms(trainer, tmp_path):
    trainer.fit(TensorBoard(tmp_path, histogram_freq=3))
    found = [(step, {value[1].decode(): dict(fields(value[5])) for value in values})
             for step, values in events(tmp_path / "train") if 5 in values[0]]
    assert [step for step, _ in found] == [2, 5]
    kernel, histogram = np.asarray(trainer.model.get_weights()[0]), found[1][1]["dense/kernel"]
    assert [histogram[field] for field in (1, 2, 3)] == [kernel.min(), kernel.max(), kernel.size]
    assert [histogram[4], histogram[5]] == pytest.approx([kernel.sum(), np.square(kernel).sum()])
    limits, counts = (np.frombuffer(histogram[field]) for field in (6, 7))
    assert len(limits) == len(counts) and counts.sum() == kernel.size and (np.diff(limits) > 0).all()
    inside = (kernel > limits[4]) & (kernel <= limits[5])
    assert counts[5] == inside.sum()


@pytest.mark.peers
def test_tensorboard_reads_event_files(trainer, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = trainer.fit(TensorBoard(tmp_path, histogram_freq=3)).history
    reader = EventAccumulator(str(tmp_path / "train"))
    reader.Reload()
    assert [scalar.value for scalar in reader.Scalars("epoch_loss")] == [np.float32(x) for x in history["loss"]]
    kernel = trainer.model.get_weights()[0]
    histogram = reader.Histograms("dense/kernel")[-1]
    assert histogram.step == 5 and sum(histogram.histogram_value.bucket) == kernel.size


def test_writing_at_a_place_cuts_off_what_was_behind_it(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"first\nsecond\nhalf a th")
    assert write_at(str(path), 6, b"two\n", "A test") == 10 and path.read_bytes() == b"first\ntwo\n"
    assert write_at(str(path), 0, b"anew", "A test") == 4 and path.read_bytes() == b"anew"
