"""pith compress --recipe: limits that a recipe meets or is refused for, models and options that it does not take."""
import json
import os
import shutil
import subprocess
import sys
import unittest

from command_support import REPOSITORY, LanguageModelTest, random_model


class Recipes(LanguageModelTest):
    FEW = ["--tokens", "128", "-o", "m.pith"]

    def setUp(self):
        super().setUp()
        random_model(self.dir / "small", self.lm)

    def refused(self, *args, names=(), code=2):
        """Before any work, with nothing left."""
        before = self.names()
        result = self.fails("compress", *args, code=code, names=names)
        self.assertEqual(self.names(), before)
        self.assertFalse((self.dir / "m.pith.journal").exists())
        self.assertNotIn("keeps what was done", result.stderr.decode())
        return result

    def bits(self, name="m.pith"):
        return 8 * os.path.getsize(self.dir / name) / 332096  # weights of small

    def test_one_form_turns_what_sets_its_size(self):
        out = self.ok("compress", "small", "--recipe", "rtn", "--bits", "5", *self.FEW)
        self.assertLessEqual(self.bits(), 5)
        self.assertGreater(self.bits(), 4)
        self.assertRegex(out.stderr.decode(), r"of 30 settings: bits=\d group=\d+")
        self.ok("compress", "small", "--recipe", "rtn", "-O", "group=64", "--ratio", "3", "-f", *self.FEW)
        self.assertLessEqual(os.path.getsize(self.dir / "m.pith"), sum(
            p.stat().st_size for p in (self.dir / "small").iterdir()) / 3)
        expected = json.loads(self.ok("compress", "small", "--recipe", "rtn", "--size", "200KiB", "--dry-run", "--json",
                                      *self.FEW[:2]).stdout)
        self.assertLessEqual(expected["bytes"], 200 * 1024)

    def test_limits_out_of_reach_are_refused_before_any_work(self):
        for args in (["rtn", "-O", "bits=4", "-O", "group=64", "--bits", "3"], ["gptq", "--bits", "1"],
                     ["sparsegpt", "--size", "100KiB"], ["wanda", "--bits", "4"]):
            self.refused("small", "--recipe", *args, *self.FEW, names=["bytes are asked for", "smallest archive", "bits a weight"])

    def test_what_loses_nothing_takes_no_limit(self):
        for args in (["--bits", "4"], ["--form", "uniform(4)"], ["--choose", "fast"]):
            self.refused("small", "--recipe", "zipnn", *args, "-o", "m.pith", names=["zipnn loses nothing"])

    def test_names(self):
        for names in (["--recipe", "gptq", "--recipe", "rtn"], ["--recipe", "gptq,awq"]):
            self.refused("small", *names, *self.FEW, names=["not chained", "--bits", "stat-prune"])
        self.refused("small", "--recipe", "gear", *self.FEW, names=["--kv"])
        self.refused("small", "--recipe", "gptqq", *self.FEW, names=["nearest by name: gptq "])
        self.write("q", self.model)
        self.ok("compress", "q")
        self.refused("q.pith", "--recipe", "gptq", *self.FEW, names=["decompress it first"])
        self.refused("q.pith", "--bits", "4", *self.FEW, names=["decompress it first"])
        self.refused("q.pith", "--rebase", "--recipe", "gptq", *self.FEW, names=["decompress it first"])

    def test_models_that_a_recipe_does_nothing_to(self):
        subprocess.run([sys.executable, REPOSITORY / "tools/random_model.py", self.dir / "moe", "--like", self.lm,
                        "--width", "32", "--layers", "2", "--feed-forward", "32", "--experts", "4", "--heads", "2",
                        "--kv-heads", "1"], check=True)
        for recipe, nearest in (("stat-prune", "llm-surgeon"), ("upop", "llm-surgeon"), ("comcat", "fwsvd")):
            self.refused("moe", "--recipe", recipe, *self.FEW, names=["mixtures of experts", nearest])
        self.refused("small", "--recipe", "mc-moe", *self.FEW, names=["has none", "hawq-v3"])
        self.ok("export", "small", "-o", "g.gguf", "--type", "q4_0")
        for recipe in ("stat-prune", "late-attention"):
            self.refused("g.gguf", "--recipe", recipe, *self.FEW, names=["GGUF", "llm-surgeon"])
        shutil.copy(REPOSITORY / "data/networks/waves_full_4_2.onnx", self.dir / "net.onnx")
        for how in (["--recipe", "gptq"], ["--bits", "4"]):
            self.refused("net.onnx", *how, *self.FEW, names=["ONNX", "--inputs"])
        config = json.loads(self.read("small/config.json"))
        (self.dir / "small/config.json").write_text(json.dumps({**config, "model_type": "bert"}))
        self.refused("small", "--recipe", "gptq", *self.FEW, names=["bert", "--form", "zipnn"], code=1)

    def test_factors_of_heads_in_a_gguf_file(self):
        self.ok("export", "small", "-o", "g.gguf", "--type", "q8_0")
        out = self.ok("compress", "g.gguf", "--recipe", "comcat", "--json", *self.FEW)
        self.assertIsNone(json.loads(out.stdout)["fit"]["divergence"])
        self.assertNotIn("divergence to expect", out.stderr.decode())
        self.assertIn("no fit has seen: divergence", out.stderr.decode())

    def test_options_are_refused_before_any_work(self):
        for args, names in ((["gqsa", "-O", "group=48"], ["groups of 48 do not divide rows of 64"]),
                            (["lr2vq", "-O", "length=48"], ["runs of 48"]),
                            (["obert", "-O", "block=5", "-O", "width=45"], ["blocks of 5"]),
                            (["llm-rom", "-O", "keep=200%"], ["keep"]), (["fwsvd", "-O", "keep=200%"], ["keep"]),
                            (["stat-prune", "-O", "units=100%"], ["units must be below 100%"]),
                            (["late-attention", "-O", "of=layers", "-O", "count=2"], ["count", "leave none"])):
            self.refused("small", "--recipe", *args, *self.FEW, names=names)

    def test_another_command_is_refused_before_a_journal_is_gone_on_with(self):
        (self.dir / "m.pith.journal").mkdir()
        out = self.fails("compress", "small", "--recipe", "gptq", "--form", "uniform(8)", *self.FEW, code=2,
                         names=["other options decide"])
        self.assertNotIn("going on with", out.stderr.decode())
        self.assertNotIn("keeps what was done", out.stderr.decode())


if __name__ == "__main__":
    unittest.main()
