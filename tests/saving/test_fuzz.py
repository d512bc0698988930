"""A small part of what `python -m tests.saving.fuzz` does, and that it notices what it should."""
from pathlib import Path

from tests.saving import fuzz


def test_readers_take_or_refuse_whatever_they_are_given(tmp_path):
    found = fuzz.fuzz(2000, 0, tmp_path / "kept")
    assert found.failures == []
    names = {name for name, _ in found.counts}
    assert len(names) == 4 and all(found.counts[name, "refused"] > 100 for name in names)
    assert sum(found.counts.values()) == 2000


def test_an_error_of_another_kind_is_a_failure_and_its_input_is_kept(tmp_path, monkeypatch):
    def read(data):
        return data[9999]

    monkeypatch.setattr(fuzz, "targets", lambda folder: {"broken": fuzz.Target(lambda generator: b"input", read)})
    found = fuzz.fuzz(1, 5, tmp_path)
    line = read.__code__.co_firstlineno + 1
    assert found.failures == [
        f"{tmp_path / 'broken-5-0'}: IndexError: index out of range (test_fuzz.py, line {line})"]
    assert Path(tmp_path / "broken-5-0").read_bytes() == b"input" and found.counts["broken", "failed"] == 1
