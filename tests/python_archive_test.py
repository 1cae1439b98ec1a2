"""Archives in Python: reading, hostile input, threads, and the C example beside it."""

import gc
import os
import pathlib
import pickle
import random
import shutil
import subprocess
import threading
import unittest

import numpy as np

import pith
from pith import safetensors as st
from python_testing import MODEL, parse_safetensors, random_bits, same_bits, Case


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
