"""Every command that a help text, a recipe or the manual shows really runs."""

import json
import os
import re
import subprocess
import sys
import unittest
import zipfile

from command_support import REPOSITORY, LanguageModelTest, gguf, model, next_step, safetensors, weights

COMMANDS = ("compress", "calibrate", "decompress", "inspect", "verify", "recover", "recipes", "run", "kv", "eval", "export")
KV_COMMANDS = ("push", "pull", "inspect")
# Commands that calibrate a model and fit its matrices; those with limits are tried by command_fit_test.py.
LIMITS = re.compile(r"pith calibrate|--(bits|size|ratio|kl|perplexity|latency|choose|forms-of|frontier) ")
RECIPES = re.compile(r"--recipe (?!zipnn|checkpoint-prediction)")
# Of the reference model one layer, and little text.
LITTLE = r" --keep 'layers\.[1-7]|embed' --calibrate little.txt --tokens 128"


def help_examples(text):
    """The lines below "Examples:" without the remark that follows two spaces."""
    lines = text.split("Examples:\n", 1)[1].splitlines()
    return [re.split(r"\s{2,}", line.strip())[0] for line in lines if line.startswith("  ")]


def manual_examples(text):
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


class Examples(LanguageModelTest):
    def prepare(self, command):
        """The files that examples speak of; archives only where they are read, not written."""
        self.write("model.safetensors", self.model)
        self.write("config.json", b'{"model_type": "llama"}')
        self.write("model.gguf", gguf())
        self.write("model/weights.safetensors", self.model)
        index = {"weight_map": {"b": "shard-1.safetensors"}}
        self.write("model.safetensors.index.json", json.dumps(index).encode())
        self.write("shard-1.safetensors", safetensors({"b": ("BF16", [512], weights(512))}))
        self.write("step-1000.safetensors", self.model)
        self.write("step-2000.safetensors", next_step(self.model))
        self.ok("compress", "step-1000.safetensors", "-o", "step-1000.pith")
        os.symlink(self.lm, self.dir / "small")
        if " mixture " in command:
            subprocess.run([sys.executable, REPOSITORY / "tools/random_model.py", self.dir / "mixture", "--like", self.lm,
                            "--width", "128", "--layers", "1", "--feed-forward", "128", "--experts", "4"], check=True)
        self.write("net.onnx", (REPOSITORY / "data/networks/vit.onnx").read_bytes())
        with zipfile.ZipFile(REPOSITORY / "data/networks/vit.npz") as from_, \
                zipfile.ZipFile(self.dir / "images.npz", "w") as to:
            to.writestr("images.npy", from_.read("input.npy"))
        self.write("recipes/results.json", (REPOSITORY / "docs/recipes-books-test.json").read_bytes())
        self.write("little.txt", (REPOSITORY / "docs/command.md").read_bytes()[:4000])
        for name in ("a.txt", "b.txt"):
            self.write(name, b"The ship came in at noon.")
        if "compress" in command.replace("decompress", "") and "--rebase" not in command:
            return
        self.ok("compress", "model.safetensors")
        self.ok("compress", "model.gguf")
        self.write("model.onnx", (REPOSITORY / "data/networks/vit.onnx").read_bytes())
        self.ok("compress", "model.onnx", "--form", "uniform(4, group=32)")
        for name in ("model.pith", "all.pith"):
            self.ok("compress", "model.safetensors", "config.json", "-o", name)
        self.ok("compress", "step-2000.safetensors", "--base", "step-1000.safetensors", "-o", "step.pith")

    def try_example(self, command):
        if LIMITS.search(command):
            return
        if RECIPES.search(command) and ".onnx" not in command:
            command += LITTLE
        self.setUp()
        self.prepare(command)
        environment = dict(os.environ, PATH=f"{self.shared}:{os.environ['PATH']}")
        done = subprocess.run(["bash", "-o", "errexit", "-c", command], cwd=self.dir, env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stderr.decode()}")

    def test_help(self):
        for command in ((), *((c,) for c in COMMANDS), *(("kv", c) for c in KV_COMMANDS)):
            examples = help_examples(self.ok(*command, "--help").stdout.decode())
            self.assertGreaterEqual(len(examples), 2, command)
            for example in examples:
                with self.subTest(example=example):
                    self.try_example(example)

    def test_recipes(self):
        for recipe in json.loads(self.ok("recipes", "--json").stdout):
            if recipe["kind"] != "recipe":
                continue
            with self.subTest(recipe=recipe["name"]):
                self.try_example(recipe["example"])

    def test_manual(self):
        examples = manual_examples((REPOSITORY / "docs/command.md").read_text())
        self.assertGreater(len(examples), 10)
        for example in examples:
            with self.subTest(example=example):
                self.try_example(example)


if __name__ == "__main__":
    unittest.main()
