"""The Python module. Run by ctest, or alone:

    PYTHONPATH=build/release/python python3 tests/python_test.py
"""

import gc
import json
import math
import mmap
import os
import pathlib
import pickle
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import numpy as np

import pith
from pith import safetensors as st

try:
    import torch
except ImportError:
    torch = None
try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None

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


class Archives(Case):
    def test_mapping(self):
        archive = self.saved({"b": np.zeros(2), "a": np.ones((2, 2), np.float16)},
                             metadata={"format": "np", "ü": "ß"})  # fmt: skip
        self.assertEqual(len(archive), 2)
        self.assertIn("a", archive)
        self.assertNotIn("c", archive)
        self.assertNotIn(3, archive)
        self.assertIsNone(archive.get("c"))
        self.assertEqual({k: t.dtype for k, t in archive.items()}, {"a": "f16", "b": "f64"})
        self.assertEqual(archive.metadata, {"format": "np", "ü": "ß"})
        tensor = archive["a"]
        self.assertEqual((tensor.name, tensor.shape, tensor.ndim, tensor.nbytes, len(tensor)),
                         ("a", (2, 2), 2, 8, 2))  # fmt: skip
        self.assertEqual(tensor.file, archive.files[0].path)
        self.assertGreater(tensor.stored, 0)
        self.assertRegex(archive.content_hash, "^[0-9a-f]{32}$")
        self.assertIn("2 tensors", repr(archive))
        self.assertEqual(archive, archive)

    def test_missing_names_are_key_errors(self):
        archive = self.saved({"layers.0.weight": np.zeros(2)})
        with self.assertRaises(KeyError) as caught:
            archive["weight"]
        self.assertIsInstance(caught.exception, pith.Error)
        self.assertIn("layers.0.weight", str(caught.exception))
        with self.assertRaises(pith.MissingError):
            archive.file("other.safetensors")

    def test_same_name_in_several_files(self):
        for name in ("one", "two"):
            st.save_file({"w": np.full(3, ord(name[0])), name: np.zeros(1)},
                         self.folder / f"{name}.safetensors")  # fmt: skip
        path = self.folder / "both.pith"
        pith.compress([self.folder / "one.safetensors", self.folder / "two.safetensors"], path)
        archive = pith.open(path)
        self.assertEqual(set(archive), {"one.safetensors:w", "two.safetensors:w", "one", "two"})
        self.assertEqual(archive["two.safetensors:w"].numpy().tolist(), [ord("t")] * 3)
        self.assertEqual(archive["two.safetensors:two"].name, "two")
        with self.assertRaisesRegex(pith.MissingError, "several files"):
            archive["w"]
        archive.extract(self.folder / "out")
        for name in ("one", "two"):
            self.assertEqual((self.folder / "out" / f"{name}.safetensors").read_bytes(),
                             (self.folder / f"{name}.safetensors").read_bytes())  # fmt: skip

    def test_close(self):
        archive = self.saved({"x": np.arange(3)})
        tensor, array = archive["x"], archive["x"].numpy()
        with archive:
            pass
        for use in (lambda: archive["x"], tensor.numpy, lambda: len(archive), archive.verify):
            with self.assertRaisesRegex(ValueError, "closed"):
                use()
        self.assertEqual(array.tolist(), [0, 1, 2])
        self.assertIn("closed", repr(archive))

    def test_in_memory(self):
        path = self.saved({"x": np.arange(1000)}).path
        data = bytearray(pathlib.Path(path).read_bytes())
        archive = pith.open(data)
        data[:] = bytes(len(data))
        del data
        gc.collect()
        self.assertEqual(archive["x"][-1], 999)
        archive.verify()

    def test_files(self):
        (self.folder / "in" / "empty").mkdir(parents=True)
        (self.folder / "in" / "a.txt").write_bytes(b"hello" * 1000)
        pith.compress(self.folder / "in", self.folder / "in.pith")
        archive = pith.open(self.folder / "in.pith")
        file = archive.file("in/a.txt")
        self.assertEqual(file.read(), b"hello" * 1000)
        self.assertEqual(file.read(4998, 100), b"lo")
        self.assertEqual(file.read(9999), b"")
        self.assertTrue(archive.file("in/empty").is_dir)
        pith.decompress(self.folder / "in.pith", self.folder / "out")
        self.assertTrue((self.folder / "out/in/empty").is_dir())
        with self.assertRaises(pith.UsageError):
            file.read(-1)

    def test_pickles_reopen(self):
        archive = self.saved({"x": np.arange(6).reshape(2, 3)})
        self.assertEqual(pickle.loads(pickle.dumps(archive["x"]))[1].tolist(), [3, 4, 5])
        error = pickle.loads(pickle.dumps(pith.IoError("text")))
        self.assertEqual((type(error), str(error)), (pith.IoError, "text"))

    def test_threads_share_an_archive(self):
        arrays = {f"x{i}": random_bits("f4", (500, 700), i) for i in range(6)}
        archive, wrong = self.saved(arrays), []

        def read(seed):
            dice = random.Random(seed)
            for _ in range(30):
                name, row = dice.choice(sorted(arrays)), dice.randrange(490)
                if not same_bits(archive[name][row : row + 9], arrays[name][row : row + 9]):
                    wrong.append((name, row))
                if not same_bits(archive[name].numpy(), arrays[name]):
                    wrong.append(name)

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_the_lock_is_released(self):
        # Python code runs on while another thread compresses.
        data = random_bits("u1", (2 << 20,))
        done, ticks = threading.Event(), 0
        thread = threading.Thread(
            target=lambda: (pith.compress_bytes(data, level="max", threads=1), done.set()))  # fmt: skip
        thread.start()
        while not done.wait(0.001):
            ticks += 1
        thread.join()
        self.assertGreater(ticks, 5)


