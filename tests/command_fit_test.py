"""pith compress with limits: interrupted and gone on with, several sizes in one run, what is kept exact."""
import json
import os
import signal
import subprocess
import time
import unittest

from command_support import LanguageModelTest, random_model


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

    def test_rotated_models_run_and_are_near_to_what_they_were(self):
        (self.dir / "t.txt").write_text("The quick brown fox jumps over the lazy dog. " * 40)
        names = {}
        for how, more in (("none", []), ("values", []), ("hadamard", []), ("learned", self.FEW),
                          ("none", ["--smooth", "0.5", "-f", *self.FEW])):
            archive = how + ".pith"
            self.ok("compress", "small", "--form", "uniform(8, group=32)", "--rotate", how, *more, "-o", archive)
            found = json.loads(self.ok("inspect", archive, "--json").stdout)
            names[how] = {t["name"] for t in found["tensors"]}
            out = json.loads(self.ok("eval", archive, "--text", "t.txt", "--against", "small", "--json").stdout)
            self.assertLess(out["divergence"]["kl"]["mean"], 0.05, how)
        self.assertEqual(names["values"], names["none"])
        for how in ("hadamard", "learned"):
            self.assertEqual(names[how], names["none"] | {"lm_head.weight"})
        self.ok("decompress", "hadamard.pith", "-o", "back")
        self.assertFalse(json.loads(next((self.dir / "back").rglob("config.json")).read_text())["tie_word_embeddings"])

    def test_limits_count_a_rotated_head(self):
        self.ok("compress", "small", "--bits", "16", "--rotate", "hadamard", *self.FEW, "-o", "m.pith")
        model = self.read("small/model.safetensors")  # of bf16
        weights = len(model) - 8 - int.from_bytes(model[:8], "little")
        self.assertLessEqual(os.path.getsize(self.dir / "m.pith"), weights)

    def test_rotations_are_refused_where_nothing_is_rounded(self):
        for arguments in (["small"], ["small", "small/config.json", "--form", "uniform(4)"]):
            self.fails("compress", *arguments, "--rotate", "values", "-o", "m.pith", code=2, names=[])
            self.fails("compress", *arguments, "--smooth", "0.5", "-o", "m.pith", code=2, names=[])
        self.fails("compress", "small", "--form", "uniform(4)", "--smooth", "2", "-o", "m.pith", code=2,
                   names=["--smooth"])
        self.fails("compress", "small", "--form", "uniform(4)", "--rotate", "x", "-o", "m.pith", code=2,
                   names=["--rotate: 'x' is not one of none, values, hadamard, learned"])


if __name__ == "__main__":
    unittest.main()
