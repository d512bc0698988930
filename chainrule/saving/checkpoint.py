"""Checkpoints: everything that decides the future of a run, in one file.

A checkpoint is a zip archive of three members:

- `checkpoint.json`: where the run stands, what it was asked for, its hyperparameters, the memory of its callbacks, its
  history; arrays are named in it.
- `arrays.safetensors`: those arrays: weights, state, optimiser, metric sums, best weights.
- `sha256`: the digest of the other two.

Nothing in the archive is packed, so that nothing in it is larger than it looks. It is written beside its place and
moved there when it is whole. Nothing in it is executed.
"""
import hashlib
import json
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import FileFormatError, SettingError
from chainrule.saving import archive, plain, tensors
from chainrule.saving.strict import find_excess, find_problem, parse_json

FORMAT_VERSION = 1
SUFFIX = ".checkpoint"
_LONGEST_DESCRIPTION = 256 << 20  # a history of a million epochs fits in
_LIMITS = (("checkpoint.json", _LONGEST_DESCRIPTION), ("arrays.safetensors", None), ("sha256", 64))
_NAME = re.compile(r"epoch-(\d+)-step-(\d+)" + re.escape(SUFFIX))
_ENTRIES = MappingProxyType({"run": dict, "facts": dict, "hyperparameters": dict, "callbacks": list, "history": dict,
                             "stopped": bool})


class Place(NamedTuple):
    """How far a run has come: finished epochs, and finished steps of the epoch that follows.

    Example:
        >>> print(Place(epoch=3, step=120))
        epoch 4, step 120
    """

    epoch: int
    step: int

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step}" if self.step else f"the end of epoch {self.epoch}"


@dataclass(frozen=True)
class Checkpoint:
    """A run at one moment.

    Attributes:
        run: weights, state, optimiser, key, epoch, step, metric sums, by name.
        facts: what the run was asked for, by name: a run that goes on must be asked for the same.
        hyperparameters: the optimiser's numbers as callbacks left them.
        callbacks: for each callback the name of its class, and its memory by attribute.
        history: epochs and figures.
        stopped: whether a callback has ended the run.
    """

    run: dict[str, Any]
    facts: dict[str, Any]
    hyperparameters: dict[str, float]
    callbacks: list[tuple[str, dict[str, Any]]]
    history: dict[str, Any]
    stopped: bool = False

    @property
    def place(self) -> Place:
        """Where the run stands."""
        return Place(int(self.run["epoch"]), int(self.run["step"]))

    def freeze(self) -> "Frozen":
        """The checkpoint as it is now, to be written while the run goes on: what may change is copied."""
        arrays = plain.Arrays()
        description = {name: plain.write(getattr(self, name), arrays) for name in _ENTRIES}
        return Frozen(self.place, description, arrays.named)


class Frozen(NamedTuple):
    """A checkpoint that nothing changes any more."""

    place: Place
    description: dict[str, Any]
    arrays: dict[str, Any]

    def write(self, folder: Path) -> Path:
        """Put the checkpoint into a folder, under the name of its place.

        Raises:
            FileAccessError: it cannot be written there.
            SettingError: it could not be read back: it is too large, or too deep.
        """
        head = {"format": "chainrule checkpoint", "version": FORMAT_VERSION, "chainrule": version("chainrule")}
        text = json.dumps(head | self.description, allow_nan=False).encode()
        problem = find_problem(self.description) or find_excess(text)
        if len(text) > _LONGEST_DESCRIPTION:
            problem = f"has {len(text):,} bytes; at most {_LONGEST_DESCRIPTION:,} are allowed"
        if problem is not None:
            raise SettingError(f"The run cannot be kept in a checkpoint: what its callbacks remember {problem}.")
        packed = tensors.pack({name: np.asarray(array) for name, array in self.arrays.items()})
        path = folder / f"epoch-{self.place.epoch:06d}-step-{self.place.step:08d}{SUFFIX}"
        members = (text, packed, _digest(text, packed))
        archive.write_members(path, {name: data for (name, _), data in zip(_LIMITS, members, strict=True)},
                              packed=False)
        return path


def read_checkpoint(path) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        FileFormatError: the file is damaged, or is no checkpoint.
    """
    with archive.naming(path, "a checkpoint"):
        members = archive.read_members(path, dict(_LIMITS), packed=False)
        text, packed, digest = (members[name] for name, _ in _LIMITS)
        if _digest(text, packed) != digest:
            raise FileFormatError("its contents do not have the SHA-256 digest that it names")
        description = parse_json(text, "checkpoint.json")
        if not isinstance(description, dict) or description.get("format") != "chainrule checkpoint":
            raise FileFormatError("checkpoint.json does not say that it describes a checkpoint of chainrule")
        if description.get("version") != FORMAT_VERSION:
            raise FileFormatError(f"it has the format version {description.get('version')!r}; this chainrule reads "
                                  f"{FORMAT_VERSION}")
        arrays = tensors.unpack(packed, "arrays.safetensors")
        found = {name: plain.read(description.get(name), arrays) for name in _ENTRIES}
        for name, kind in _ENTRIES.items():
            if not isinstance(found[name], kind):
                raise FileFormatError(f"checkpoint.json has no entry {name!r}, or one of another kind")
        checkpoint = Checkpoint(**found)
        if not _describes_run(checkpoint):
            raise FileFormatError("checkpoint.json does not describe a run")
    return checkpoint


def _describes_run(checkpoint: Checkpoint) -> bool:
    """Whether the entries are of the kinds that `Keeper` writes; whether they fit a model is seen later."""
    places = [checkpoint.run.get(name) for name in ("epoch", "step")]
    history = checkpoint.history
    return (all(getattr(place, "shape", None) == () and np.issubdtype(place.dtype, np.integer) and place >= 0
                for place in places)
            and all(type(entry) is tuple and [type(part) for part in entry[:1]] == [str] and len(entry) == 2
                    for entry in checkpoint.callbacks)
            and all(isinstance(number, (int, float, np.number)) for number in checkpoint.hyperparameters.values())
            and set(history) == {"epoch", "history", "last"} and type(history["epoch"]) is list
            and type(history["history"]) is dict and type(history["last"]) is dict)


def checkpoints_in(folder: Path) -> list[tuple[Place, Path]]:
    """The checkpoints of a folder and their places, the newest first; whether they are whole is not looked at."""
    found = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(((Place(*map(int, match.groups())), path) for match, path in found if match), reverse=True)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest().encode()
