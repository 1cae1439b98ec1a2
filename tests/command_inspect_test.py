"""pith inspect of models: the form of each tensor, its bits and its error."""

import json
import os
import unittest

from command_support import LanguageModelTest, gguf, weights, safetensors

WEIGHTS = 7344384


class InspectModel(LanguageModelTest):
    def inspect(self, *args):
        return json.loads(self.ok("inspect", *args, "--json").stdout)

    def line(self, text, start):
        found = [line.split() for line in text.splitlines() if line.startswith(start)]
        self.assertEqual(len(found), 1, f"{start}: {text}")
        return found[0]

    def test_folder(self):
        found = self.inspect("lm")
        self.assertEqual((found["folder"], [f["file"] for f in found["files"]]), ("lm", ["model.safetensors"]))
        self.assertEqual(found["total"], {"tensors": 74, "weights": WEIGHTS, "raw": 2 * WEIGHTS, "stored": 2 * WEIGHTS,
                                          "bits_per_weight": 16})
        self.assertEqual({t["form"]["expression"] for t in found["tensors"]}, {"dense(bf16)"})
        self.assertEqual({t["file"] for t in found["tensors"]}, {"model.safetensors"})
        self.assertTrue(found["model"]["runs"])
        self.assertEqual([found["model"][k] for k in ("architecture", "layers", "width", "vocabulary", "context")],
                         ["llama", 8, 256, 4096, 2048])
        self.assertEqual(len(self.inspect("lm", "--planes")["planes"]), 74)
        text = self.ok("inspect", "lm", "--tensors", "--metadata").stdout.decode()
        self.assertEqual(self.line(text, "model.embed_tokens.weight  ")[1:6],
                         ["bf16", "dense(bf16)", "[4096,", "256]", "16.000"])
        self.assertEqual(self.line(text, "(together)  ")[1], "16.000")
        self.assertIn("8 layers of width 256", text)

    def test_files_of_a_folder_are_added_up(self):
        self.write("two/a.safetensors", self.model)
        self.write("two/b.safetensors", safetensors({"b": ("I32", [2, 64], weights(256))}))
        self.write("two/notes.txt", b"no tensors")
        self.write("two/inner/c.safetensors", self.model)
        os.symlink("nowhere", self.dir / "two/broken.safetensors")
        found = self.inspect("two")
        self.assertEqual([f["file"] for f in found["files"]], ["a.safetensors", "b.safetensors"])
        self.assertEqual(found["total"]["tensors"], 4)
        self.assertIsNone(found["model"])
        self.assertIsNone(found["tensors"][-1]["form"])
        self.assertNotIn("model  ", self.ok("inspect", "two").stdout.decode())
        os.mkdir(self.dir / "empty")
        self.fails("inspect", "empty", names=["empty", "tensors"])

    def test_gguf(self):
        self.ok("export", "lm", "-o", "lm.gguf", "--type", "q4_K")
        found = self.inspect("lm.gguf")
        forms = {t["name"]: t["form"] for t in found["tensors"]}
        self.assertEqual(forms["token_embd.weight"],
                         {"expression": "ggml(q4_K)", "bytes": 4096 * 144, "bits_per_weight": 4.5})
        self.assertEqual(forms["output_norm.weight"]["expression"], "dense(f32)")
        total = found["total"]
        self.assertEqual((total["tensors"], total["weights"]), (74, WEIGHTS))
        self.assertEqual(total["raw"], sum(t["raw"] for t in found["tensors"]))
        self.assertAlmostEqual(total["bits_per_weight"], 8 * total["raw"] / WEIGHTS)
        self.assertEqual((found["model"]["architecture"], found["model"]["kv_heads"]), ("llama", 2))
        text = self.ok("inspect", "lm.gguf").stdout.decode()
        self.assertEqual(self.line(text, "q4_K")[:2], ["q4_K", "ggml(q4_K)"])
        self.assertEqual(self.line(text, "(together)")[1:3], ["74", str(WEIGHTS)])

    def test_archive_with_forms(self):
        self.ok("compress", "lm", "-o", "m.pith", "--form", "uniform(4, group=64)", "--form", "embed=ggml(q6_K)")
        found = self.inspect("m.pith")
        forms = {t["name"]: t["form"] for t in found["tensors"]}
        embed, up = forms["model.embed_tokens.weight"], forms["model.layers.0.mlp.up_proj.weight"]
        self.assertEqual(embed["expression"], "ggml(q6_K)")
        self.assertLess(embed["error"], up["error"])
        self.assertAlmostEqual(embed["bits_per_weight"], 6.5625, delta=0.01)
        self.assertIsNone(forms["model.norm.weight"])
        self.assertAlmostEqual(found["total"]["bits_per_weight"], 8 * found["total"]["stored"] / WEIGHTS)
        self.assertEqual(found["total"]["stored"], sum(t["stored"] for t in found["tensors"]))
        self.assertTrue(found["model"]["runs"])
        text = self.ok("inspect", "m.pith", "--tensors").stdout.decode()
        row = self.line(text, "model.embed_tokens.weight  ")
        self.assertIn(f"{embed['bits_per_weight']:.3f}", row)
        self.assertIn(f"{embed['error']:.1e}", row)
        self.assertIn("ggml(q6_K)", row)
        self.assertEqual(text.count("(together)"), 2, "of tensors, and of forms")

    def test_lossless_archive(self):
        self.ok("compress", "lm", "-o", "m.pith")
        found = self.inspect("m.pith")
        self.assertLess(found["total"]["bits_per_weight"], 12)
        text = self.ok("inspect", "m.pith").stdout.decode()
        self.assertEqual(self.line(text, "(together)")[1:4],
                         ["74", str(WEIGHTS), f"{found['total']['bits_per_weight']:.3f}"])
        self.assertIn("model    llama", text)
        packed = self.ok("compress", "lm", "-c").stdout
        self.assertIsNone(json.loads(self.ok("inspect", "-", "--json", stdin=packed).stdout)["model"])

    def test_models_that_do_not_run(self):
        self.write("m.gguf", gguf())
        self.assertFalse(self.inspect("m.gguf")["model"]["runs"])
        self.assertIn("does not run: m.gguf", self.ok("inspect", "m.gguf").stdout.decode())
        self.write("folder/config.json", b'{"model_type": "bert"}')
        self.write("folder/m.safetensors", self.model)
        self.assertIn("bert", self.inspect("folder")["model"]["why_not"])
        self.write("plain.safetensors", self.model)
        self.assertIsNone(self.inspect("plain.safetensors")["model"])


if __name__ == "__main__":
    unittest.main()
