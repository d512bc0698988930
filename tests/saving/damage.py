"""Files as they should be, of every kind that chainrule reads, and every way in which they are damaged or attacked.

    python -m tests.saving.damage

prints what it takes to refuse each: milliseconds, bytes of memory, bytes read.
"""
import functools
import hashlib
import io
import json
import struct
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chainrule import Input, Sequential
from chainrule.errors import FileFormatError, UnknownLayerError
from chainrule.layers import BatchNormalization, Dense
from chainrule.models import load_model
from chainrule.saving.checkpoint import Checkpoint, read_checkpoint


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name, what: in tests, and in messages.
        text, arrays: the names of the members that hold JSON and arrays.
        make: writes a good file.
        read: reads one.
    """

    name: str
    what: str
    text: str
    arrays: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]

    def take_apart(self, path: Path) -> dict[str, bytes]:
        """The members of a file."""
        with zipfile.ZipFile(path) as file:
            return {name: file.read(name) for name in file.namelist()}

    def put_together(self, members: dict[str, bytes], sign: bool = True) -> bytes:
        """A file of members, under checksums that are right, so that it is read to where the damage is."""
        members = dict(members)
        if sign and "sha256" in members:
            members["sha256"] = digest(members[self.text], members[self.arrays])
        return pack(members.items())


def digest(*parts: bytes) -> bytes:
    """The digest of a checkpoint's members."""
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "little") + part for part in parts)).hexdigest().encode()


