"""Files changed at random, with knowledge of what they hold: so that the change is met deep inside their readers."""
import copy
import json
import random
import struct

from tests.saving.damage import Kind

_BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x5B, 0x7B)
_NUMBERS = (0, 1, -1, 2, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**30)
_VALUES = (None, True, False, *_NUMBERS, -(2**63), 0.5, 1e-300, 1e308, "", "relu", "Dense", "float32", "F32", "é" * 40,
           "../../etc/passwd", "__class__", "os.system", "nan", "-inf", "0", "00", [], {}, [[]], [0], [2**62, 2**62],
           [0] * 40, {"shared": 0}, {"array": 0}, {"array": "0"}, {"number": "nan"}, {"float": "inf"}, {"tuple": []},
           {"tuple": [[]]}, {"items": [[[], 1]]}, {"dict": {}}, {"set": [[]]}, {"symbol": 1}, {"symbol": 10**20},
           {"deque": [1], "maxlen": -1}, {"bytes": "f"}, {"scalar": ["float32", "00"]}, {"device": "0"},
           {"generator": {"dict": {"bit_generator": "PCG64"}}}, {"layer": "Sequential"}, {"layer": "InputLayer"},
           {"layer": "Dense", "settings": {"units": 10**9}}, {"optimizer": "Adam", "settings": {}}, {"loss": "mse"},
           {"array": [1, 2], "shape": [10**9], "dtype": "float64"}, {"function": "print"}, {"class": "Popen"})


def flipped(generator: random.Random, data: bytes) -> bytes:
    """Bytes with a few of them replaced, removed, doubled, or written over with a number."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        if not changed:
            break
        place, length = generator.randrange(len(changed)), generator.choice((1, 1, 2, 4, 8, 64, 512))
        match generator.randrange(6):
            case 0:
                changed[place] ^= 1 << generator.randrange(8)
            case 1:
                changed[place] = generator.choice(_BYTES)
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place:place] = changed[place : place + length]
            case 4:
                number = generator.choice(_NUMBERS) % 2**64
                changed[place : place + 8] = struct.pack("<Q", number)
            case 5:
                del changed[place:]
    return bytes(changed)


def changed_tree(generator: random.Random, tree):
    """JSON data with a few places changed: replaced, removed, doubled, renamed, or exchanged."""
    tree = copy.deepcopy(tree)
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        places = _places(tree)
        if not places:
            return generator.choice(_VALUES)
        node, key = generator.choice(places)
        match generator.randrange(7):
            case 0 | 1:
                node[key] = copy.deepcopy(generator.choice(_VALUES))
            case 2:
                del node[key]
            case 3 if isinstance(node, list):
                node.insert(key, copy.deepcopy(node[key]))
            case 3:
                node[generator.choice(places)[1] if generator.random() < 0.5 else "more"] = node.pop(key)
            case 4:
                other, place = generator.choice(places)
                node[key] = copy.deepcopy(other[place])
            case 5:
                number = node[key]
                if isinstance(number, (int, float)):
                    node[key] = number + generator.choice((1, -1, 0.5)) if generator.random() < 0.5 else -number
                else:
                    node[key] = generator.choice(_NUMBERS)
            case 6:
                node[key] = [node[key]] if generator.random() < 0.5 else {"tuple": [node[key]]}
        if isinstance(node, dict):  # JSON has no other keys than text
            for name in [name for name in node if not isinstance(name, str)]:
                node[str(name)] = node.pop(name)
    return tree


def _places(tree) -> list[tuple[dict | list, object]]:
    found, left = [], [tree]
    while left:
        node = left.pop()
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            found.append((node, key))
            if isinstance(value, (dict, list)):
                left.append(value)
    return found


def changed_arrays(generator: random.Random, packed: bytes) -> bytes:
    """Arrays in the safetensors format, changed in the header, in its length, or anywhere."""
    length = int.from_bytes(packed[:8], "little")
    header, body = packed[8 : 8 + length], packed[8 + length :]
    match generator.randrange(5):
        case 0 | 1 | 2:
            header = json.dumps(changed_tree(generator, json.loads(header))).encode()
        case 3:
            header = flipped(generator, header)
        case 4:
            return flipped(generator, packed)
    if generator.random() < 0.1:
        body = flipped(generator, body)
    return len(header).to_bytes(8, "little") + header + body


def changed_file(generator: random.Random, kind: Kind, members: dict[str, bytes]) -> bytes:
    """A file of a kind, changed in the archive or in its members under checksums that are right."""
    members = dict(members)
    choice = generator.random()
    if choice < 0.5:
        members[kind.text] = json.dumps(changed_tree(generator, json.loads(members[kind.text]))).encode()
    elif choice < 0.6:
        members[kind.text] = flipped(generator, members[kind.text])
    elif choice < 0.85:
        members[kind.arrays] = changed_arrays(generator, members[kind.arrays])
    elif choice < 0.9:
        names = list(members)
        generator.shuffle(names)
        members = dict(zip(names, members.values(), strict=True))
        return kind.put_together(members, sign=kind.text in names)
    else:
        return flipped(generator, kind.put_together(members))
    return kind.put_together(members)
