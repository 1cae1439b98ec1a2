"""pith compress --form: models in compressed forms, from the command."""

import json
import math
import struct
import unittest

from command_support import CommandTest, gguf, safetensors, weights


def floats(raw):
    """bf16"""
    return [struct.unpack("<f", b"\0\0" + raw[i:i + 2])[0] for i in range(0, len(raw), 2)]


def tensors_of(data):
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]] for name, t in header.items()}


class Forms(CommandTest):
    def setUp(self):
        super().setUp()
        self.embed = weights(96 * 128, 5)
        self.model = safetensors({
            "embed": ("BF16", [96, 128], self.embed),
            "layer.q": ("BF16", [48, 128], weights(48 * 128, 6)),
            "layer.norm": ("BF16", [96], weights(96, 7)),
            "lm_head": ("BF16", [96, 128], self.embed),
        }, {"format": "pt"})
        self.write("m.safetensors", self.model)

    def inspect(self, name):
        found = json.loads(self.ok("inspect", name, "--json").stdout)
        return {t["name"]: t["form"] for t in found["tensors"]}

    def test_errors_that_are_reported_are_those_of_what_comes_back(self):
        done = self.ok("compress", "m.safetensors", "--form", "uniform(4, group=32)", "--form", "embed|head=uniform(8)",
                       "--json")
        report = json.loads(done.stdout)
        self.assertFalse(report["lossless"])
        self.ok("verify", "m.safetensors.pith")
        done = self.ok("decompress", "m.safetensors.pith", "-o", "back.safetensors")
        self.assertIn(b"stored with losses: 3 tensors", done.stderr)
        before, after = tensors_of(self.model), tensors_of(self.read("back.safetensors"))
        self.assertEqual(before["layer.norm"], after["layer.norm"])
        forms = self.inspect("m.safetensors.pith")
        self.assertIsNone(forms["layer.norm"])
        self.assertTrue(forms["layer.q"]["expression"].startswith("uniform(4, group=32"))
        self.assertTrue(forms["lm_head"]["expression"].startswith("uniform(8"))
        self.assertAlmostEqual(forms["layer.q"]["bits_per_weight"], 4.5, delta=0.2)
        for tensor in report["files"][0]["tensors"]:
            name, form = tensor["name"], tensor["form"]
            self.assertEqual(form, forms[name])
            if not form:
                continue
            w, v = floats(before[name]), floats(after[name])
            squares = sum(x * x for x in w)
            self.assertTrue(math.isclose(form["error"], sum((x - y)**2 for x, y in zip(w, v)) / squares, rel_tol=1e-6))
            self.assertEqual(form["max_error"], max(abs(x - y) for x, y in zip(w, v)))

    def test_tables(self):
        done = self.ok("compress", "m.safetensors", "--form", "uniform(4)", "-v")
        for text in (b"bits/weight", b"(lossless)", b"(together)", b"uniform(4"):
            self.assertIn(text, done.stderr)
        out = self.ok("inspect", "m.safetensors.pith", "--tensors").stdout
        self.assertIn(b"uniform(4", out)
        self.assertIn(b"error", out)
        self.assertEqual(self.ok("compress", "m.safetensors", "--form", "uniform(4)", "-qf").stderr, b"")

    def test_lossless_and_other_formats(self):
        self.ok("compress", "m.safetensors", "-o", "a.pith", "--form", "uniform(4)", "--lossless", "embed|^lm_")
        forms = self.inspect("a.pith")
        self.assertEqual([n for n, form in forms.items() if form], ["layer.q"])
        self.write("m.gguf", gguf())
        self.ok("compress", "m.gguf", "--form", "dense(bf16)")
        self.ok("decompress", "m.gguf.pith", "-o", "back.gguf")
        self.assertEqual(self.read("back.gguf"), gguf())  # one dimension: left as it is

    def test_usage_errors_show_the_place(self):
        for form, place in (("uniform(9)", "         ^"), ("embed=nothing(4)", "  ^"), ("uniform(4", "^"), ("[=uniform(4)", "")):
            done = self.fails("compress", "m.safetensors", "--form", form, code=2, names=["--form"])
            self.assertIn(place, done.stderr.decode())
        self.fails("compress", "m.safetensors", "--lossless", "x", code=2, names=["--form"])
        self.fails("compress", "m.safetensors", "--rm", "--form", "uniform(4)", code=2, names=["--rm"])
        self.assertEqual(self.names(), ["m.safetensors"])

    def test_numbers_that_a_form_cannot_hold(self):
        odd = bytearray(self.embed)
        odd[2 * 130:2 * 131] = struct.pack("<H", 0x7FC0)
        self.write("n.safetensors", safetensors({"w": ("BF16", [96, 128], bytes(odd)), "v": ("BF16", [96, 128], self.embed)}))
        done = self.ok("compress", "n.safetensors", "--form", "uniform(4)")
        self.assertIn(b"w stays lossless", done.stderr)
        self.assertIn(b"row 1, column 2", done.stderr)
        self.ok("decompress", "n.safetensors.pith", "-o", "back")
        self.assertEqual(tensors_of(self.read("back"))["w"], bytes(odd))

    def test_numbers_that_would_become_infinite(self):
        big = bytearray(self.embed)
        big[2 * 130:2 * 131] = struct.pack("<H", 0x7F00)  # 1.7e38
        self.write("n.safetensors", safetensors({"w": ("BF16", [96, 128], bytes(big))}))
        done = self.ok("compress", "n.safetensors", "--form", "dense(f16)")
        self.assertIn(b"w stays lossless: dense(f16) makes inf of", done.stderr)
        self.ok("decompress", "n.safetensors.pith", "-o", "back")
        self.assertEqual(tensors_of(self.read("back"))["w"], bytes(big))

    def test_blocks_that_need_rows_of_256(self):
        self.write("n.safetensors", safetensors({"wide": ("BF16", [48, 256], self.embed), "w": ("BF16", [96, 128], self.embed)}))
        done = self.ok("compress", "n.safetensors", "--form", "ggml(q4_K)")
        self.assertIn(b"w stays lossless: ", done.stderr)
        self.assertIn(b"128 elements are not whole blocks", done.stderr)
        self.assertEqual(self.inspect("n.safetensors.pith")["wide"]["expression"], "ggml(q4_K)")

    def test_no_matrix_at_all(self):
        self.write("text", b"words " * 100)
        self.assertIn(b"no tensor", self.ok("compress", "text", "--form", "uniform(4)").stderr)
        self.ok("decompress", "text.pith", "-o", "back")
        self.assertEqual(self.read("back"), b"words " * 100)

    def test_pipes_threads_and_writing_again(self):
        self.ok("compress", "m.safetensors", "-o", "m.pith", "--form", "uniform(4)", "-T1")
        self.assertEqual(self.ok("compress", "m.safetensors", "--form", "uniform(4)", "-T4", "-c").stdout, self.read("m.pith"))
        piped = self.ok("compress", "--form", "uniform(4)", stdin=self.model).stdout
        self.write("p.pith", piped)
        self.assertEqual(set(self.inspect("p.pith")), {"embed", "layer.q", "layer.norm", "lm_head"})
        self.ok("compress", "--rebase", "m.pith", "-o", "again.pith", "--max")
        self.assertEqual(self.inspect("again.pith"), self.inspect("m.pith"))
        self.ok("compress", "m.safetensors", "-o", "exact.pith")
        self.ok("compress", "--rebase", "exact.pith", "-o", "late.pith", "--form", "uniform(4)")
        for name in ("m.pith", "p.pith", "again.pith", "late.pith"):
            self.ok("decompress", name, "-o", "back", "-f")
            if name == "m.pith":
                self.write("first", self.read("back"))
            self.assertEqual(self.read("back"), self.read("first"), name)

    def test_one_tensor(self):
        self.ok("compress", "m.safetensors", "-o", "m.pith", "--form", "uniform(4)")
        self.ok("decompress", "m.pith", "-o", "back")
        whole = tensors_of(self.read("back"))["embed"]
        self.assertEqual(self.ok("decompress", "m.pith", "--tensor", "embed", "-c").stdout, whole)
        rows = self.ok("decompress", "m.pith", "--tensor", "embed", "--rows", "3:5", "-c").stdout
        self.assertEqual(rows, whole[3 * 256:5 * 256])

    def test_damage(self):
        self.ok("compress", "m.safetensors", "-o", "m.pith", "--form", "uniform(4)")
        data = bytearray(self.read("m.pith"))
        at = data.index(b"uniform(4") + 2000
        data[at] ^= 1
        self.write("bad.pith", bytes(data))
        self.fails("verify", "bad.pith")
        self.fails("decompress", "bad.pith", "-o", "x", names=["bad.pith"])
        self.assertFalse((self.dir / "x").exists())
        self.write("cut.pith", self.read("m.pith")[:-200])
        done = self.run_pith("recover", "cut.pith", "-o", "saved")
        self.assertIn(done.returncode, (0, 1))


if __name__ == "__main__":
    unittest.main()