class Writing(Case):
    def test_never_overwrites_unasked(self):
        path = self.folder / "x.pith"
        pith.save(path, {"x": np.zeros(3)})
        with self.assertRaisesRegex(OSError, "overwrite=True"):
            pith.save(path, {"x": np.ones(3)})
        with self.assertRaises(pith.IoError):
            pith.compress(MODEL, path)
        self.assertEqual(pith.open(path)["x"][0], 0)
        pith.save(path, {"x": np.ones(3)}, overwrite=True)
        self.assertEqual(pith.open(path)["x"][0], 1)

    def test_levels_and_threads(self):
        array = np.random.default_rng(0).standard_normal((400, 300)).astype(np.float32)
        hashes = set()
        for level in ("fast", "default", "max"):
            archives = []
            for threads in (1, 3):
                path = self.folder / f"{level}{threads}.pith"
                report = pith.save(path, {"x": array}, level=level, threads=threads)
                self.assertEqual(report.stored, os.path.getsize(path))
                self.assertEqual(report.content_hash, pith.open(path).content_hash)
                self.assertAlmostEqual(report.ratio, report.raw / report.stored)
                archives.append(pith.open(path)["x"].numpy().tobytes())
                hashes.add(pith.open(path).content_hash)
            self.assertEqual(archives, [array.tobytes()] * 2)
        # The entry's name is not part of the content.
        self.assertEqual(len(hashes), 1)

    def test_an_archives_tensors_are_saved_as_they_are(self):
        first = self.saved({"a": pith.bfloat16(random_bits("u2", (900, 800))), "b": np.arange(5)},
                           metadata={"k": "v"})  # fmt: skip
        second = self.saved(dict(first), metadata=first.metadata)
        self.assertEqual(second.content_hash, first.content_hash)
        self.assertEqual(second["a"].raw(), first["a"].raw())

    def test_real_model_round_trip(self):
        report = pith.compress(MODEL, self.folder / "m.pith")
        self.assertGreater(report.ratio, 1.4)
        pith.decompress(self.folder / "m.pith", self.folder / "m.safetensors")
        self.assertEqual((self.folder / "m.safetensors").read_bytes(), MODEL.read_bytes())
        with self.assertRaises(pith.IoError):
            pith.decompress(self.folder / "m.pith", self.folder / "m.safetensors")
        (self.folder / "there").mkdir()
        pith.decompress(self.folder / "m.pith", self.folder / "there")
        self.assertEqual(os.listdir(self.folder / "there"), ["model.safetensors"])
        archive = pith.open(self.folder / "m.pith")
        archive.verify()
        tensors, metadata = parse_safetensors(MODEL.read_bytes())
        self.assertEqual(archive.metadata, metadata)
        self.assertEqual(list(archive), list(tensors))
        for name, (_, shape, data) in tensors.items():
            self.assertEqual(archive[name].raw(), data)
            self.assertEqual(archive[name].shape, shape)
            bits = np.frombuffer(data, np.uint16).astype(np.uint32).reshape(shape) << 16
            self.assertTrue(same_bits(archive[name].numpy().astype(np.float32), bits.view(np.float32)))

    def test_progress(self):
        calls = []
        pith.save(self.folder / "p.pith", {"x": random_bits("f4", (4 << 20,))}, level="default",
                  progress=lambda done, total: calls.append((done, total)))  # fmt: skip
        self.assertEqual(calls, sorted(calls))
        self.assertEqual(calls[-1][0], calls[-1][1])
        self.assertGreater(calls[-1][0], 16 << 20)

    def test_an_exception_in_progress_stops_cleanly(self):
        def stop(done, total):
            raise RuntimeError("enough")

        with self.assertRaisesRegex(RuntimeError, "enough"):
            pith.save(self.folder / "p.pith", {"x": random_bits("f4", (8 << 20,))}, level="max",
                      threads=1, progress=stop)  # fmt: skip
        self.assertEqual(os.listdir(self.folder), [])

    def test_keyboard_interrupt(self):
        data = {"x": random_bits("f4", (16 << 20,))}
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            pith.save(self.folder / "p.pith", data, level="max", threads=1)
        timer.join()
        self.assertEqual(os.listdir(self.folder), [])


