"""Where data come from: the order of folders, and downloads that fail in every way, from a server on this machine."""
import errno
import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chainrule.datasets.sources import RemoteFile, Source, cache_folder, locate
from chainrule.errors import ChainruleError, MissingDataError

CONTENT = b"0123456789" * 50_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server():
    """A server that answers with the body put under a path, or as the function put there does. Counts the requests."""
    answers, requests = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            answer = answers.get(self.path)
            if callable(answer):
                answer(self)
            elif answer is None:
                self.send_error(404)
            else:
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.answers, running.requests = answers, requests
        running.address = f"http://127.0.0.1:{running.server_port}/"
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def toy(*mirrors, names=("toy.gz",)):
    return Source("Toy", "toy", tuple(RemoteFile(name, len(CONTENT), DIGEST) for name in names), mirrors)


def kept(tmp_path):
    """Every file in the cache, hidden ones too."""
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def message(source, path=None):
    with pytest.raises(MissingDataError) as error:
        locate(source, path)
    assert isinstance(error.value, FileNotFoundError) and isinstance(error.value, ChainruleError)
    return str(error.value)


def failed_download(tmp_path, *attempts):
    cache = tmp_path / "cache/datasets/toy"
    return "\n".join(["Toy is not on this machine and could not be downloaded.",
                      "Files wanted: toy.gz.",
                      f"Folders looked into: {cache}.",
                      "What was tried:",
                      *(f"  {attempt}" for attempt in attempts),
                      f"Put the files into {cache}, or set CHAINRULE_DATA to a folder whose subfolder toy holds them."])


def test_downloads_once(server, tmp_path):
    server.answers["/toy.gz"] = CONTENT
    for _ in range(2):
        assert locate(toy(server.address)) == [tmp_path / "cache/datasets/toy/toy.gz"]
    assert server.requests == ["/toy.gz"]
    assert (tmp_path / "cache/datasets/toy/toy.gz").read_bytes() == CONTENT
    assert kept(tmp_path) == ["toy.gz"]


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, tmp_path):
    server.answers["/toy.gz"] = CONTENT
    target = tmp_path / "cache/datasets/toy/toy.gz"
    target.parent.mkdir(parents=True)
    for damaged in (CONTENT[:100], b"x" + CONTENT[1:]):
        target.write_bytes(damaged)
        locate(toy(server.address))
        assert target.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_damaged_file_in_the_cache_stays_if_nothing_better_comes(server, tmp_path):
    target = tmp_path / "cache/datasets/toy/toy.gz"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"damaged")
    assert message(toy(server.address)) == failed_download(
        tmp_path, f"{target}: its sha256 digest is not that of the published file",
        f"{server.address}toy.gz: HTTP Error 404: Not Found")


def test_the_second_mirror_helps_the_first(server, tmp_path):
    server.answers["/good/toy.gz"] = CONTENT
    locate(toy(server.address + "bad/", server.address + "good/"))
    assert server.requests == ["/bad/toy.gz", "/good/toy.gz"]
    assert kept(tmp_path) == ["toy.gz"]


def test_wrong_digest(server, tmp_path):
    wrong = CONTENT[::-1]
    server.answers["/toy.gz"] = wrong
    assert message(toy(server.address)) == failed_download(
        tmp_path, f"{server.address}toy.gz: expected the sha256 digest {DIGEST}, "
                  f"found {hashlib.sha256(wrong).hexdigest()}; nothing was kept")
    assert kept(tmp_path) == []


def test_body_too_short(server, tmp_path):
    server.answers["/toy.gz"] = CONTENT[:-1]
    assert message(toy(server.address)) == failed_download(
        tmp_path, f"{server.address}toy.gz: expected 500000 bytes, 499999 came; nothing was kept")
    assert kept(tmp_path) == []


def test_body_too_long_is_not_read_to_its_end(server, tmp_path):
    written = []

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(4000):
                handler.wfile.write(CONTENT)
                written.append(len(CONTENT))
        except OSError:
            pass

    server.answers["/toy.gz"] = endless
    assert message(toy(server.address)) == failed_download(
        tmp_path, f"{server.address}toy.gz: expected 500000 bytes, more came; nothing was kept")
    assert kept(tmp_path) == []
    assert sum(written) < 2e8  # what fits into the buffers of the connection, not 2 GB


def test_connection_closed_in_the_middle(server, tmp_path):
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:1000])

    server.answers["/toy.gz"] = cut
    text = message(toy(server.address))
    assert text.startswith("Toy is not on this machine and could not be downloaded.\nFiles wanted: toy.gz.\n")
    assert kept(tmp_path) == []


