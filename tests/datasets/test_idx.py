"""IDX files: what is written is read again, and every way for a file to be wrong has its message."""
import gzip
import tracemalloc

import numpy as np
import pytest

from chainrule.datasets import read_idx, write_idx
from chainrule.errors import DataError, FileFormatError

HEADER = bytes([0, 0, 0x08, 2, 0, 0, 0, 2, 0, 0, 0, 3])
VALUES = bytes(range(6))


def refuses(path, content, message):
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as error:
        read_idx(path)
    assert str(error.value) == f"{path} {message}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "images"


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("name", ["values", "values.gz"])
def test_writes_and_reads_every_type(tmp_path, dtype, name):
    array = (np.random.default_rng(0).normal(size=(3, 5, 2)) * 50).astype(dtype)
    write_idx(tmp_path / name, array)
    again = read_idx(tmp_path / name)
    assert again.dtype == np.dtype(dtype) and again.dtype.isnative and again.flags.writeable
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize("shape", [(0, 28, 28), (1,), (1,) * 64])
def test_odd_shapes(path, shape):
    write_idx(path, np.zeros(shape, "uint8"))
    assert read_idx(path).shape == shape


def test_a_strided_array_in_the_other_byte_order(path):
    array = np.arange(24, dtype=">i4").reshape(4, 6)[::2, ::3]
    write_idx(path, array)
    np.testing.assert_array_equal(read_idx(path), [[0, 3], [12, 15]])


def test_values_are_big_endian(path):
    path.write_bytes(bytes([0, 0, 0x0B, 1, 0, 0, 0, 2, 1, 2, 255, 254]))
    np.testing.assert_array_equal(read_idx(path), [258, -2])


def test_the_same_array_gives_the_same_packed_bytes(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(9, dtype="uint8"))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_packed_or_not_is_read_from_the_content(tmp_path):
    (tmp_path / "plain.gz").write_bytes(HEADER + VALUES)
    (tmp_path / "packed").write_bytes(gzip.compress(HEADER + VALUES))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), read_idx(tmp_path / "packed"))


def test_empty(path):
    refuses(path, b"", "is empty. Expected an IDX file, plain or gzip.")


def test_not_idx(path):
    refuses(path, b"<!DOCTYPE html>", "is not an IDX file: expected two zero bytes at its start, found 3c 21.")


def test_unknown_type(path):
    refuses(path, bytes([0, 0, 0x0A, 1, 0, 0, 0, 0]),
            "has an unknown type of values: expected one of the codes 08, 09, 0B, 0C, 0D, 0E, found 0A.")


@pytest.mark.parametrize("rank", [0, 65, 255])
def test_number_of_axes(path, rank):
    refuses(path, bytes([0, 0, 8, rank]) + bytes(4 * rank),
            f"has an impossible number of axes: expected 1 to 64, found {rank}.")


@pytest.mark.parametrize("length, expected, found", [(1, 4, 1), (3, 4, 3), (4, 8, 0), (11, 8, 7)])
def test_header_cut_off(path, length, expected, found):
    refuses(path, HEADER[:length], f"ends inside its header: expected {expected} bytes more, found {found}.")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_values_cut_off(path, pack):
    refuses(path, pack(HEADER + VALUES[:5]), "does not hold what its header says: expected 6 bytes of values for "
                                             "(2, 3) of uint8, found 5: the file is cut off.")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_trailing_bytes(path, pack):
    refuses(path, pack(HEADER + VALUES + b"\x00"), "does not hold what its header says: expected 6 bytes of values for "
                                                   "(2, 3) of uint8, found more.")


@pytest.mark.parametrize("first", [2**32 - 1, 0])
def test_a_size_that_overflows(path, first):
    sizes = np.array([first, 2**32 - 1, 2**32 - 1], ">u4").tobytes()
    refuses(path, bytes([0, 0, 0x0E, 3]) + sizes,
            f"has an impossible shape: ({first}, 4294967295, 4294967295) of float64 is more than 2**63 bytes.")


def peak_of_refusing(path, content, message):
    path.write_bytes(content)
    tracemalloc.start()
    try:
        refuses(path, content, message)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_claim_of_a_terabyte_allocates_nothing(path, pack):
    content = pack(bytes([0, 0, 0x08, 2]) + np.array([2**20, 2**20], ">u4").tobytes() + VALUES)
    assert peak_of_refusing(path, content, "does not hold what its header says: expected 1099511627776 bytes of values "
                                           "for (1048576, 1048576) of uint8, found 6: the file is cut off.") < 4e6


def test_a_gzip_bomb_is_not_unpacked(path):
    content = gzip.compress(HEADER + bytes(10**8))
    assert peak_of_refusing(path, content, "does not hold what its header says: expected 6 bytes of values for "
                                           "(2, 3) of uint8, found more.") < 4e6


def test_gzip_cut_off(path):
    refuses(path, gzip.compress(HEADER + VALUES)[:-4],
            "is cut off: the gzip data end before their end mark. Copy or download the file again.")


def test_gzip_with_a_changed_checksum(path):
    content = bytearray(gzip.compress(HEADER + VALUES))
    content[-8] ^= 1
    with pytest.raises(FileFormatError, match=r" is damaged: CRC check failed 0x\w+ != 0x\w+\. Copy or download "):
        path.write_bytes(content)
        read_idx(path)


def test_gzip_with_damaged_data(path):
    content = gzip.compress(HEADER + VALUES)
    refuses(path, content[:10] + b"\xff" * 20, "is damaged: Error -3 while decompressing data: invalid block type. "
                                               "Copy or download the file again.")


def test_gzip_with_garbage_behind(path):
    refuses(path, gzip.compress(HEADER + VALUES) + b"garbage",
            "is damaged: Not a gzipped file (b'ga'). Copy or download the file again.")


def test_every_cut_and_every_changed_header_byte_is_refused(path):
    content = HEADER + VALUES
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            read_idx(path)
    for place in range(len(HEADER)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1:])
        with pytest.raises(FileFormatError):
            read_idx(path)


@pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", "U3"])
def test_types_that_idx_has_no_code_for(path, dtype):
    with pytest.raises(DataError) as error:
        write_idx(path, np.zeros(3, dtype))
    assert str(error.value) == (f"IDX files hold uint8, int8, int16, int32, float32, float64; "
                                f"got an array of {np.zeros(3, dtype).dtype}. Convert it first: array.astype(...).")
    assert not path.exists()


def test_a_scalar_cannot_be_written(path):
    with pytest.raises(DataError) as error:
        write_idx(path, np.uint8(3))
    assert str(error.value) == "IDX files hold arrays of 1 to 64 axes of less than 2**32; got the shape ()."