class Deltas(Case):
    def setUp(self):
        super().setUp()
        self.old = random_bits("u2", (1000, 512))
        self.new = self.old.copy()
        self.new[::7, 3] ^= 1
        pith.save(self.folder / "base.pith", {"w": pith.bfloat16(self.old)})
        self.report = pith.save(self.folder / "tuned.pith", {"w": pith.bfloat16(self.new)},
                                base=self.folder / "base.pith")  # fmt: skip

    def test_found_beside_the_archive(self):
        self.assertLess(self.report.stored, self.new.nbytes // 20)
        archive = pith.open(self.folder / "tuned.pith")
        self.assertTrue(same_bits(archive["w"].numpy(raw=True), self.new))
        self.assertTrue(same_bits(archive["w"].bits[70:72], self.new[70:72]))
        self.assertEqual(archive.base.content_hash,
                         pith.open(self.folder / "base.pith").content_hash)  # fmt: skip
        self.assertIsNone(pith.open(self.folder / "base.pith").base)

    def test_missing_and_wrong_bases(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        shutil.move(self.folder / "base.pith", elsewhere / "renamed.pith")
        lost = pith.open(self.folder / "tuned.pith")
        self.assertEqual(lost["w"].shape, (1000, 512))
        with self.assertRaises(pith.BaseError):
            lost["w"].numpy()
        with self.assertRaises(pith.Error):
            lost["w"][:2]
        pith.save(self.folder / "other.pith", {"w": pith.bfloat16(self.new)})
        with self.assertRaises(pith.BaseError):
            pith.open(self.folder / "tuned.pith", base=self.folder / "other.pith")["w"].numpy()
        for base in (elsewhere / "renamed.pith", [elsewhere / "renamed.pith"],
                     pith.open(elsewhere / "renamed.pith")):  # fmt: skip
            found = pith.open(self.folder / "tuned.pith", base=base)
            self.assertTrue(same_bits(found["w"].numpy(raw=True), self.new))
        pith.decompress(self.folder / "tuned.pith", self.folder / "t.safetensors",
                        base=elsewhere / "renamed.pith")  # fmt: skip
        tensors, _ = parse_safetensors((self.folder / "t.safetensors").read_bytes())
        self.assertEqual(tensors["w"][2], self.new.tobytes())


class Hostile(Case):
    def setUp(self):
        super().setUp()
        archive = self.saved({"w": pith.bfloat16(random_bits("u2", (40, 50))),
                              "v": np.arange(300, dtype=np.int32)}, metadata={"a": "b"})  # fmt: skip
        self.good = pathlib.Path(archive.path).read_bytes()
        self.expected = {name: archive[name].raw() for name in archive}

    def read_all(self, data):
        archive = pith.open(data, memory_limit=1 << 26)
        return {name: tensor.raw() for name, tensor in archive.items()}

    def test_truncated(self):
        for keep in range(0, len(self.good), 7):
            with self.assertRaises(pith.Error):
                self.read_all(self.good[:keep])

    def test_flipped_bytes(self):
        dice = random.Random(3)
        for _ in range(3000):
            data = bytearray(self.good)
            for _ in range(dice.choice([1, 1, 3])):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            try:
                read = self.read_all(bytes(data))
            except pith.Error:
                continue
            self.assertEqual(read, self.expected)

    def test_not_an_archive(self):
        for data in (b"", b"PITH", bytes(4096), MODEL.read_bytes()[:100000]):
            with self.assertRaises(pith.DataError):
                pith.open(data)
        with self.assertRaises(OSError) as caught:
            pith.open(self.folder / "none.pith")
        self.assertIsInstance(caught.exception, pith.Error)
        with self.assertRaises(pith.IoError):
            pith.open(self.folder)


class Frames(Case):
    def test_every_buffer(self):
        array = np.arange(5000, dtype=np.uint16)
        raw = array.tobytes()
        with tempfile.TemporaryFile(dir=self.folder) as file:
            file.write(raw)
            file.flush()
            with mmap.mmap(file.fileno(), 0) as mapped:
                for data in (raw, bytearray(raw), memoryview(raw), array, array.reshape(50, 100),
                             memoryview(array), mapped):  # fmt: skip
                    frame = pith.compress_bytes(data)
                    self.assertLess(len(frame), len(raw))
                    for held in (frame, bytearray(frame), memoryview(frame)):
                        self.assertEqual(pith.decompress_bytes(held), raw)

    def test_sizes_levels_types_threads(self):
        noise = random_bits("u1", ((9 << 20) + 5,)).tobytes()
        for size in (0, 1, 15, 4096, 4 << 20, (4 << 20) + 1, len(noise)):
            frame = pith.compress_bytes(noise[:size])
            self.assertEqual(pith.decompress_bytes(frame), noise[:size])
            self.assertEqual(frame, pith.compress_bytes(noise[:size], threads=1))
            self.assertLessEqual(len(frame), size + 20 + 20 * (size // (4 << 20) + 1))
        for level in ("fast", "default", "max"):
            for dtype in pith.DTYPES:
                frame = pith.compress_bytes(noise[:9999], dtype, level)
                self.assertEqual(pith.decompress_bytes(frame), noise[:9999], (level, dtype))

    def test_damage(self):
        raw = bytes(range(200)) * 30
        frame = pith.compress_bytes(raw)
        for keep in range(len(frame)):
            with self.assertRaises(pith.DataError):
                pith.decompress_bytes(frame[:keep])
        with self.assertRaises(pith.DataError):
            pith.decompress_bytes(frame + b"x")
        dice = random.Random(1)
        for _ in range(2000):
            data = bytearray(frame)
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            try:
                self.assertEqual(pith.decompress_bytes(data), raw)
            except pith.DataError:
                pass

    def test_limits(self):
        frame = pith.compress_bytes(bytes(1 << 20))
        with self.assertRaises(pith.LimitError):
            pith.decompress_bytes(frame, memory_limit=1000)
        claim = bytearray(frame)
        claim[4:12] = struct.pack("<Q", 1 << 60)
        with self.assertRaises(pith.DataError):
            pith.decompress_bytes(claim)
        with self.assertRaises(TypeError):
            pith.compress_bytes("text")
        with self.assertRaises(TypeError):
            pith.compress_bytes(np.zeros((4, 4)).T[::2])
        with self.assertRaises(pith.UsageError):
            pith.compress_bytes(b"", "f99")


class Safetensors(Case):
    ARRAYS = {
        "b.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
        "a.bias": np.array([1, -2], np.int8),
        "empty": np.zeros((0, 4), np.float16),
        "scalar": np.array(7, np.int64),
    }

    def test_plain_files_keep_the_formats_rules(self):
        path = self.folder / "x.safetensors"
        st.save_file(self.ARRAYS, path, {"format": "np"})
        tensors, metadata = parse_safetensors(path.read_bytes())
        self.assertEqual(metadata, {"format": "np"})
        self.assertEqual({name: entry[:2] for name, entry in tensors.items()},
                         {"b.weight": ("F32", (3, 4)), "a.bias": ("I8", (2,)),
                          "empty": ("F16", (0, 4)), "scalar": ("I64", ())})  # fmt: skip
        for name, array in self.ARRAYS.items():
            self.assertEqual(tensors[name][2], array.tobytes())
        self.assertEqual(struct.unpack("<Q", path.read_bytes()[:8])[0] % 8, 0)
        self.assertEqual(st.save(self.ARRAYS, {"format": "np"}), path.read_bytes())

    def test_both_kinds_load_alike(self):
        for ending in ("safetensors", "pith"):
            path = self.folder / f"x.{ending}"
            st.save_file(self.ARRAYS, path, {"k": "v"})
            st.save_file(self.ARRAYS, path, {"k": "v"})  # replaces
            for loaded in (st.load_file(path), st.load(path.read_bytes()), st.load_file(str(path))):
                self.assertEqual(set(loaded), set(self.ARRAYS))
                for name, array in self.ARRAYS.items():
                    self.assertTrue(same_bits(loaded[name], array), name)
            with st.safe_open(path, framework="np") as file:
                self.assertEqual(file.keys(), sorted(self.ARRAYS))
                self.assertEqual(set(file.offset_keys()), set(self.ARRAYS))
                self.assertEqual(file.metadata(), {"k": "v"})
                self.assertTrue(same_bits(file.get_tensor("a.bias"), self.ARRAYS["a.bias"]))
                part = file.get_slice("b.weight")
                self.assertEqual((part.get_shape(), part.get_dtype()), ([3, 4], "F32"))
                self.assertTrue(same_bits(part[1:, :2], self.ARRAYS["b.weight"][1:, :2]))
                self.assertTrue(same_bits(part[0], self.ARRAYS["b.weight"][0]))
                with self.assertRaises(KeyError):
                    file.get_tensor("none")
            with self.assertRaises(ValueError):
                file.keys()

    def test_a_pith_archive_holds_the_same_file(self):
        st.save_file(self.ARRAYS, self.folder / "x.safetensors", {"k": "v"})
        st.save_file(self.ARRAYS, self.folder / "x.pith", {"k": "v"})
        pith.decompress(self.folder / "x.pith", self.folder / "y.safetensors")
        self.assertEqual((self.folder / "y.safetensors").read_bytes(),
                         (self.folder / "x.safetensors").read_bytes())  # fmt: skip
        self.assertEqual(pith.open(self.folder / "x.pith").files[0].path, "x.safetensors")

    def test_bits_survive_loading_and_saving(self):
        expected = parse_safetensors(MODEL.read_bytes())
        for raw in (st.load_file(MODEL, raw=True), st.load(MODEL.read_bytes(), raw=True)):
            self.assertIsInstance(raw["model.norm.weight"], pith.Bits)
            st.save_file(raw, self.folder / "m.safetensors", {"format": "pt"})
            self.assertEqual(parse_safetensors((self.folder / "m.safetensors").read_bytes()), expected)
        pith.compress(MODEL, self.folder / "m.pith")
        again = st.save(pith.open(self.folder / "m.pith"), {"format": "pt"})
        self.assertEqual(parse_safetensors(again), expected)

    def test_loading_a_plain_file_copies_nothing(self):
        path = self.folder / "x.safetensors"
        st.save_file({"x": np.zeros((1 << 20,), np.float32), "y": np.zeros(2)}, path)
        loaded = st.load_file(path)
        owner = loaded["x"]
        while isinstance(owner, np.ndarray):
            owner = owner.base
        self.assertIsInstance(owner.obj if isinstance(owner, memoryview) else owner, mmap.mmap)
        before = path.read_bytes()
        loaded["x"][:] = 1  # private pages
        self.assertEqual(path.read_bytes(), before)

    def test_bad_files(self):
        good = st.save(self.ARRAYS)
        path = self.folder / "bad.safetensors"
        for data in (b"", b"\0" * 8, good[:20], good[:-1], good + b"x", b"\xff" * 8 + good[8:],
                     good.replace(b"F32", b"F99")):  # fmt: skip
            path.write_bytes(data)
            for load in (lambda: st.load_file(path), lambda: st.load(path.read_bytes()),
                         lambda: st.safe_open(path, "np")):  # fmt: skip
                with self.assertRaises(pith.Error):
                    load()
        with self.assertRaises(FileNotFoundError):
            st.load_file(self.folder / "none.safetensors")

    def test_arguments(self):
        with self.assertRaises(ValueError):
            st.load_file(MODEL, device="cuda")
        with self.assertRaises(ValueError):
            st.safe_open(MODEL, framework="tf")
        with st.safe_open(MODEL, framework="numpy") as file:
            self.assertEqual(file.get_slice("model.norm.weight").get_dtype(), "BF16")


@unittest.skipUnless(torch, "no PyTorch")
class Torch(Case):
    def tensors(self):
        generator = torch.Generator().manual_seed(1)
        base = torch.randn(6, 8, generator=generator)
        names = ["float32", "float64", "float16", "bfloat16", "int8", "int64", "uint8", "bool",
                 "complex64"]  # fmt: skip
        names += [n for n in ("float8_e4m3fn", "float8_e5m2") if hasattr(torch, n)]
        out = {name: base.to(getattr(torch, name)) for name in names}
        out["view"] = base.t()[1:]
        out["scalar"] = torch.tensor(2.5, dtype=torch.bfloat16)
        out["conjugate"] = out["complex64"].conj()
        out["parameter"] = torch.nn.Parameter(base)
        return out

    def equal(self, a, b):
        self.assertEqual((a.dtype, a.shape), (b.dtype, b.shape))
        a, b = a.detach().resolve_conj().contiguous(), b.detach().resolve_conj().contiguous()
        self.assertEqual(a.numpy().tobytes() if a.dtype != torch.bfloat16
                         else a.view(torch.int16).numpy().tobytes(),
                         b.numpy().tobytes() if b.dtype != torch.bfloat16
                         else b.view(torch.int16).numpy().tobytes())  # fmt: skip

    def test_round_trip(self):
        tensors = self.tensors()
        archive = self.saved(tensors)
        for name, tensor in tensors.items():
            self.equal(archive[name].torch(), tensor)

    def test_safetensors_functions(self):
        import pith.safetensors.torch as stt

        tensors = self.tensors()
        for ending in ("safetensors", "pith"):
            path = self.folder / f"x.{ending}"
            stt.save_file(tensors, path, metadata={"format": "pt"})
            for loaded in (stt.load_file(path), stt.load(path.read_bytes())):
                self.assertEqual(set(loaded), set(tensors))
                for name, tensor in tensors.items():
                    self.equal(loaded[name], tensor)
                    loaded[name].zero_()
            with st.safe_open(path, framework="pt", device="cpu") as file:
                self.equal(file.get_tensor("bfloat16"), tensors["bfloat16"])
                self.equal(file.get_tensor("scalar"), tensors["scalar"])
                self.equal(file.get_slice("bfloat16")[2:5, ::3], tensors["bfloat16"][2:5, ::3])
                self.equal(file.get_slice("bfloat16")[3], tensors["bfloat16"][3])
        self.assertEqual(stt.save(tensors, {"format": "pt"}),
                         (self.folder / "x.safetensors").read_bytes())  # fmt: skip

    def test_models_with_tied_weights(self):
        import pith.safetensors.torch as stt

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = torch.nn.Embedding(10, 4)
                self.head = torch.nn.Linear(4, 10, bias=False)
                self.head.weight = self.embed.weight

        first, second = Model(), Model()
        stt.save_model(first, self.folder / "m.safetensors")
        tensors, metadata = parse_safetensors((self.folder / "m.safetensors").read_bytes())
        self.assertEqual((set(tensors), metadata),
                         ({"embed.weight"}, {"head.weight": "embed.weight"}))  # fmt: skip
        self.assertEqual(stt.load_model(second, self.folder / "m.safetensors"), ([], []))
        self.equal(second.head.weight, first.head.weight)
        stt.save_file({"other": torch.zeros(1)}, self.folder / "o.safetensors")
        with self.assertRaises(RuntimeError):
            stt.load_model(second, self.folder / "o.safetensors")


@unittest.skipUnless(os.environ.get("PITH_C_EXAMPLE"), "no C example")
class CExample(Case):
    def run_example(self, *arguments):
        return subprocess.run([os.environ["PITH_C_EXAMPLE"], *map(str, arguments)],
                              capture_output=True, text=True)  # fmt: skip

    def test_agrees_with_python(self):
        pith.compress(MODEL, self.folder / "m.pith")
        archive = pith.open(self.folder / "m.pith")
        listed = self.run_example(self.folder / "m.pith").stdout.splitlines()
        self.assertEqual(listed, [f"{t.name} {t.dtype} {list(t.shape)} {t.nbytes}"
                                  for t in archive.values()])  # fmt: skip
        name = "model.layers.0.mlp.down_proj.weight"
        result = self.run_example(self.folder / "m.pith", name)
        rows = np.array([line.split() for line in result.stdout.splitlines()], np.float32)
        self.assertTrue(np.array_equal(rows, archive[name][:2].astype(np.float32)))

    def test_errors(self):
        result = self.run_example(self.folder / "none.pith")
        self.assertEqual(result.returncode, 1)
        self.assertIn("none.pith", result.stderr)


if __name__ == "__main__":
    unittest.main()