def test_not_found(server, tmp_path):
    assert message(toy(server.address, server.address + "other/")) == failed_download(
        tmp_path, f"{server.address}toy.gz: HTTP Error 404: Not Found",
        f"{server.address}other/toy.gz: HTTP Error 404: Not Found")
    assert kept(tmp_path) == []


def test_server_gone(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    assert message(toy(address)) == failed_download(
        tmp_path, f"{address}toy.gz: <urlopen error [Errno {errno.ECONNREFUSED}] Connection refused>")
    assert kept(tmp_path) == []


def test_a_stop_in_the_middle_leaves_nothing_behind(server, tmp_path, monkeypatch):
    server.answers["/toy.gz"] = CONTENT

    def stop(descriptor):
        assert [name for name in kept(tmp_path) if name.endswith(".part")]
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        locate(toy(server.address))
    assert kept(tmp_path) == []


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    server.answers["/toy.gz"] = CONTENT
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    assert f"{server.address}toy.gz: [Errno {errno.ENOTDIR}] Not a directory" in message(toy(server.address))


def test_after_a_failure_the_other_files_are_only_looked_for(server, tmp_path):
    target = tmp_path / "cache/datasets/toy/c.gz"
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    text = message(toy(server.address, names=("a.gz", "b.gz", "c.gz")))
    assert "\nFiles wanted: a.gz, b.gz.\n" in text
    assert server.requests == ["/a.gz"]


def test_chainrule_data_comes_first_packed_or_not(server, tmp_path, monkeypatch):
    server.answers["/toy.gz"] = CONTENT
    locate(toy(server.address))
    own = tmp_path / "own/toy"
    own.mkdir(parents=True)
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "own"))
    assert locate(toy(server.address)) == [tmp_path / "cache/datasets/toy/toy.gz"]  # set, but without the file
    (own / "toy").write_bytes(b"mine, unpacked")
    assert locate(toy(server.address)) == [own / "toy"]
    (own / "toy.gz").write_bytes(b"mine, packed")
    assert locate(toy(server.address)) == [own / "toy.gz"]
    monkeypatch.setenv("CHAINRULE_DATA", "")
    assert locate(toy(server.address)) == [tmp_path / "cache/datasets/toy/toy.gz"]


def test_chainrule_data_without_the_file_goes_on_to_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "own"))
    server.answers["/toy.gz"] = CONTENT
    assert locate(toy(server.address)) == [tmp_path / "cache/datasets/toy/toy.gz"]
    assert not (tmp_path / "own").exists()


def test_message_with_chainrule_data(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "own"))
    assert message(toy(names=("a.gz", "b.gz"))) == (
        f"Toy is not on this machine.\n"
        f"Files wanted: a.gz, b.gz.\n"
        f"Folders looked into: {tmp_path}/own/toy, {tmp_path}/cache/datasets/toy.\n"
        f"Put the files into {tmp_path}/own/toy.")


def test_an_explicit_folder_is_the_only_one(server, tmp_path, monkeypatch):
    server.answers["/toy.gz"] = CONTENT
    locate(toy(server.address))
    folder = tmp_path / "mine"
    assert message(toy(server.address), folder) == (
        f"Toy is not on this machine.\n"
        f"Files wanted: toy.gz.\n"
        f"Folders looked into: {folder}.\n"
        f"Put the files into {folder}, or leave out path to have them looked for elsewhere and downloaded.")
    folder.mkdir()
    (folder / "toy").write_bytes(b"")
    assert locate(toy(server.address), str(folder)) == [folder / "toy"]
    assert len(server.requests) == 1


@pytest.mark.parametrize("platform, variables, expected", [
    ("linux", {}, "/home/ada/.cache/chainrule"),
    ("linux", {"XDG_CACHE_HOME": "/var/ada"}, "/var/ada/chainrule"),
    ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/chainrule"),
    ("linux", {"XDG_CACHE_HOME": "/var/ada", "CHAINRULE_CACHE": "/fast"}, "/fast"),
    ("linux", {"CHAINRULE_CACHE": "~/fast"}, "/home/ada/fast"),
    ("darwin", {"XDG_CACHE_HOME": "/var/ada"}, "/home/ada/Library/Caches/chainrule"),
    ("win32", {"LOCALAPPDATA": "/local"}, "/local/chainrule"),
    ("win32", {}, "/home/ada/AppData/Local/chainrule"),
])
def test_cache_folder(monkeypatch, platform, variables, expected):
    for name in ("CHAINRULE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ada", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert cache_folder() == Path(expected)