def pack(members, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive; names may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members:
            info = zipfile.ZipInfo("x")
            info.filename = name
            file.writestr(info, data, compression)
            file.NameToInfo.clear()  # or it would warn of those that come twice
    return buffer.getvalue()


def small_model() -> Sequential:
    """A network with weights, state and an optimiser."""
    model = Sequential([Input((3,)), Dense(4, activation="relu"), BatchNormalization(), Dense(2)])
    model.compile("adam", "mse")
    return model


def _make_model(path: Path) -> None:
    small_model().save(path)


def _make_checkpoint(path: Path) -> None:
    generator = np.random.default_rng(0)
    run = {"weights": {"dense": {"kernel": generator.normal(size=(16, 8)).astype("float32")}}, "state": {},
           "optimizer": {"step": np.int32(7)}, "key": np.array([1, 2], "uint32"), "epoch": np.int32(2),
           "step": np.int32(5), "sums": {"loss": np.zeros(2, "float32")}}
    checkpoint = Checkpoint(
        run=run, facts={"dtype": "float32", "network": None}, hyperparameters={"learning_rate": 0.01},
        callbacks=[("EarlyStopping", {"best": 0.5, "seen": {1, 2}, "random": np.random.default_rng(1)}), ("Own", {})],
        history={"epoch": [0, 1], "history": {"loss": [0.5, float("nan")]}, "last": {"loss": 0.25}})
    checkpoint.freeze().write(path.parent).replace(path)


def _make_weights(path: Path) -> None:
    small_model().save_weights(path)


@functools.cache
def _model_for_weights() -> Sequential:
    return small_model()


def _read_weights(path: Path) -> None:
    _model_for_weights().load_weights(path)


MODEL = Kind("model", "a chainrule model", "model.json", "weights.safetensors", _make_model, load_model)
CHECKPOINT = Kind("checkpoint", "a checkpoint", "checkpoint.json", "arrays.safetensors", _make_checkpoint,
                  read_checkpoint)
WEIGHTS = Kind("weights", "weights of this model", "", "", _make_weights, _read_weights)
ARCHIVES = (MODEL, CHECKPOINT)


# Damage that needs no knowledge of what a file holds.

def cut(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Cut off at every 512 bytes, and shortly before the end."""
    for length in [*range(0, len(whole), 512), len(whole) - 1]:
        yield f"cut off at {length}", whole[:length]


def flip(whole: bytes, count: int = 400) -> Iterator[tuple[str, bytes]]:
    """One bit turned over, at places all over the file."""
    generator = np.random.default_rng(3)
    for place in np.linspace(0, len(whole) - 1, count).astype(int):
        bit = int(generator.integers(8))
        yield f"bit {bit} of byte {place}", whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]


# Damage to the archive around the members. Each is a name, the file, and why it is refused.

def around(kind: Kind, members: dict[str, bytes]) -> Iterator[tuple[str, bytes, str]]:
    """Damage to the archive, attacks included."""
    text, arrays = kind.text, kind.arrays
    whole = pack(members.items())
    yield "prefix", b"#!/bin/sh\n" + whole, "it has other bytes before its first member"
    yield "suffix", whole + b"more", _NO_ZIP
    yield "path escape", pack([*members.items(), ("../../evil.py", b"")]), (
        "it has an unexpected member '../../evil.py'")
    yield "absolute path", pack([*members.items(), ("/etc/cron.d/evil", b"")]), (
        "it has an unexpected member '/etc/cron.d/evil'")
    yield "pickle", pack([*members.items(), ("data.pkl", b"\x80\x04cos\nsystem\n.")]), (
        "it has an unexpected member 'data.pkl'")
    yield "legacy HDF5", pack([*members.items(), ("model.weights.h5", b"\x89HDF\r\n\x1a\n")]), (
        "it has an unexpected member 'model.weights.h5'")
    yield "link", _as_link(members, arrays, "/etc/passwd"), f"its member {arrays!r} is a link"
    yield "duplicate", pack([*members.items(), (text, b"{}")]), f"it has two members {text!r}"
    yield "missing", pack((name, data) for name, data in members.items() if name != arrays), (
        f"it has no member {arrays!r}")
    yield "other case", pack((name.upper(), data) for name, data in members.items()), (
        f"it has an unexpected member {next(iter(members)).upper()!r}")
    yield "100,000 members", _many_members(), "its directory has 5,100,000 bytes; at most 65,536 are allowed"
    size = len(members[arrays])
    yield "size of 2 GiB", _field(whole, arrays, 24, (2**31).to_bytes(4, "little")), (
        f"its member {arrays!r} is said to have 2,147,483,648 bytes, more or less than it holds")
    both = struct.pack("<LL", 2**31, 2**31)
    yield "both sizes of 2 GiB", _field(whole, arrays, 20, both), (
        f"its member {arrays!r} is said to have 2,147,483,648 bytes, more or less than it holds")
    yield "size too small", _field(whole, arrays, 20, struct.pack("<LL", size - 8, size - 8)), (
        f"it is not a zip archive, or a damaged one (Bad CRC-32 for file {arrays!r})")
    yield "size too large", _field(whole, arrays, 20, struct.pack("<LL", size + 8, size + 8)), (
        f"it is not a zip archive, or a damaged one (Bad CRC-32 for file {arrays!r})")
    yield "encrypted", _field(whole, text, 8, b"\x01\x00"), (
        f"its member {text!r} is encrypted, or packed in a way that is not used here")
    yield "LZMA", pack(members.items(), zipfile.ZIP_LZMA), (
        f"its member {text!r} is encrypted, or packed in a way that is not used here")
    zeros = pack([*((name, data) for name, data in members.items() if name != arrays), (arrays, bytes(64 << 20))],
                 zipfile.ZIP_DEFLATED)
    yield "bomb", zeros, (
        f"its member {arrays!r} would grow from {_packed_size(zeros, arrays):,} to 67,108,864 bytes" if kind is MODEL
        else f"its member {text!r} is encrypted, or packed in a way that is not used here")
    blanks = pack([(text, b" " * (16 << 20) + b" "), (arrays, members[arrays])], zipfile.ZIP_DEFLATED)
    yield "bomb of text", blanks, (
        f"its member {text!r} has 16,777,217 bytes; at most 16,777,216 are allowed" if kind is MODEL
        else "it has no member 'sha256'")
    yield "one data for two members", _shared(members, arrays), "its members share bytes"


_NO_ZIP = "it is not a zip archive, or a damaged one (File is not a zip file)"


def _field(whole: bytes, name: str, offset: int, value: bytes) -> bytes:
    """An archive with a field changed in a member's line of the directory."""
    line = whole.index(b"PK\x01\x02")
    while whole[line + 46 : line + 46 + len(name)] != name.encode():
        line = whole.index(b"PK\x01\x02", line + 1)
    return whole[: line + offset] + value + whole[line + offset + len(value) :]


def _packed_size(whole: bytes, name: str) -> int:
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        return file.getinfo(name).compress_size


def _as_link(members: dict[str, bytes], linked: str, target: str) -> bytes:
    """An archive, one member of which is a symbolic link."""
    whole = pack((name, target.encode() if name == linked else data) for name, data in members.items())
    return _field(whole, linked, 38, (0o120777 << 16).to_bytes(4, "little"))


def _many_members() -> bytes:
    """An archive of 100,000 members, in 10 MB; written by hand, because `zipfile` takes long."""
    count, directory = 100_000, []
    local = b"PK\x03\x04" + bytes(22) + struct.pack("<HH", 5, 0)
    for number in range(count):
        directory.append(b"PK\x01\x02" + bytes(24) + struct.pack("<HHHHHLL", 5, 0, 0, 0, 0, 0, 35 * number)
                         + b"%05d" % number)
    lines = b"".join(directory)
    body = b"".join(local + b"%05d" % number for number in range(count))
    return body + lines + b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 65535, 65535, len(lines), len(body), 0)


def _shared(members: dict[str, bytes], name: str) -> bytes:
    """An archive in which two members claim most of the file as theirs."""
    whole = pack(members.items())
    for each in members:
        if each not in (name, "sha256"):
            whole = _field(whole, each, 20, struct.pack("<LL", len(whole) - 60, len(whole) - 60))
    return whole


# Damage to the members, under checksums that are right.

def inside(kind: Kind, members: dict[str, bytes]) -> Iterator[tuple[str, bytes, str]]:
    """Damage to JSON and arrays."""
    text, arrays = kind.text, kind.arrays
    put = lambda name, data: kind.put_together(members | {name: data})
    swapped = dict(zip(members, (members[arrays], members[text], *list(members.values())[2:]), strict=True))
    yield "swapped", kind.put_together(swapped), f"{text} is not valid JSON ({_decoding_fault(members[arrays])})"
    yield "empty text", put(text, b""), f"{text} is not valid JSON (Expecting value: line 1 column 1 (char 0))"
    yield "no arrays", put(arrays, b""), f"{arrays} is cut off: its header does not fit into 0 bytes"
    yield "depth", put(text, b"[" * 5000 + b"]" * 5000), f"{text} nests more than 100 levels"
    bomb = b"[" + b"[]," * 300_000 + b"[]]"
    yield "empty lists", put(text, bomb), (
        f"{text} has more than {20_000 + len(bomb) // 12:,} lists and objects in {len(bomb):,} bytes")
    yield "duplicate key", put(text, b'{"format": 1, "format": 2}'), f"{text} has the key 'format' twice in one object"
    yield "NaN", put(text, b'{"format": NaN}'), f"{text} holds the number NaN, which is not finite"
    yield "long number", put(text, b'{"format": ' + b"9" * 5000 + b"}"), (
        f"{text} is not valid JSON (Exceeds the limit (4300 digits) for integer string conversion: value has 5000 "
        f"digits; use sys.set_int_max_str_digits() to increase the limit)")
    for name, data, reason in headers(members[arrays]):
        yield name, put(arrays, data), reason.format(what=arrays)


def _decoding_fault(data: bytes) -> str:
    try:
        return json.loads(data.decode())
    except ValueError as error:
        return str(error)


def headers(packed: bytes) -> Iterator[tuple[str, bytes, str]]:
    """Damage to the header of arrays; `{what}` stands for their file in the reason."""
    length = int.from_bytes(packed[:8], "little")
    header, body = json.loads(packed[8 : 8 + length]), packed[8 + length :]
    first = min((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])

    def made(head, numbers: bytes = body) -> bytes:
        data = head if isinstance(head, bytes) else json.dumps(head).encode()
        return len(data).to_bytes(8, "little") + data + numbers

    one = lambda **entry: made(header | {first: header[first] | entry})
    label = f"the array {first!r} of {{what}}"
    size = len(packed)
    yield "header too long", (2**63).to_bytes(8, "little") + packed[8:], (
        f"{{what}} is cut off: its header does not fit into {size:,} bytes")
    yield "header of 2**64 - 1 bytes", b"\xff" * 8 + packed[8:], (
        f"{{what}} is cut off: its header does not fit into {size:,} bytes")
    many = b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % n for n in range(100_000)) + b"}"
    yield "100,000 arrays", made(many, b""), "the header of {what} has more entries than 10,000 arrays can have"
    few = {str(n): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(10_002)}
    yield "10,002 arrays", made(few, b""), "the header of {what} has more entries than 10,000 arrays can have"
    axes = b'{"a":{"dtype":"U8","shape":[' + b"1," * 500_000 + b'1],"data_offsets":[0,1]}}'
    yield "500,001 axes", made(axes, b"\0"), "the header of {what} has more entries than 10,000 arrays can have"
    yield "overflowing shape", one(shape=[2**62, 4]), f"{label} has no valid shape"
    yield "shape that overflows to 0", one(shape=[2**32, 2**32]), f"{label} has no valid shape"
    yield "axis of 2**64", one(shape=[2**64]), f"{label} has no valid shape"
    yield "negative axis", one(shape=[-1]), f"{label} has no valid shape"
    yield "shape of a terabyte", one(shape=[2**38]), f"{label} does not have the bytes that its shape asks for"
    yield "negative place", one(data_offsets=[-8, 0]), f"{label} has no valid place"
    yield "place beyond the end", one(data_offsets=[0, size * 2]), (
        f"{label} does not have the bytes that its shape asks for")
    yield "place turned round", one(data_offsets=header[first]["data_offsets"][::-1]), (
        f"{label} does not have the bytes that its shape asks for")
    yield "unknown type", one(dtype="object"), (
        f"{label} has the type 'object', which is not one of F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, "
        f"U8, BOOL")
    yield "same name twice", made(b'{"a":{},"a":{}}'), "the header of {what} has the key 'a' twice in one object"
    overlapping = header | {"zz": header[first]}
    yield "overlap", made(overlapping), "the array 'zz' of {what} overlaps another, or leaves a gap before it"
    yield "hole", made(header, body + bytes(8)), (
        f"{{what}} has {len(made(header, body)) + 8:,} bytes; its arrays end at {len(made(header, body)):,}")
    yield "more behind", packed + b"MZ", f"{{what}} has {size + 2:,} bytes; its arrays end at {size:,}"
    yield "header that is a list", made([]), "the header of {what} is not an object"


