"""Round trips and results of the command."""

import json
import os
import stat
import struct
import subprocess
import unittest

from command_support import REPOSITORY, CommandTest, gguf, model, next_step, safetensors, weights


class RoundTrips(CommandTest):
    def test_file(self):
        path = self.write("m.safetensors", self.model)
        path.chmod(0o640)
        for level in ("fast", "default", "max"):
            self.ok("compress", "m.safetensors", "--level", level, "-f", "-q")
            self.assertLess(len(self.read("m.safetensors.pith")), len(self.model))
            self.assertEqual(stat.S_IMODE((self.dir / "m.safetensors.pith").stat().st_mode) & 0o027, 0)
            path.unlink()
            self.ok("decompress", "m.safetensors.pith")
            self.assertEqual(self.read("m.safetensors"), self.model)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)

    def test_empty_and_tiny_files(self):
        for data in (b"", b"x", bytes(range(256))):
            self.write("f", data)
            self.ok("compress", "f", "-f")
            self.ok("decompress", "f.pith", "-o", "g", "-f")
            self.assertEqual(self.read("g"), data)

    def test_folder(self):
        files = {"m/a/model.safetensors": self.model, "m/empty": b"", "m/b/c.gguf": gguf()}
        for name, data in files.items():
            self.write(name, data)
        self.ok("compress", "m/")
        self.ok("decompress", "m.pith", "-o", "out")
        for name, data in files.items():
            self.assertEqual(self.read("out" + name[1:]), data)
        self.fails("decompress", "m.pith", names=["m", "--force"])
        os.remove(self.dir / "m/empty")
        self.ok("decompress", "m.pith", "-f")
        self.assertEqual(self.read("m/empty"), b"")
        (self.dir / "there").mkdir()
        self.ok("decompress", "m.pith", "-o", "there")
        self.assertEqual(self.read("there/b/c.gguf"), gguf())

    def test_several_inputs(self):
        self.write("a", b"first" * 50)
        self.write("d/b", b"second" * 50)
        self.fails("compress", "a", "d", code=2, names=["-o"])
        self.ok("compress", "a", "d", "-o", "all.pith")
        self.ok("decompress", "all.pith")
        self.assertEqual(self.read("all/a"), b"first" * 50)
        self.assertEqual(self.read("all/d/b"), b"second" * 50)
        self.ok("decompress", "all.pith", "--file", "d/b", "-o", "only")
        self.assertEqual(self.read("only"), b"second" * 50)
        self.fails("decompress", "all.pith", "-c", code=2, names=["--file"])

    def test_pipes(self):
        packed = self.ok("compress", stdin=self.model).stdout
        self.assertLess(len(packed), len(self.model))
        self.assertEqual(self.ok("decompress", stdin=packed).stdout, self.model)
        self.ok("compress", "-", "-o", "named.pith", stdin=self.model)
        self.ok("decompress", "named.pith")
        self.assertEqual(self.read("named"), self.model)
        self.ok("verify", stdin=packed)
        self.assertEqual(json.loads(self.ok("inspect", "-", "--json", stdin=packed).stdout)["raw"], len(self.model))

    def test_redirected_file_keeps_its_tensors(self):
        self.write("m.safetensors", self.model)
        subprocess.run(f"'{self.pith}' compress < m.safetensors > m.pith", shell=True, cwd=self.dir, check=True,
                       capture_output=True)
        self.assertEqual(len(json.loads(self.ok("inspect", "m.pith", "--json").stdout)["tensors"]), 3)

    def test_sharded_index(self):
        self.write("m-1.safetensors", model(1))
        self.write("m-2.safetensors", safetensors({"b": ("BF16", [512], weights(512))}))
        index = {"metadata": {}, "weight_map": {"lm_head.weight": "m-1.safetensors", "b": "m-2.safetensors"}}
        self.write("m.safetensors.index.json", json.dumps(index).encode())
        self.ok("compress", "m.safetensors.index.json")
        self.ok("decompress", "m.pith", "-o", "out")
        for name in ("m-1.safetensors", "m-2.safetensors", "m.safetensors.index.json"):
            self.assertEqual(self.read("out/" + name), self.read(name))

    def test_base_and_rebase(self):
        self.write("one.safetensors", self.model)
        self.write("two.safetensors", next_step(self.model))
        self.ok("compress", "two.safetensors", "-o", "alone.pith")
        self.ok("compress", "two.safetensors", "--base", "one.safetensors", "-o", "two.pith")
        self.assertLess(len(self.read("two.pith")), len(self.read("alone.pith")))
        self.ok("decompress", "two.pith", "-o", "back")
        self.assertEqual(self.read("back"), self.read("two.safetensors"))
        self.ok("compress", "--rebase", "two.pith", "-o", "flat.pith", "--max")
        os.rename(self.dir / "one.safetensors", self.dir / "moved")
        self.fails("decompress", "two.pith", "-o", "x", names=["one.safetensors"])
        self.ok("decompress", "two.pith", "--base", "moved", "-o", "x")
        self.ok("decompress", "flat.pith", "-o", "y")
        self.assertEqual(self.read("y"), self.read("x"))
        self.fails("decompress", "two.pith", "--base", "alone.pith", "-o", "z")
        self.assertFalse((self.dir / "z").exists())

    def test_thread_counts_give_the_same_bytes(self):
        self.write("m", self.model)
        one = self.ok("compress", "m", "-c", "-T1").stdout
        self.assertEqual(self.ok("compress", "m", "-c", "-T4").stdout, one)

    def test_remove(self):
        self.write("d/m.safetensors", self.model)
        self.write("d/e/f", b"text" * 99)
        self.ok("compress", "d", "--rm")
        self.assertEqual(self.names(), ["d.pith"])
        self.assertFalse((self.dir / "d").exists())
        self.ok("decompress", "d.pith")
        self.assertEqual(self.read("d/e/f"), b"text" * 99)

    def test_remove_keeps_links(self):
        self.write("real", self.model)
        (self.dir / "link").symlink_to("real")
        result = self.ok("compress", "link", "--rm")
        self.assertIn(b"kept", result.stderr)
        self.assertEqual(self.read("link"), self.model)


