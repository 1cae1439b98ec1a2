"""pith compress with limits: interrupted and gone on with, several sizes in one run, what is kept exact."""
import json
import os
import signal
import subprocess
import time
import unittest

import numpy as np

from command_support import LanguageModelTest, safetensors


WIDTH, INNER, LAYERS, HEADS = 64, 96, 2, 4


def random_model(folder, lm):
    """A model so small that all of it is fitted at once, with the reference model's tokenizer."""
    random = np.random.default_rng(1)
    shapes = {"model.embed_tokens.weight": (4096, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        shapes |= {at + f"self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        shapes |= {at + f"mlp.{name}_proj.weight": (INNER, WIDTH) for name in ("gate", "up")}
        shapes[at + "mlp.down_proj.weight"] = (WIDTH, INNER)
        shapes |= {at + f"{name}_layernorm.weight": (WIDTH,) for name in ("input", "post_attention")}
    tensors = {}
    for name, shape in shapes.items():
        values = np.ones(shape) if len(shape) == 1 else random.standard_normal(shape) * 1.5 / np.sqrt(shape[1])
        raw = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        tensors[name] = ("BF16", list(shape), raw)
    config = {"model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
              "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "vocab_size": 4096, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "max_position_embeddings": 512, "tie_word_embeddings": True, "hidden_act": "silu",
              "bos_token_id": 1, "eos_token_id": 2}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    os.symlink(lm / "tokenizer.model", folder / "tokenizer.model")


class Fit(LanguageModelTest):
    FEW = ["--tokens", "256"]

    def setUp(self):
        super().setUp()
        random_model(self.dir / "small", self.lm)

    def test_interrupted_runs_go_on_and_give_the_same_bytes(self):
        command = ["compress", "small", "--bits", "6.5", *self.FEW]
        self.ok(*command, "-o", "whole.pith")
        journal = (self.dir / "m.pith.journal")
        run = subprocess.Popen([self.pith, *command, "-o", "m.pith"], cwd=self.dir, stderr=subprocess.PIPE, text=True)
        for _ in range(3000):
            if os.path.isdir(journal) and len(os.listdir(journal)) > 3:
                break
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        error = run.communicate(timeout=60)[1]
        self.assertEqual(run.returncode, 130, error)
        self.assertIn("m.pith.journal keeps what was done", error)
        self.assertFalse(os.path.exists((self.dir / "m.pith")))
        again = self.ok(*command, "-o", "m.pith")
        self.assertIn("going on with what an earlier run did", again.stderr.decode())
        self.assertFalse(os.path.exists(journal))
        self.assertEqual(self.read("m.pith"), self.read("whole.pith"))

    def test_killed_runs_go_on(self):
        command = ["compress", "small", "--bits", "6.5", "--fast", *self.FEW, "-o", "m.pith"]
        journal = (self.dir / "m.pith.journal")
        run = subprocess.Popen([self.pith, *command], cwd=self.dir, stderr=subprocess.DEVNULL)
        while not (os.path.isdir(journal) and len(os.listdir(journal)) > 2):
            time.sleep(0.02)
            self.assertIsNone(run.poll(), "ended before it could be killed")
        run.kill()
        run.wait()
        self.ok(*command)
        self.ok(*command[:-1], "other.pith")
        self.assertEqual(self.read("m.pith"), self.read("other.pith"))

    def test_frontier_writes_each_size_and_a_plot(self):
        out = self.ok("compress", "small", "--frontier", "6.5,5.5", *self.FEW, "--json", "-o", "m.pith")
        points = json.loads(out.stdout)["frontier"]
        self.assertEqual([p["asked"] for p in points], [5.5, 6.5])
        for p, name in zip(points, ["m-5.5.pith", "m-6.5.pith"]):
            size = os.path.getsize(self.dir / name)
            self.assertEqual(p["bytes"], size)
            self.assertLessEqual(p["bits"], p["asked"])
            self.assertGreater(p["bits"], p["asked"] - 0.1)
            self.ok("verify", name)
        losses = [p["fit"]["held_out"]["divergence"] for p in points]
        self.assertGreater(losses[0], losses[1])
        self.assertIn("same best", out.stderr.decode())
        self.assertTrue(self.read("m.svg").startswith(b"<svg"))
        # The same size alone gives the same archive.
        self.ok("compress", "small", "--bits", "6.5", *self.FEW, "-o", "alone.pith")
        self.assertEqual(self.read("alone.pith"), self.read("m-6.5.pith"))
        self.fails("compress", "small", "--frontier", "6.5", "-o", "m.pith", names=["m-6.5.pith", "exists"])

    def test_frontier_refuses_what_it_cannot_do(self):
        for more in (["--frontier", "3,x"], ["--frontier", "0"], ["--frontier", "3,3"], ["--frontier", "3", "--bits", "4"],
                     ["--frontier", "3", "-c"], ["--frontier", "3", "--choose", "uniform(4)"]):
            self.fails("compress", "small", *more, code=2, names=["frontier"])

    def test_what_is_kept_comes_back_bit_for_bit(self):
        self.ok("compress", "small", "--bits", "12", "--keep", r"layers\.1|embed", "--fast", "-o", "m.pith")
        out = json.loads(self.ok("inspect", "m.pith", "--json").stdout)
        for tensor in out["tensors"]:
            name = tensor["name"]
            kept = "layers.1." in name or "norm" in name or "embed" in name
            self.assertEqual(tensor["form"] is None, kept, name)


if __name__ == "__main__":
    unittest.main()
