"""Tensors in Python: element types, indexing, laziness."""

import math
import os
import random
import time
import unittest

import numpy as np

import pith
from python_testing import NUMPY_TYPES, OTHER_TYPES, random_bits, same_bits, Case

try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None
try:
    import torch
except ImportError:
    torch = None


class Types(Case):
    def test_every_numpy_type_comes_back(self):
        arrays = {n: random_bits(c, (7, 5), i) for i, (n, c) in enumerate(NUMPY_TYPES.items())}
        archive = self.saved(arrays)
        self.assertEqual(set(archive), set(arrays))
        for name, array in arrays.items():
            tensor = archive[name]
            self.assertEqual(tensor.dtype, name)
            self.assertTrue(same_bits(tensor.numpy(), array), name)
            self.assertTrue(same_bits(np.asarray(tensor), array), name)
            self.assertEqual(tensor.raw(), array.tobytes(), name)

    def test_every_other_type_comes_back(self):
        for name, code in OTHER_TYPES.items():
            bits = random_bits(code, (64, 4))
            archive = self.saved({"a": (bits, name), "b": pith.Bits(bits, name)})
            for key in "ab":
                self.assertEqual(archive[key].dtype, name)
                self.assertTrue(same_bits(archive[key].numpy(raw=True), bits), name)
                self.assertTrue(same_bits(archive[key].bits[3:5], bits[3:5]), name)

    def test_packed_types(self):
        packed = random_bits("u1", (6, 8))
        archive = self.saved({"w": (packed, "f4")})
        self.assertEqual(archive["w"].shape, (6, 16))
        self.assertTrue(same_bits(archive["w"].numpy(raw=True), packed))
        self.assertTrue(same_bits(archive["w"].bits[2:4], packed[2:4]))
        for read in (lambda t: t.numpy(), lambda t: t[0], lambda t: t.torch() if torch else t[0]):
            with self.assertRaises(TypeError):
                read(archive["w"])

    def test_shapes(self):
        shapes = [(), (0,), (1,), (0, 3), (3, 0), (2, 3, 4), (1, 1, 1, 1)]
        arrays = {str(i): random_bits("f4", shape) for i, shape in enumerate(shapes)}
        archive = self.saved(arrays)
        for name, array in arrays.items():
            self.assertTrue(same_bits(archive[name].numpy(), array), array.shape)
            self.assertTrue(same_bits(archive[name][...], array), array.shape)
            self.assertEqual(archive[name].size, array.size)

    def test_memory_order_and_byte_order_do_not_matter(self):
        array = np.arange(24, dtype=np.float32).reshape(4, 6)
        archive = self.saved({"t": array.T, "s": array[:, ::2], "b": array.astype(">f4"),
                              "l": [1.5, 2.5], "x": np.float32(3)})  # fmt: skip
        self.assertTrue(same_bits(archive["t"].numpy(), array.T))
        self.assertTrue(same_bits(archive["s"].numpy(), array[:, ::2]))
        self.assertTrue(same_bits(archive["b"].numpy(), array))
        self.assertEqual(archive["l"].numpy().tolist(), [1.5, 2.5])
        self.assertEqual(archive["x"].shape, ())

    def test_big_endian_files(self):
        for code in (">f4", ">c8", ">i2", ">u8"):
            array = random_bits("u1", (6, 4 * np.dtype(code).itemsize)).view(code)
            np.save(self.folder / "big.npy", array)
            pith.compress(self.folder / "big.npy", self.folder / "big.pith", overwrite=True)
            (tensor,) = pith.open(self.folder / "big.pith").values()
            native = array.astype(array.dtype.newbyteorder("<"))
            self.assertTrue(same_bits(tensor.numpy(), native), code)
            self.assertTrue(same_bits(tensor[1:3], native[1:3]), code)
            self.assertEqual(tensor.raw(), array.tobytes(), code)
            again = self.saved({"x": tensor})
            self.assertTrue(same_bits(again["x"].numpy(), native), code)

    def test_refuses_what_cannot_be_stored(self):
        for value in (np.array(["text"]), np.array([object()]), np.zeros(2, "M8[s]"),
                      (np.zeros(2, np.float32), "bf16"), None):  # fmt: skip
            with self.assertRaisesRegex(TypeError, "^x: "):
                self.saved({"x": value})
        with self.assertRaises(TypeError):
            self.saved({3: np.zeros(2)})
        with self.assertRaises(TypeError):
            self.saved({"x": np.zeros(2)}, metadata={"step": 3})
        with self.assertRaises(pith.UsageError):
            self.saved({"x": (np.zeros(2, np.uint8), "f9")})
        with self.assertRaises(pith.UsageError):
            self.saved({"x": (np.zeros(18, np.uint8), "q4_0")})  # safetensors has no such type
        with self.assertRaises(pith.UsageError):
            self.saved({}, level="ultra")
        self.assertEqual([f for f in os.listdir(self.folder) if f.startswith(".")], [])


