"""What the tests of the Python module share. Each of them is run by ctest, or alone:

    PYTHONPATH=build/release/python python3 tests/python_tensor_test.py
"""

import json
import math
import os
import pathlib
import struct
import tempfile
import unittest

import numpy as np

import pith

SOURCE = pathlib.Path(os.environ.get("PITH_SOURCE", pathlib.Path(__file__).resolve().parents[1]))
MODEL = SOURCE / "data/lm/model.safetensors"
NUMPY_TYPES = {
    "bool": "?", "u8": "u1", "i8": "i1", "u16": "u2", "i16": "i2", "u32": "u4", "i32": "i4",
    "u64": "u8", "i64": "i8", "f16": "f2", "f32": "f4", "f64": "f8", "c64": "c8",
}  # fmt: skip
OTHER_TYPES = {"bf16": "u2", "f8_e4m3": "u1", "f8_e5m2": "u1", "f8_e8m0": "u1"}


def parse_safetensors(data):
    """The format's rules, written down again without Pith: name -> (dtype, shape, bytes)."""
    (size,) = struct.unpack_from("<Q", data)
    assert 8 + size <= len(data) and data[8:9] == b"{"
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__", None)
    body, tensors, end = data[8 + size :], {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = entry["data_offsets"]
        assert first == end and last <= len(body), name
        assert set(entry) == {"dtype", "shape", "data_offsets"}
        tensors[name] = (entry["dtype"], tuple(entry["shape"]), bytes(body[first:last]))
        end = last
    assert end == len(body)
    return tensors, metadata


def random_bits(code, shape, seed=0):
    generator = np.random.default_rng(seed)
    if code == "?":
        return generator.integers(0, 2, shape).astype(bool)
    dtype = np.dtype(code)
    count = math.prod(shape) * dtype.itemsize
    return np.frombuffer(generator.bytes(count), dtype).reshape(shape)


def same_bits(a, b):
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


class Case(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)

    def saved(self, tensors, **options):
        path = self.folder / f"t{len(os.listdir(self.folder))}.pith"
        pith.save(path, tensors, **options)
        return pith.open(path)