# Attacks that name code, on model files: a name, the file, and the error with its message.

def code(folder: Path) -> Iterator[tuple[str, bytes, type[Exception], str]]:
    """Files that ask for classes, functions, code or switches, in every way that worked elsewhere."""
    path = folder / "good.model"
    MODEL.make(path)
    members = MODEL.take_apart(path)

    def unknown(kind: str, name: str) -> str:
        return (f"The file uses the {kind} {name!r}, which is not part of chainrule. Hand it in by name: "
                f"load_model(path, custom_objects={{{name!r}: {name}}}).")

    def with_layer(entry) -> bytes:
        description = json.loads(members["model.json"])
        description["model"]["settings"]["layers"][0] = entry
        return MODEL.put_together(members | {"model.json": json.dumps(description).encode()})

    def with_activation(entry) -> bytes:
        return with_layer({"layer": "Dense", "settings": {"units": 4, "activation": entry}})

    def with_entry(**entries) -> bytes:
        description = json.loads(members["model.json"]) | entries
        return MODEL.put_together(members | {"model.json": json.dumps(description).encode()})

    refused = "{path} cannot be read as a chainrule model: "
    yield ("class of a module", with_layer({"module": "os", "class_name": "system", "config": {"command": "id"}}),
           FileFormatError, refused + "an entry with the keys ['class_name', 'config', 'module'] is not one that "
                                      "chainrule writes.")
    yield "layer by path", with_layer({"layer": "os.system", "settings": {}}), UnknownLayerError, unknown(
        "layer", "os.system")
    yield "class", with_activation({"class": "subprocess.Popen"}), UnknownLayerError, unknown(
        "class", "subprocess.Popen")
    yield "function", with_activation({"function": "eval"}), UnknownLayerError, unknown("function", "eval")
    yield "dunder", with_activation({"activation": "__class__"}), UnknownLayerError, unknown("activation", "__class__")
    yield "download", with_activation({"function": "get_file"}), UnknownLayerError, unknown("function", "get_file")
    yield ("switch", with_activation({"function": "enable_unsafe_deserialization"}), UnknownLayerError,
           unknown("function", "enable_unsafe_deserialization"))
    yield ("switch in the file", with_entry(safe_mode=False), FileFormatError,
           refused + "model.json has missing or unexpected entries: 'safe_mode'.")
    yield ("lambda", with_layer({"layer": "Lambda", "settings": {"function": "4wEAAAA="}}), FileFormatError,
           refused + "the layer Lambda refuses its settings (SettingError: Lambda: `function` is a function on arrays; "
                     "got '4wEAAAA='.).")
    for layer in ("StringLookup", "IntegerLookup", "TextVectorization"):
        yield (f"local file in {layer}", with_layer({"layer": layer, "settings": {"vocabulary": "/etc/passwd"}}),
               FileFormatError, refused + f"the layer {layer} refuses its settings (SettingError: {layer}: the "
                                          f"settings name the file '/etc/passwd'; a vocabulary stands in the settings "
                                          f"itself.).")
    yield ("function with settings", with_activation({"activation": "relu", "settings": {"x": 1}}), FileFormatError,
           refused + "the activation 'relu' is a function and takes no settings.")


