"""pith bench recipes: equal bytes, rows that fail, interrupted runs; pith recipes --taxonomy."""
import json
import math
import os
import struct
import subprocess
import sys
import time
import unittest

from command_support import REPOSITORY, LanguageModelTest, random_model


class Recipes(LanguageModelTest):
    FEW = ["--text", "long.txt", "--windows", "2", "--tokens", "256"]

    def setUp(self):
        super().setUp()
        random_model(self.dir / "small", self.lm)
        self.write("long.txt", (REPOSITORY / "LICENSE").read_bytes())

    def bench(self, *args):
        return self.ok("bench", "recipes", "small", *self.FEW, "-o", "out", *args)

    def rows(self):
        return json.loads(self.read("out/results.json"))["rows"]

    def test_methods_at_equal_bytes(self):
        out = self.bench("--sizes", "11,8", "--recipes", "gptq,hawq-v3:group=64,wanda", "--json", "j.json", "--svg", "p.svg",
                         "--keep-archives")
        result = json.loads(self.read("j.json"))
        self.assertEqual(result["windows"], 2)
        rows = {(r["recipe"], r["asked"]): r for r in result["rows"]}
        self.assertEqual(list(rows), [(name, size) for name in ("pith", "gptq", "hawq-v3:group=64", "wanda")
                                      for size in (8, 11)])
        for (name, size), row in rows.items():
            if "error" in row:
                self.assertEqual((name, size), ("wanda", 8))
                continue
            archive = self.dir / "out" / f"{name.replace(':', '_')}-{size:g}.pith"
            self.assertEqual(row["bytes"], os.path.getsize(archive))
            self.assertAlmostEqual(row["bits"], 8 * row["bytes"] / result["weights"])
            self.assertLessEqual(row["bits"], size)
            for measured in (row["kl"], row["perplexity"], row["same_best"], row["harm"]["risen"]):
                low, high = measured["interval"]
                self.assertTrue(low <= measured["mean"] <= high, row)
            self.assertEqual(sum(g["tokens"] for g in row["harm"]["by"]["class"]), row["tokens"])
            self.assertEqual(sum(g["tokens"] for g in row["harm"]["by"]["frequency"]), row["tokens"])
            self.assertTrue(0 < row["harm"]["confidence"]["error"] < 1)
            if name == "pith" or size == 11:
                continue
            # What it says makes the same archive.
            subprocess.run(row["command"].replace("pith", str(self.pith), 1).split() + ["-o", "again.pith", "-f", "-q"],
                           cwd=self.dir, check=True)
            self.assertEqual(self.read("again.pith"), archive.read_bytes(), row["command"])
        self.assertIn("are asked for", rows["wanda", 8]["error"])
        self.assertGreater(rows["gptq", 8]["kl"]["mean"], rows["gptq", 11]["kl"]["mean"])
        self.assertLess(rows["pith", 8]["kl"]["mean"], rows["gptq", 8]["kl"]["mean"])
        text = out.stdout.decode()
        self.assertIn("### At most 8 bits a weight", text)
        self.assertRegex(text, rf"\| gptq +\| +{rows['gptq', 8]['setting']} \|")
        self.assertIn("failed: ", text)
        self.assertTrue(self.read("p.svg").startswith(b"<svg"))
        self.assertIn("8 of 8", out.stderr.decode())

    def test_killed_runs_go_on(self):
        args = ["--sizes", "8,9", "--recipes", "quest"]
        command = [self.pith, "bench", "recipes", "small", *self.FEW, "-o", "out", *args]
        run = subprocess.Popen(command, cwd=self.dir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        results = self.dir / "out/results"
        while not (os.path.isdir(results) and any(not n.startswith(".") for n in os.listdir(results))):
            time.sleep(0.02)
            self.assertIsNone(run.poll(), "ended before it could be killed")
        run.kill()
        run.wait()
        for left in self.dir.rglob(".*.part"):  # what only a kill leaves behind
            left.unlink()
        self.assertRegex(self.bench(*args).stderr.decode(), r"[1-3] of 4 archives were measured before")
        rows = self.rows()
        self.assertEqual([(r["recipe"], r["asked"], "kl" in r) for r in rows],
                         [(name, size, True) for name in ("pith", "quest") for size in (8, 9)])
        self.assertFalse(os.path.exists(self.dir / "out/journal"))
        # All is known now, and of another text nothing.
        self.assertIn("4 of 4 archives", self.bench(*args).stderr.decode())
        self.assertEqual(self.rows(), rows)
        self.write("long.txt", self.read("long.txt") + b" More.")
        self.assertNotIn("measured before", self.bench("--sizes", "9", "--recipes", "pith").stderr.decode())

    def test_refuses_before_work(self):
        for args, names in ((["--recipes", "nobody"], ["nobody"]), (["--recipes", "gear"], ["--kv"]),
                            (["--recipes", "gptq:bits=99"], ["bits"]), (["--recipes", "gptq,gptq"], ["twice"]),
                            (["--sizes", "0"], ["--sizes"]), (["--sizes", "3,3"], ["twice"])):
            self.fails("bench", "recipes", "small", *self.FEW, *args, code=2, names=names)
        self.fails("bench", "recipes", "small", "--text", "none.txt", "-o", "out", names=["none.txt"])

    def test_what_cannot_be_sized_is_a_row_that_failed(self):
        self.bench("--sizes", "12", "--recipes", "zipnn,ziplm,mc-moe,late-attention:count=1")
        rows = {r["recipe"]: r for r in self.rows()}
        for name, why in (("zipnn", "no option that sets a size"), ("ziplm", "no option that sets a size"),
                          ("mc-moe", "is for experts")):
            self.assertIn(why, rows[name]["error"])
        self.assertLessEqual(rows["pith"]["bits"], 12)
        # What is left of a model without some parts is as small as Pith makes it.
        row = rows["late-attention:count=1"]
        self.assertLessEqual(row["bits"], 12)
        self.assertIn("--recipe late-attention -O count=1 --bits 12", row["command"])
        self.assertGreater(row["kl"]["mean"], rows["pith"]["kl"]["mean"])

    def test_without_a_text_it_says_what_is_missing(self):
        out = self.ok("bench", "recipes", "small", env={**os.environ, "PITH_DATA": str(self.dir / "none")})
        self.assertIn("skipped: there is no ", out.stdout.decode())
        self.assertIn("PITH_DATA", out.stdout.decode())

    def test_models_beside_the_first(self):
        self.ok("compress", "small", "--recipe", "stat-prune", "-O", "units=50%", "--tokens", "256", "-o", "half.pith", "-q")
        args = ["bench", "speed", "small", "half.pith", "--prompt", "8", "--generate", "2", "--runs", "1"]
        out = self.ok(*args, "--threads", "1", "--cpu-time").stdout.decode()
        self.assertRegex(out, r"\| small +\| +\d+ \| 1\.000 \| +1 \|")
        self.assertRegex(out, r"\| half\.pith +\| +\d+ \| 0\.\d+ \|")
        self.fails(*args, "--cpu-time", code=2, names=["--threads"])

    def test_caches_at_equal_bytes(self):
        args = ["bench", "kv", "--model", "small", "--text", "long.txt", "--tuning", "long.txt", "--quick"]
        out = self.ok(*args, "--cache", "uniform(4, group=32)", "--sizes", "0.5", "-o", "kv.json").stdout.decode()
        self.assertIn("### At most 50% of f16: 8 bits", out)
        rows = json.loads(self.read("kv.json"))["rows"]
        self.assertEqual([r["share"] for r in rows], [0, 0.5])
        self.assertEqual([r["error"] for r in rows], ["", ""])
        self.assertLessEqual(rows[1]["continued"]["bits"], 8)
        self.assertLessEqual({r["cache"] for r in json.loads(self.read("kv.json"))["front"]}, {r["cache"] for r in rows})
        for args in (["--sizes", "2"], ["--sizes", "0.5,0.5"], ["--cache", "uniform("], ["--cache", "stream(bits=0)"],
                     ["--cache", "nonesuch"]):
            self.fails("bench", "kv", *args, code=2, names=[args[0]])

    def test_equal_seeds_give_equal_fronts(self):
        args = ["bench", "kv", "--model", "small", "--text", "long.txt", "--tuning", "long.txt", "--quick", "--sizes", "0.5"]
        args += ["--cache", "uniform(4, group=32)"]

        def measured(name, *more):
            out = self.ok(*args, *more, "-o", name).stdout.decode()
            return json.loads(self.read(name)), out[out.index("### Front of all sizes") :]

        first, front = measured("1.json", "--seed", "5")
        again, same = measured("2.json", "--seed", "5", "-T2")
        other, _ = measured("3.json", "--seed", "6")
        self.assertEqual(first, again)
        self.assertEqual(front, same)
        self.assertGreaterEqual(len(first["front"]), 1)
        for row in first["front"]:
            self.assertIn(f"{row['bits']:.2f}", front)
        # The facts are others, what is read is not.
        self.assertNotEqual([r["recall"] for r in first["rows"]], [r["recall"] for r in other["rows"]])
        self.assertEqual(first["front"], other["front"])

    def test_recipes_on_a_network(self):
        network = REPOSITORY / "data/networks/vit.onnx"
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (8, 1, 24, 24), }".ljust(117) + "\n"
        values = struct.pack("<4608f", *(math.sin(k * k % 997) for k in range(4608)))
        self.write("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + values)
        out = self.ok("bench", "vision", network, "--inputs", "x.npy", "--recipes", "rtn,gptq", "--sizes", "22,12",
                      "--json")
        made, refused = ({row["recipe"]: row for row in s["tables"][0]} for s in json.loads(out.stdout)["sections"]
                         if s["title"].startswith("At most"))
        for name in ("rtn", "gptq"):
            self.assertLessEqual(made[name]["bytes"], 22 * 27812 / 8)
            self.assertIn("smallest archive", refused[name]["setting"])
        self.fails("bench", "vision", network, code=2, names=["--inputs"])

    def test_what_is_coded_as_pictures(self):
        (self.dir / "data").mkdir()
        random_model(self.dir / "data/lm", self.lm, heads=2, head_size=64, width=128, inner=256)
        self.write("text/books-valid.txt", self.read("long.txt"))
        # One coder that loses the lowest two bits of every byte, one that is missing, one that breaks down.
        self.write("coder.py", b"""
import sys
frames, width, height, encoder, most, decoded = sys.argv[1:]
if encoder == "libx265":
    print('{"error": "no such encoder"}')
elif encoder == "libx264":
    data = open(frames, "rb").read()
    open(decoded, "wb").write(bytes(b & 0xFC | 2 for b in data))
    print('{"bytes": %d, "quantizer": 7}' % (len(data) * 3 // 4))
""")
        env = dict(os.environ, PITH_VIDEO=f"{sys.executable} coder.py", PITH_DATA=str(self.dir))
        out = self.ok("bench", "video", "--quick", "--json", env=env).stdout
        report = json.loads(out)
        text = json.dumps(report)
        self.assertIn("libx265 at 3 bits is left out: no such encoder", text)
        self.assertIn("libaom-av1 at 3 bits is left out: $PITH_VIDEO printed no JSON", text)
        for kind in ("weights", "activations", "keys and values", "gradients"):
            self.assertIn(kind, text)
        coded = [line.split("|") for line in self.ok("bench", "video", "--quick", env=env).stdout.decode().splitlines()
                 if line.startswith("| libx264 -qp 7")]
        self.assertEqual(len(coded), 4)
        for cells in coded:
            bits, error, same, ratio = (float(cells[i]) for i in (3, 4, 6, 7))
            self.assertTrue(6 < bits < 6.5 and 0 < error < 0.01, cells)
            self.assertAlmostEqual(ratio, bits / same, delta=0.02)

    def test_taxonomy(self):
        out = json.loads(self.ok("recipes", "--taxonomy", "--json").stdout)
        surveys = {s["survey"] for s in out["surveys"]}
        self.assertEqual(surveys, {"S077", "S209", "S263"})
        named = {name for s in out["surveys"] for row in s["cells"].values() for cell in row.values() for name in cell}
        listed = {r["name"] for r in json.loads(self.ok("recipes", "--json").stdout)
                  if r["area"] == "weights" and r["kind"] == "recipe"}
        self.assertLessEqual(listed, named)
        self.assertTrue(any(cell == [] for s in out["surveys"] for row in s["cells"].values() for cell in row.values()))
        self.assertIn("S209: ", self.ok("recipes", "--taxonomy").stdout.decode())


if __name__ == "__main__":
    unittest.main()
