"""Compressed forms from Python: made, applied, stored, read from archives.

    PYTHONPATH=build/release/python python3 tests/python_form_test.py
"""

import os
import pickle
import threading
import unittest

import numpy as np

import pith
from python_testing import Case, same_bits


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.02, shape).astype(np.float32)


def relative_error(a, b):
    return float(np.square(a - b, dtype=np.float64).sum() / np.square(a, dtype=np.float64).sum())


class Forms(Case):
    def test_apply_is_the_product_with_what_decodes(self):
        weights = normal(70, 192)
        for expression in ("uniform(4, group=64)", "uniform(8)", "uniform(3) + sparse(1%)", "lowrank(4)",
                           "hadamard | uniform(4)", "dense(bf16)"):
            form = pith.form(weights, expression)
            self.assertEqual(form.shape, (70, 192))
            decoded = form.decode()
            for x in (normal(192, seed=1), normal(3, 192, seed=2), normal(2, 5, 192, seed=3)):
                y = form.apply(x)
                self.assertEqual((y.shape, y.dtype), ((*x.shape[:-1], 70), np.float32))
                self.assertTrue(np.allclose(y, x @ decoded.T, rtol=1e-2, atol=1e-2 * np.abs(x @ decoded.T).max()))
                self.assertTrue(same_bits(y, form.apply(x, threads=1)))
            self.assertTrue(same_bits(form.decode(5, 9), decoded[5:9]))
            self.assertTrue(same_bits(np.asarray(form), decoded))

    def test_what_it_says_of_itself(self):
        form = pith.form(normal(16, 128), "uniform(4,group=64)")
        self.assertEqual(form.expression, "uniform(4, group=64)")
        self.assertEqual(form.bits, 8 * len(form.to_bytes()))
        self.assertEqual(form.bits_per_weight, form.bits / (16 * 128))
        self.assertIn("uniform(4, group=64)", repr(form))

    def test_bytes_files_and_pickles(self):
        form = pith.form(normal(16, 128), "uniform(3) + sparse(2%)")
        path = self.folder / "w.form"
        form.save(path)
        with self.assertRaises(pith.IoError):
            form.save(path)
        form.save(path, overwrite=True)
        self.assertEqual(os.listdir(self.folder), ["w.form"])
        for again in (pith.Form.from_bytes(form.to_bytes()), pith.Form.from_bytes(bytearray(form.to_bytes())),
                      pith.Form.load(path), pickle.loads(pickle.dumps(form))):
            self.assertEqual(again.expression, form.expression)
            self.assertTrue(same_bits(again.decode(), form.decode()))
        data = form.to_bytes()
        for bad in (b"", data[:-1], b"\0" * 40, data + b"x"):
            with self.assertRaises(pith.DataError):
                pith.Form.from_bytes(bad)

    def test_every_kind_of_array(self):
        weights = normal(4, 6, 64)
        bits = (weights.view(np.uint32) >> 16).astype(np.uint16)
        exact = pith.bfloat16(bits).numpy().astype(np.float32).reshape(24, 64)
        for array in (pith.bfloat16(bits), (bits, "bf16"), exact.reshape(4, 6, 64), exact.astype(np.float64),
                      exact.astype(">f4"), self.saved({"w": (bits, "bf16")})["w"]):
            self.assertTrue(same_bits(pith.form(array, "dense(f32)").decode(), exact))
        self.assertEqual(pith.form(normal(7), "dense(f32)").shape, (1, 7))
        self.assertEqual(pith.form(weights.T[::2], "dense(f16)").shape, (32 * 6, 4))
        self.assertEqual(pith.form(normal(0, 8), "uniform(4)").apply(normal(2, 8)).shape, (2, 0))

    def test_errors(self):
        weights = normal(4, 64)
        with self.assertRaises(pith.UsageError) as caught:
            pith.form(weights, "uniform(4) + uniform(99)")
        self.assertRegex(str(caught.exception), r"got 99\n.*\n +\^")
        for array, expression, kind in ((weights, "uniform(", pith.UsageError), (weights, "nothing", pith.UsageError),
                                        (np.arange(4), "dense(f32)", pith.UsageError),
                                        (np.float32(1), "dense(f32)", pith.UsageError),
                                        (np.array(["a"]), "dense(f32)", TypeError),
                                        (np.full((2, 64), np.nan, np.float32), "uniform(4)", pith.DataError)):
            with self.assertRaises(kind):
                pith.form(array, expression)
        form = pith.form(weights, "uniform(4)")
        for x in (normal(63), normal(64, 2), np.float32(1)):
            with self.assertRaises(pith.UsageError):
                form.apply(x)
        for rows in ((3, 2), (0, 5), (-1, 2)):
            with self.assertRaises(pith.UsageError):
                form.decode(*rows)

    def test_many_threads_use_one_form(self):
        form = pith.form(normal(64, 256), "uniform(4)")
        x = normal(256, seed=1)
        expected, wrong = form.apply(x), []

        def work():
            for _ in range(20):
                if not same_bits(form.apply(x), expected):
                    wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