class Tensors(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("m.safetensors", self.model)
        self.ok("compress", "m.safetensors", "-o", "m.pith", "-q")
        self.weight = weights(8192)

    def test_raw_tensor(self):
        self.assertEqual(self.ok("decompress", "m.pith", "--tensor", "lm_head.weight", "-c").stdout, self.weight)

    def test_rows(self):
        def rows(text):
            return self.ok("decompress", "m.pith", "--tensor", "lm_head.weight", "--rows", text, "-c").stdout
        self.assertEqual(rows("3:5"), self.weight[3 * 256:5 * 256])
        self.assertEqual(rows("62:"), self.weight[62 * 256:])
        self.assertEqual(rows(":1"), self.weight[:256])
        self.assertEqual(rows("7"), self.weight[7 * 256:8 * 256])
        for bad in ("64:65", "5:5", "x", "0:65"):
            self.fails("decompress", "m.pith", "--tensor", "lm_head.weight", "--rows", bad, "-c", code=2)
        self.fails("decompress", "m.pith", "--tensor", "scale", "--rows", "0", "-c", code=2, names=["scale"])

    def test_npy(self):
        self.ok("decompress", "m.pith", "--tensor", "norm.weight", "-o", "n.npy")
        raw = self.read("n.npy")
        self.assertTrue(raw.startswith(b"\x93NUMPY"))
        self.assertIn(b"(32,)", raw)
        self.assertEqual(struct.unpack("<32f", raw[-128:])[31], 1 + 31 / 64)

    def test_safetensors(self):
        self.ok("decompress", "m.pith", "--tensor", "lm_head.weight", "--rows", "1:3", "-o", "t.safetensors")
        described = json.loads(self.ok("inspect", "t.safetensors", "--json").stdout)
        self.assertEqual(described["tensors"][0]["shape"], [2, 128])
        self.assertTrue(self.read("t.safetensors").endswith(self.weight[256:768]))

    def test_unknown_tensor(self):
        self.fails("decompress", "m.pith", "--tensor", "head.weight", "-c", code=2, names=["lm_head.weight"])
        self.fails("decompress", "m.pith", "--tensor", "scale", code=2, names=["-o"])


class Reports(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("m.safetensors", self.model)

    def test_json_everywhere(self):
        report = json.loads(self.ok("compress", "m.safetensors", "--json").stdout)
        self.assertEqual(report["raw"], len(self.model))
        self.assertEqual(len(report["files"][0]["tensors"]), 3)
        archive = json.loads(self.ok("inspect", "m.safetensors.pith", "--json", "--planes").stdout)
        self.assertEqual(archive["stored"], report["stored"])
        self.assertEqual({t["name"] for t in archive["tensors"]}, {"lm_head.weight", "norm.weight", "scale"})
        plain = json.loads(self.ok("inspect", "m.safetensors", "--json").stdout)
        self.assertEqual(plain["metadata"], [["format", "pt"]])
        verified = json.loads(self.ok("verify", "--json", "m.safetensors.pith").stdout)
        self.assertTrue(verified[0]["ok"])
        saved = json.loads(self.ok("recover", "m.safetensors.pith", "-o", "saved", "--json").stdout)
        self.assertEqual(saved["lost_bytes"], 0)
        self.assertEqual(self.read("saved/m.safetensors"), self.model)
        kinds = {r["name"]: r["kind"] for r in json.loads(self.ok("recipes", "--json").stdout)}
        self.assertEqual((kinds["zipnn"], kinds["video"]), ("recipe", "study"))
        self.assertGreaterEqual(len(kinds), 45)
        self.assertIn(b"pith bench video", self.ok("recipes", "S238").stdout)
        for name in ("video", "S238"):
            self.fails("compress", "m.safetensors", "--recipe", name, "-o", "x.pith", code=2,
                       names=["is a study", "pith bench video"])

    def test_tables(self):
        verbose = self.ok("compress", "m.safetensors", "-v").stderr.decode()
        for word in ("lm_head.weight", "bf16", "[64, 128]", "coding", "hashing"):
            self.assertIn(word, verbose)
        text = self.ok("inspect", "m.safetensors.pith", "--tensors", "--metadata", "--planes").stdout.decode()
        for word in ("lm_head.weight", "[64, 128]", "exponent", "format", "pt"):
            self.assertIn(word, text)

    def test_quiet_and_dry_run(self):
        self.assertEqual(self.ok("compress", "m.safetensors", "-q").stderr, b"")
        self.assertEqual(self.ok("verify", "m.safetensors.pith", "-q").stderr, b"")
        os.remove(self.dir / "m.safetensors.pith")
        self.assertIn(b"nothing written", self.ok("compress", "m.safetensors", "--dry-run").stderr)
        self.assertEqual(self.names(), ["m.safetensors"])

    def test_recipes(self):
        self.ok("compress", "m.safetensors", "--recipe", "zipnn", "-O", "level=fast")
        self.ok("decompress", "m.safetensors.pith", "-o", "back")
        self.assertEqual(self.read("back"), self.model)
        self.fails("compress", "m.safetensors", "-f", "--recipe", "nope", code=2, names=["zipnn"])
        self.fails("compress", "m.safetensors", "-f", "--recipe", "zipnn", "-O", "a=b", code=2, names=["'a'"])
        self.fails("compress", "m.safetensors", "-f", "--recipe", "checkpoint-prediction", code=2, names=["--base"])

    def test_the_page_of_recipes_is_up_to_date(self):
        results = REPOSITORY / "docs/recipes-books-test.json"
        page = self.ok("recipes", "--markdown", "--results", results).stdout.decode()
        self.assertEqual((REPOSITORY / "docs/systems.md").read_text(), page,
                         "run: build/release/pith recipes --markdown --results docs/recipes-books-test.json > docs/systems.md")
        self.assertIn("- at most 4.1 bits a weight, on books-test.txt: divergence 0.", page)
        self.write("other.json", b'{"text": "a.txt", "rows": [{"recipe": "gptq"}]}')
        self.fails("recipes", "--markdown", "--results", "other.json", names=["other.json", "asked"])
        self.fails("recipes", "--results", "other.json", code=2, names=["--markdown"])


if __name__ == "__main__":
    unittest.main()
