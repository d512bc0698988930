"""The safetensors header: every field is checked before an array is made."""
import json

import ml_dtypes
import numpy as np
import pytest

from chainrule.errors import FileFormatError
from chainrule.saving import tensors


def data_of(header, body=b"", length=None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("dtype", [
    "float64", "float32", "float16", ml_dtypes.bfloat16, "int64", "int32", "int16", "int8", "uint64", "uint32",
    "uint16", "uint8", "bool"])
def test_arrays_come_back(dtype):
    rng = np.random.default_rng(0)
    arrays = {"a": rng.integers(0, 2, (3, 4)).astype(dtype), "scalar": np.array(1, dtype),
              "empty": np.zeros((0, 3), dtype), "turned": rng.integers(0, 2, (3, 4)).astype(dtype).T}
    found = tensors.unpack(tensors.pack(arrays))
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert tensors.pack(found) == tensors.pack(arrays)


def test_no_arrays():
    assert tensors.unpack(tensors.pack({})) == {}


def test_metadata_of_others_is_passed_over():
    assert tensors.unpack(data_of({"__metadata__": {"format": "pt"}, "a": entry()}, bytes(8)))["a"].tolist() == [0, 0]


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "w is cut off: its header does not fit into 0 bytes"),
    (data_of({}, length=2**63), "w is cut off: its header does not fit into 10 bytes"),
    (data_of(b" " * ((16 << 20) + 1)), "w has a header of 16,777,217 bytes; at most 16,777,216 are allowed"),
    (data_of(b"{"), "the header of w is not valid JSON (Expecting property name enclosed in double quotes: line 1 "
                    "column 2 (char 1))"),
    (data_of([]), "the header of w is not an object"),
    (data_of({str(i): 0 for i in range(10_001)}), "w has 10,001 arrays; at most 10,000 are allowed"),
    (data_of({"a": 1}), "the array 'a' of w is not described by dtype, shape and data_offsets"),
    (data_of({"a": entry("C64")}, bytes(8)),
     "the array 'a' of w has the type 'C64', which is not one of F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, "
     "U16, U8, BOOL"),
    (data_of({"a": entry([])}, bytes(8)),
     "the array 'a' of w has the type [], which is not one of F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, "
     "U8, BOOL"),
    (data_of({"a": entry(shape=(-2,))}, bytes(8)), "the array 'a' of w has no valid shape"),
    (data_of({"a": entry(shape=(True,))}, bytes(8)), "the array 'a' of w has no valid shape"),
    (data_of({"a": entry(shape=(1,) * 33)}, bytes(8)), "the array 'a' of w has no valid shape"),
    (data_of({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}), "the array 'a' of w has no valid shape"),
    (data_of({"a": entry(offsets=(0, 8, 9))}, bytes(8)), "the array 'a' of w has no valid place"),
    (data_of({"a": entry(shape=(2**62, 4))}, bytes(8)), "the array 'a' of w has no valid shape"),
    (data_of({"a": entry(shape=(2**40,))}, bytes(8)),
     "the array 'a' of w does not have the bytes that its shape asks for"),
    (data_of({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
     "the array 'b' of w overlaps another, or leaves a gap before it"),
    (data_of({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)),
     "the array 'b' of w overlaps another, or leaves a gap before it"),
    (data_of({"a": entry()}, bytes(9)), "w has 78 bytes; its arrays end at 77"),
    (data_of({"a": entry()}, bytes(7)), "w has 76 bytes; its arrays end at 77"),
], ids=range(20))
def test_headers_that_are_refused(data, reason):
    with pytest.raises(FileFormatError) as error:
        tensors.read_header(data, "w")
    assert str(error.value) == reason
