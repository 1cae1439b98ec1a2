"""pith eval: how well a language model predicts a text."""

import json
import math
import struct
import unittest

from command_support import REPOSITORY, CommandTest, LanguageModelTest


class Eval(LanguageModelTest):
    def measure(self, *args, model="lm", **options):
        return json.loads(self.ok("eval", model, "--text", "book.txt", *args, "--json", **options).stdout)

    def other_model(self):
        """The model with the sign of one bias-like weight in each hundred flipped."""
        folder = self.model_folder("other", ["config.json", "tokenizer.model"])
        raw = bytearray((self.lm / "model.safetensors").read_bytes())
        start = 8 + struct.unpack("<Q", raw[:8])[0]
        for at in range(start + 1, len(raw), 200):
            raw[at] ^= 0x80
        (folder / "model.safetensors").write_bytes(raw)

    def test_protocol_is_told(self):
        result = self.measure("--context", "64", "--windows", "3")
        protocol = result["protocol"]
        self.assertEqual(protocol["scored_tokens"], 192)
        self.assertEqual((protocol["context"], protocol["windows"], protocol["bos"]), (64, 3, True))
        self.assertAlmostEqual(math.exp(result["loss"]["mean"]), result["perplexity"])
        self.assertLess(result["perplexity"], 1000, "far from the vocabulary of 4096")
        self.assertGreater(result["perplexity"], 5)
        self.assertGreater(result["loss"]["window_error"], 0)
        low, high = result["loss"]["interval"]
        self.assertLess(low, result["loss"]["mean"])
        self.assertLess(result["loss"]["mean"], high)

    def test_windows(self):
        tokens = self.measure("--context", "64", "--windows", "1")["protocol"]["text_tokens"]
        self.assertEqual(self.measure("--context", "64", "--no-bos")["protocol"]["windows"], (tokens - 1) // 64)
        skipped = self.measure("--context", "64", "--windows", "2", "--skip-first", "32")["protocol"]
        self.assertEqual(skipped["scored_tokens"], 64)
        strided = self.measure("--context", "64", "--windows", "3", "--stride", "16")["protocol"]
        self.assertEqual(strided["scored_tokens"], 64 + 2 * 16)

    def test_threads_change_nothing(self):
        first = self.measure("--windows", "2", "--context", "64", "-T1")
        second = self.measure("--windows", "2", "--context", "64", "-T2")
        for result in (first, second):
            del result["seconds"]
        self.assertEqual(first, second)

    def test_against_itself(self):
        divergence = self.measure("--windows", "2", "--context", "64", "--against", "lm")["divergence"]
        self.assertEqual(divergence["kl"]["mean"], 0)
        self.assertEqual(divergence["same_best"]["mean"], 1)

    def test_forms_of_a_cache(self):
        def lost(kv):
            result = self.measure("--windows", "1", "--context", "400", "--kv", kv)
            self.assertEqual(result["kv"], kv)
            self.assertEqual(result["reference"]["model"], "lm")
            return result["divergence"]["kl"]["mean"]
        self.assertLess(lost("dense(f32)"), 1e-6)
        self.assertLess(lost("uniform(4, group=32)"), lost("uniform(2, group=32)"))
        self.fails("eval", "lm", "--text", "lm/config.json", "--kv", "unform(4)", code=2, names=["unform"])

    def test_against_another(self):
        self.other_model()
        options = ("--windows", "2", "--context", "64", "--changed", "4")
        result = self.measure(*options, "--against", "lm", model="other")
        divergence = result["divergence"]
        self.assertGreater(divergence["kl"]["mean"], 0)
        self.assertGreater(divergence["kl_99_9"], divergence["kl_median"])
        self.assertLess(divergence["same_best"]["mean"], 1)
        alone = self.measure(*options)
        self.assertEqual(result["reference"]["loss"], alone["loss"])
        self.assertAlmostEqual(divergence["loss_difference"]["mean"], result["loss"]["mean"] - alone["loss"]["mean"])
        self.assertEqual(len(divergence["changed"]), 4)
        harm = result["harm"]
        self.assertAlmostEqual(harm["all"]["kl"], divergence["kl"]["mean"])
        self.assertAlmostEqual(harm["all"]["flips"], 1 - divergence["same_best"]["mean"])
        self.assertEqual(sum(g["tokens"] for g in harm["by"]["class"]), harm["all"]["tokens"])
        self.assertEqual(divergence["changed"][0]["kl"], divergence["kl_max"])
        text = self.ok("eval", "other", "--against", "lm", "--text", "book.txt", *options).stdout.decode()
        for word in ("KL divergence", "99.9%", "same most probable token", "2 windows of 64", "bos", "changed most", "Whom it hurt"):
            self.assertIn(word, text)

    def test_text_from_standard_input(self):
        book = (self.dir / "book.txt").read_bytes()
        piped = json.loads(self.ok("eval", "lm", "--text", "-", "--context", "64", "--windows", "2", "--json",
                                   stdin=book).stdout)
        self.assertEqual(piped["loss"], self.measure("--context", "64", "--windows", "2")["loss"])

    def test_short_text_is_one_window(self):
        self.write("book.txt", b"It was a dark night.")
        result = self.measure()
        self.assertEqual(result["protocol"]["windows"], 1)
        self.assertEqual(result["protocol"]["scored_tokens"], result["protocol"]["text_tokens"])
        self.assertIsNone(result["loss"]["window_error"])

    def test_what_cannot_be_measured(self):
        self.fails("eval", "lm", code=2, names=["--text"])
        self.fails("eval", "lm", "--text", "absent", names=["absent"])
        self.write("empty", b"")
        self.fails("eval", "lm", "--text", "empty", code=2)
        for wrong in (("--context", "0"), ("--stride", "999"), ("--skip-first", "512"), ("--bos", "--no-bos")):
            self.fails("eval", "lm", "--text", "book.txt", *wrong, code=2)
        self.model_folder("bare", ["config.json", "model.safetensors"])
        self.fails("eval", "bare", "--text", "book.txt", names=["tokenizer"])
        self.measure("--context", "64", "--windows", "1", "--against", "lm", model="bare")


class Networks(CommandTest):
    NETWORK = REPOSITORY / "data/networks/vit.onnx"

    def measure(self, model, *args):
        return json.loads(self.ok("eval", model, "--against", self.NETWORK, *args, "--json").stdout)

    def small(self, bits):
        self.ok("compress", self.NETWORK, "--form", f"uniform({bits}, group=32)", "-o", f"{bits}.pith")
        return f"{bits}.pith"

    def test_more_bits_lose_less(self):
        self.assertEqual(self.measure(self.NETWORK)["outputs"][0]["error"], 0)
        four, six = (self.measure(self.small(bits)) for bits in (4, 6))
        self.assertEqual(four["outputs"][0]["shape"], [8, 10])
        self.assertLess(four["bytes"], six["bytes"])
        self.assertLess(six["bytes"], six["against_bytes"])
        self.assertGreater(four["outputs"][0]["error"], 2 * six["outputs"][0]["error"])
        self.assertGreater(six["outputs"][0]["error"], 0)

    def test_an_archive_computes_what_its_file_does(self):
        archive = self.small(4)
        self.ok("decompress", archive, "-o", "back.onnx")
        self.assertEqual(self.measure(archive)["outputs"], self.measure("back.onnx")["outputs"])

    def test_inputs(self):
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 24, 24), }".ljust(117) + "\n"
        values = struct.pack("<1152f", *(math.sin(k) for k in range(1152)))
        self.write("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + values)
        self.assertEqual(self.measure(self.small(4), "--inputs", "x.npy")["outputs"][0]["shape"], [2, 10])
        self.fails("eval", self.NETWORK, "--against", self.NETWORK, "--inputs",
                   REPOSITORY / "data/networks/vit.npz", code=2, names=["images"])

    def test_refusals(self):
        self.fails("eval", self.NETWORK, code=2, names=["--against"])
        self.fails("eval", self.NETWORK, "--against", self.NETWORK, "--text", "x", code=2, names=["--text"])
        self.fails("eval", self.NETWORK, "--against", REPOSITORY / "data/networks/operators.onnx",
                   "--inputs", REPOSITORY / "data/networks/operators.npz", code=2, names=["called x"])


if __name__ == "__main__":
    unittest.main()