# What it takes to refuse a file.

class Cost(NamedTuple):
    """What reading a file took: why it was refused (`None`: it was not), memory at most, bytes read, seconds."""

    reason: str | None
    memory: int
    read: int
    seconds: float


def cost(kind: Kind, path: Path) -> Cost:
    """Read a file and see what that takes. Bytes that are read are counted on Linux only; elsewhere they are 0."""
    tracemalloc.start()
    before, began, reason = _bytes_read(), time.perf_counter(), None
    try:
        kind.read(path)
    except FileFormatError as error:
        reason = str(error).removeprefix(f"{path} cannot be read as {kind.what}: ").removesuffix(".")
    seconds, read, (_, memory) = time.perf_counter() - began, _bytes_read() - before, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Cost(reason, memory, read, seconds)


def _bytes_read() -> int:
    path = Path("/proc/self/io")
    return int(path.read_text().split()[1]) if path.exists() else 0


def corpus(kind: Kind, folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """All that is wrong with files of a kind, but for single bits: a name, the file, and why it is refused."""
    path = folder / f"good.{kind.name}"
    kind.make(path)
    whole = path.read_bytes()
    if kind is WEIGHTS:
        for length in [*range(0, len(whole), 512), len(whole) - 1]:
            header = 8 + int.from_bytes(whole[:8], "little")
            reason = (f"the file has {length:,} bytes; its arrays end at {len(whole):,}" if length >= header else
                      f"the file is cut off: its header does not fit into {length:,} bytes")
            yield f"cut off at {length}", whole[:length], reason
        for name, data, reason in headers(whole):
            yield name, data, reason.format(what="the file")
        return
    members = kind.take_apart(path)
    for name, data in cut(whole):
        yield name, data, _NO_ZIP
    yield from around(kind, members)
    yield from inside(kind, members)


def main() -> None:
    """Print a line for each file of the corpus."""
    with tempfile.TemporaryDirectory() as folder:
        slowest = 0.0
        for kind in (*ARCHIVES, WEIGHTS):
            for name, data, _ in corpus(kind, Path(folder)):
                path = Path(folder) / "damaged"
                path.write_bytes(data)
                found = cost(kind, path)
                slowest = max(slowest, found.seconds)
                print(f"{kind.name:10} {name:28} {len(data):10,} bytes: {1e3 * found.seconds:6.1f} ms, memory "
                      f"{found.memory:10,}, read {found.read:10,}: {found.reason}")
        print(f"The slowest took {1e3 * slowest:.0f} ms.")


if __name__ == "__main__":
    sys.exit(main())