@unittest.skipIf(ml_dtypes, "values are ml_dtypes arrays here")
class Float32Values(Case):
    def test_bf16_is_the_upper_half_of_f32(self):
        bits = np.arange(65536, dtype=np.uint16)
        values = pith.bfloat16(bits).numpy()
        self.assertEqual(values.dtype, np.float32)
        self.assertTrue(np.array_equal(values.view(np.uint32), bits.astype(np.uint32) << 16))

    def check(self, name, known):
        values = pith.Bits(np.arange(256, dtype=np.uint8), name).numpy()
        for code, value in known.items():
            self.assertTrue(
                values[code] == value or (np.isnan(value) and np.isnan(values[code])),
                (name, hex(code), values[code], value))  # fmt: skip
        return values

    def test_f8(self):
        # The tables of the OCP 8-bit floating point specification, and of the FNUZ variants.
        nan, inf = math.nan, math.inf
        self.check("f8_e4m3", {0: 0, 1: 2**-9, 7: 0.875 * 2**-6, 8: 2**-6, 0x38: 1, 0x7E: 448,
                               0x7F: nan, 0xFE: -448, 0xFF: nan, 0x81: -(2**-9)})  # fmt: skip
        self.check("f8_e5m2", {0: 0, 1: 2**-16, 4: 2**-14, 0x3C: 1, 0x7B: 57344, 0x7C: inf,
                               0x7D: nan, 0x7F: nan, 0xFC: -inf, 0xFF: nan})  # fmt: skip
        self.check("f8_e4m3fnuz", {0: 0, 1: 2**-10, 0x40: 1, 0x7F: 240, 0x80: nan, 0xFF: -240})
        self.check("f8_e5m2fnuz", {0: 0, 1: 2**-17, 0x40: 1, 0x7F: 57344, 0x80: nan, 0xFF: -57344})
        self.check("f8_e8m0", {0: 2**-127, 127: 1, 254: 2.0**127, 255: nan})

    def test_negative_zero_is_kept(self):
        for name in ("f8_e4m3", "f8_e5m2"):
            value = pith.Bits(np.array([0x80], np.uint8), name).numpy()
            self.assertTrue(np.signbit(value)[0])