class Archives(Case):
    def setUp(self):
        super().setUp()
        self.tensors = {"embed": normal(40, 128), "layer.q": normal(24, 64, seed=1), "norm": normal(64, seed=2),
                        "ids": np.arange(128, dtype=np.int32).reshape(2, 64)}  # fmt: skip

    def test_saved_tensors(self):
        archive = self.saved(self.tensors, forms={"": "uniform(4)", "embed": "uniform(8)", "^norm$": None})
        self.assertEqual(archive.version, (1, 1))
        for name in ("norm", "ids"):
            self.assertIsNone(archive.form(name))
            self.assertIsNone(archive.form_info(name))
            self.assertTrue(same_bits(archive[name].numpy(), self.tensors[name]))
        for name, bits in (("embed", 8), ("layer.q", 4)):
            form, info, array = archive.form(name), archive.form_info(name), archive[name].numpy()
            self.assertTrue(same_bits(form.decode(), array))
            self.assertTrue(same_bits(archive[name][3:7], array[3:7]))
            self.assertTrue(form.expression.startswith(f"uniform({bits}"))
            self.assertEqual((info.expression, info.bytes * 8), (form.expression, form.bits))
            self.assertAlmostEqual(info.error / relative_error(self.tensors[name], array), 1, places=5)
            self.assertAlmostEqual(info.max_error, float(np.abs(self.tensors[name] - array).max()), places=7)
        archive.verify()
        with self.assertRaises(pith.MissingError):
            archive.form("nothing")

    def test_forms_outlive_their_archive(self):
        path = self.folder / "m.pith"
        pith.save(path, self.tensors, forms="uniform(4)")
        for source in (path, path.read_bytes()):
            with pith.open(source) as archive:
                form, expected = archive.form("embed", checked=False), archive["embed"].numpy()
            del archive, source
            self.assertTrue(same_bits(form.decode(), expected))

    def test_compressed_files(self):
        pith.safetensors.numpy.save_file(self.tensors, self.folder / "m.safetensors")
        report = pith.compress(self.folder / "m.safetensors", self.folder / "m.pith", forms="uniform(5)")
        self.assertGreater(report.ratio, 1)
        archive = pith.open(self.folder / "m.pith")
        self.assertEqual([name for name in archive if archive.form_info(name)], ["embed", "layer.q"])
        with self.assertRaises(pith.UsageError):
            pith.compress(self.folder / "m.safetensors", self.folder / "n.pith", forms="uniform(99)")
        with self.assertRaises(pith.UsageError):
            pith.compress(self.folder / "m.safetensors", self.folder / "n.pith", forms={"(": "uniform(4)"})
        self.assertFalse((self.folder / "n.pith").exists())

    def test_saved_again_they_stay_in_their_form(self):
        archive = self.saved(self.tensors, forms="uniform(3)")
        again = self.saved({"renamed": archive["embed"], "norm": archive["norm"], "new": normal(8, 64)})
        self.assertEqual(again.form("renamed").to_bytes(), archive.form("embed").to_bytes())
        self.assertEqual(again.form_info("renamed"), archive.form_info("embed"))
        self.assertIsNone(again.form("new"))
        self.assertTrue(same_bits(again["renamed"].numpy(), archive["embed"].numpy()))
        again.verify()

    def test_not_numbers_are_noted(self):
        odd = normal(40, 64)
        odd[3, 4] = np.inf
        report = pith.save(self.folder / "o.pith", {"odd": odd}, forms="uniform(4)")
        self.assertRegex(report.files[0].notes[0], "odd stays lossless.*row 3, column 4")
        self.assertTrue(same_bits(pith.open(self.folder / "o.pith")["odd"].numpy(), odd))


if __name__ == "__main__":
    unittest.main()
