"""Writing archives and coding buffers in Python."""

import mmap
import os
import random
import signal
import struct
import tempfile
import threading
import unittest

import numpy as np

import pith
from python_testing import MODEL, parse_safetensors, random_bits, same_bits, Case


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


if __name__ == "__main__":
    unittest.main()