class Slices(Case):
    KEYS = [
        0, -1, 11, np.int64(3), slice(None), slice(2, 5), slice(-3, None), slice(5, 2),
        slice(None, None, 3), slice(None, None, -1), slice(10, 2, -4), slice(100, 200), ...,
        (2, 3), (slice(2, 5), 1), (slice(None, None, -2), slice(1, 3)), (..., 0), (0, ..., 1),
        None, (None, 2), (2, None), (slice(1, 4), None, 2), [0, 0, 5], [-1, 3],
        np.array([[1, 2], [7, 1]]), ([1, 2], [3, 4]), ([4, 1], slice(2)), [], np.arange(12) % 5 == 0,
        np.zeros(12, bool), (np.arange(12) > 8, 1), [True, False] * 6, (), (slice(2, 4), ..., [0, 1]),
    ]  # fmt: skip

    def test_equal_numpys(self):
        for shape in ((12, 7), (12, 7, 3)):
            array = random_bits("i4", shape)
            tensor = self.saved({"x": array})["x"]
            for key in self.KEYS:
                with self.subTest(key=key, shape=shape):
                    self.assertTrue(same_bits(tensor[key], array[key]))
            self.assertEqual(type(tensor[2]), np.ndarray)
            self.assertEqual([row.tolist() for row in tensor], array.tolist())
            whole_mask = array > 0
            self.assertTrue(same_bits(tensor[whole_mask], array[whole_mask]))

    def test_out_of_range_is_numpys_error(self):
        array = random_bits("i4", (12, 7))
        tensor = self.saved({"x": array, "scalar": np.float32(1)})["x"]
        for key in (12, -13, [3, 12], (0, 7), (0, 0, 0), np.zeros(5, bool), "a", 1.5, [0.5]):
            with self.subTest(key=key):
                with self.assertRaises(IndexError):
                    array[key]
                with self.assertRaises(IndexError):
                    tensor[key]

    def test_random_rows_of_many_blocks(self):
        array = np.random.default_rng(1).standard_normal((9000, 300)).astype(np.float32)
        tensor = self.saved({"x": array})["x"]
        dice = random.Random(5)
        for _ in range(60):
            first, last = sorted(dice.choices(range(9001), k=2))
            step = dice.choice([1, 1, 2, 700, -1, -900])
            key = slice(first, last, step) if step > 0 else slice(last, first, step)
            self.assertTrue(same_bits(tensor[key], array[key]), key)
            rows = dice.choices(range(-9000, 9000), k=9)
            self.assertTrue(same_bits(tensor[rows], array[rows]), rows)

    def test_bf16_rows(self):
        bits = random_bits("u2", (50, 6))
        tensor = self.saved({"x": pith.bfloat16(bits)})["x"]
        whole = pith.bfloat16(bits).numpy()
        self.assertTrue(same_bits(tensor[4:9], whole[4:9]))
        self.assertTrue(same_bits(tensor[7], whole[7]))
        self.assertTrue(same_bits(tensor.bits[4:9, 2], bits[4:9, 2]))


class Laziness(Case):
    def test_reading_two_rows_of_a_big_archive_touches_little(self):
        # 256 MiB; damage everywhere but at the front shows what is read: had opening or reading the
        # first rows decoded more, it would fail.
        row = random_bits("u1", (1 << 20,)).reshape(1024, 1024)
        big = np.concatenate([row ^ np.uint8(i) for i in range(256)])
        path = self.folder / "big.pith"
        pith.save(path, {"first": big, "second": row}, level="fast")
        with open(path, "r+b") as file:
            size = os.path.getsize(path)
            for at in range(size // 8, size - (4 << 20), 64 << 10):
                file.seek(at)
                file.write(b"damage" * 8)
        begin = time.process_time()
        archive = pith.open(path)
        self.assertTrue(same_bits(archive["first"][5:7], big[5:7]))
        self.assertLess(time.process_time() - begin, 1)
        with self.assertRaises(pith.DataError):
            archive["first"].numpy()
        with self.assertRaises(pith.DataError) as caught:
            archive.verify()
        self.assertGreater(len(caught.exception.problems), 1)

    def test_many_tensors_open_fast_and_handles_cost_nothing(self):
        archive = self.saved({f"t{i}": np.full(3, i, np.int16) for i in range(20000)})
        begin = time.process_time()
        again = pith.open(archive.path)
        self.assertEqual(again["t19999"].numpy().tolist(), [19999] * 3)
        self.assertLess(time.process_time() - begin, 2)
        self.assertEqual(len(again), 20000)

    def test_memory_limit(self):
        archive = self.saved({"x": np.zeros((1000, 1000), np.float32), "y": np.zeros(3)})
        small = pith.open(archive.path, memory_limit=1 << 20)
        self.assertEqual(small["y"].numpy().tolist(), [0, 0, 0])
        self.assertEqual(small["x"][5:8].sum(), 0)
        for read in (small["x"].numpy, small["x"].raw, small.files[0].read):
            with self.assertRaises(pith.LimitError):
                read()


if __name__ == "__main__":
    unittest.main()
