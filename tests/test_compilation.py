"""The cache of compiled programs: found again, bounded, and never in the way."""
import os

import jax
import numpy as np
import pytest

import chainrule
from chainrule import compilation
from chainrule.errors import FileAccessError, SettingError
from chainrule.layers import Dense
from chainrule.models import Input, Sequential

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")


@pytest.fixture(autouse=True)
def stop():
    """Begin without a cache, and leave none behind."""
    compilation.stop_caching()
    yield
    compilation.stop_caching()


@pytest.fixture
def hits():
    """The programs that were read instead of compiled, one entry each."""
    found = []

    def listen(event, **_):
        if event == "/jax/compilation_cache/cache_hits":
            found.append(event)

    jax.monitoring.register_event_listener(listen)
    yield found
    jax.monitoring.unregister_event_listener(listen)


def trained() -> bytes:
    """The weights after a fit whose programs are compiled, or read, anew."""
    jax.clear_caches()
    model = Sequential([Input((3,)), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, 0], epochs=2, verbose=0, seed=0)
    return model.get_weights()[0].tobytes()


def files(folder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_programs_are_found_again(tmp_path, hits):
    plain = trained()
    folder = chainrule.cache_compilations(tmp_path)
    assert trained() == plain and not hits
    kept = files(folder)
    assert compilation.describe_cache(folder) == (len(kept), sum(path.stat().st_size for path in folder.iterdir()))
    assert len(kept) >= 2
    assert trained() == plain and files(folder) == kept and len(hits) == len(kept)
    compilation.stop_caching()
    assert trained() == plain and len(hits) == len(kept)


def test_the_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    folder = compilation.cache_compilations()
    assert folder.is_dir() and folder.parent == tmp_path / "programs" and folder == compilation.programs_folder()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_processors_have_folders_of_their_own(tmp_path, monkeypatch):
    here = compilation.programs_folder(tmp_path)
    monkeypatch.setattr(compilation, "_processor", lambda: "x86_64 another")
    assert compilation.programs_folder(tmp_path) != here


def test_what_was_used_longest_ago_is_removed(tmp_path):
    folder = compilation.programs_folder(tmp_path)
    folder.mkdir()
    for age, name in enumerate(["new", "old", "older", "oldest"]):
        path = folder / f"jit_{name}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    (folder / "notes.txt").write_bytes(bytes(1000))
    compilation.cache_compilations(tmp_path, max_bytes=200)
    assert sorted(files(folder)) == ["jit_new-cache", "jit_old-cache", "notes.txt"]
    assert compilation.describe_cache(folder) == (2, 200)


def test_damaged_programs_are_compiled_again(tmp_path):
    plain = trained()
    folder = chainrule.cache_compilations(tmp_path)
    trained()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    with pytest.warns(UserWarning, match="Error reading persistent compilation cache entry"):
        assert trained() == plain


def test_a_folder_that_goes_away_ends_no_run(tmp_path):
    plain = trained()
    folder = chainrule.cache_compilations(tmp_path)
    folder.rmdir()
    folder.write_text("a file where the folder was")
    with pytest.warns(UserWarning, match="persistent compilation cache"):
        assert trained() == plain


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    folder = compilation.programs_folder(tmp_path / "file")
    with pytest.raises(FileAccessError) as error:
        compilation.cache_compilations(tmp_path / "file")
    assert str(error.value) == (
        f"Compiled programs cannot be kept in {folder}: Not a directory. Name a folder that can be written to: "
        f"cache_compilations('folder').")
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "big"])
def test_limits_that_are_none(size, tmp_path):
    with pytest.raises(SettingError) as error:
        compilation.cache_compilations(tmp_path, max_bytes=size)
    assert str(error.value) == f"max_bytes must be a positive integer; got {size!r}."
