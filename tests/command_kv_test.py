"""pith kv, and pith run with a store: folders, archives, and a Redis server of the test's own."""

import json
import os
import socket
import subprocess
import sys
import time
import unittest

from command_support import NOBODY, SANITIZED, LanguageModelTest, random_model

PROMPT = "It was a dark night, and the wind blew over the hills; nobody was on the road but an old man with his dog."
CHUNK = ("--kv-chunk", "8")
# Runs a command and prints how many KiB of memory it had at most: of a child of a small process, for a program
# begins with what the process had that started it.
RESIDENT = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Kv(LanguageModelTest):
    def answer(self, *args, prompt=PROMPT):
        return json.loads(self.ok("run", "lm", prompt, "-n", "12", "--temperature", "0", "--json", *CHUNK, *args).stdout)

    def check_store(self, where):
        plain = self.answer()
        first = self.answer("--kv-store", where)
        # On a busy machine the model may have read all before the store answers; not every time.
        for _ in range(20):
            second = self.answer("--kv-store", where)
            self.assertEqual(second["store"]["pushed_tokens"], 0)
            if second["store"]["fetched_tokens"] > 0:
                break
        tokens = plain["timing"]["prompt_tokens"]
        whole = tokens // 8 * 8
        self.assertEqual(first["text"], plain["text"])
        self.assertEqual(second["text"], plain["text"])
        self.assertEqual(first["store"]["fetched_tokens"], 0)
        self.assertEqual(first["store"]["pushed_tokens"], whole)
        # The model may read a little while the rest is fetched.
        self.assertGreater(second["store"]["fetched_tokens"], 0)
        self.assertLess(second["timing"]["prompt_tokens"] + second["store"]["recomputed_tokens"], tokens)
        chunks = json.loads(self.ok("kv", "inspect", where, "--json").stdout)["chunks"]
        self.assertEqual([c["first"] for c in chunks], list(range(0, whole, 8)))
        self.assertEqual({c["tokens"] for c in chunks}, {8})
        self.assertEqual(len({c["model"] for c in chunks}), 1)
        self.assertLess(chunks[0]["f16_bytes_over_stored_bytes"], 0.5)
        self.assertIn("f16 bytes / stored", self.ok("kv", "inspect", where).stdout.decode())

    def test_folder_and_archive(self):
        self.check_store("store")
        self.check_store("store.pith")
        self.ok("verify", "-q", "store.pith")

    def test_passages_are_kept_whatever_they_stand_beside(self):
        for name, text in (("a", PROMPT), ("b", PROMPT[::-1]), ("c", PROMPT[40:])):
            (self.dir / f"{name}.txt").write_text(text)

        def answer(*names, more=()):
            passages = [x for n in names for x in ("--passage", f"{n}.txt")]
            return self.answer(*passages, "--passage-prefix", "They say:", "--passage-scale", "0.8", *more,
                               prompt="And then")

        plain = answer("a", "b")
        store = ("--kv-store", "store")
        self.assertEqual(answer("a", more=store)["store"]["fetched_tokens"], 0)
        self.assertGreater(answer("c", more=store)["store"]["pushed_tokens"], 0)
        answer("b", more=store)
        kept = answer("b", "a", more=store)
        self.assertGreater(kept["store"]["fetched_tokens"], 30)
        self.assertEqual(kept["store"]["pushed_tokens"], 0)
        self.assertEqual(answer("a", "b", more=store)["text"], plain["text"])
        self.assertNotEqual(plain["text"], self.answer(prompt="And then")["text"])

    def test_wrong_passages(self):
        (self.dir / "a.txt").write_text(PROMPT)
        (self.dir / "empty.txt").write_text("")
        for wrong, name in ((("--passage", "empty.txt"), "empty.txt"), (("--passage", "none.txt"), "none.txt"),
                            (("--passage", "a.txt", "--passage-scale", "0"), "scale"),
                            (("--passage", "a.txt", "--truncate"), "--truncate"),
                            (("--passage", "a.txt", "--kv", "h2o"), "keep"), (("--passage-scale", "0.5"), "--passage")):
            self.assertIn(name.encode(), self.run_pith("run", "lm", "So", "-n", "2", *wrong).stderr)

    def test_redis(self):
        port = free_port()
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "secret", "--save", "",
             "--dir", str(self.dir)], stdout=subprocess.DEVNULL)
        url = f"redis://:secret@127.0.0.1:{port}/1?ttl=600"
        try:
            for _ in range(100):
                if self.run_pith("kv", "inspect", url).returncode == 0:
                    break
                time.sleep(0.05)
            self.check_store(url)
            self.fails("kv", "inspect", f"redis://127.0.0.1:{port}", code=1, names=["NOAUTH"])
            self.ok("kv", "pull", url, "-o", "copy.pith", "-q")
        finally:
            server.kill()
            server.wait()
        self.assertGreater(self.answer("--kv-store", "copy.pith")["store"]["fetched_tokens"], 0)
        done = self.ok("run", "lm", PROMPT, "-n", "3", *CHUNK, "--kv-store", url)
        self.assertEqual(done.stderr.decode().count("refused"), 1)
        self.assertNotIn("secret", done.stderr.decode())
        self.fails("kv", "push", "lm", "--text", "book.txt", "--kv-store", url, code=1, names=["refused"])

    def test_damage_is_named_and_replaced(self):
        self.answer("--kv-store", "store")
        chunk = sorted((self.dir / "store").iterdir())[0]
        good = chunk.read_bytes()
        chunk.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        self.fails("kv", "pull", "store", code=1, names=[chunk.stem])
        done = self.ok("run", "lm", PROMPT, "-n", "3", *CHUNK, "--kv-store", "store")
        self.assertEqual(done.stderr.decode().count("warning"), 1)
        self.assertEqual(chunk.read_bytes(), good)
        self.ok("kv", "pull", "store")

    def test_coded_chunks_and_caches(self):
        coding = ("--kv-store", "store", "--kv-coding", "uniform(4, group=32)")
        self.ok("kv", "push", "lm", "--text", "book.txt", *coding, "-q")
        chunks = json.loads(self.ok("kv", "inspect", "store", "--json").stdout)["chunks"]
        self.assertGreater(chunks[0]["f16_bytes_over_stored_bytes"], 3)
        cached = ("--kv", "cache(keys=uniform(4), values=uniform(4), window=0)")
        self.assertEqual(self.answer(*coding, *cached)["store"]["fetched_tokens"], 0)
        self.assertGreater(self.answer(*coding, *cached)["store"]["fetched_tokens"], 0)
        # Without what nobody said.
        lines = self.ok("kv", "inspect", "store").stdout.decode().splitlines()[1:-1]
        self.assertEqual({line.split("  ")[-1] for line in lines},
                         {"uniform(4, group=32)", "uniform(4, group=32), read with cache(uniform(4), window=0)"})

    def test_several_codings_and_a_deadline(self):
        codings = ("--kv-store", "store", "--kv-coding", "stream(level=2)", "--kv-coding", "uniform(2, group=8)")
        (self.dir / "prompt.txt").write_text(PROMPT)
        self.ok("kv", "push", "lm", "--text", "prompt.txt", *CHUNK, *codings, "-q")
        chunks = json.loads(self.ok("kv", "inspect", "store", "--json").stdout)["chunks"]
        self.assertEqual(len({c["coding"] for c in chunks}), 2)
        finest = self.answer(*codings)["store"]
        self.assertGreater(finest["fetched_tokens"], 0)
        self.assertEqual(finest["fetched_tokens_in"], [finest["fetched_tokens"], 0])
        late = self.answer(*codings, "--kv-deadline", "1e-9")["store"]
        self.assertEqual(late["fetched_tokens_in"], [0, late["fetched_tokens"]])
        timing = self.ok("run", "lm", PROMPT, "-n", "2", *CHUNK, *codings, "--kv-deadline", "9", "--timing").stderr
        self.assertIn(" + 0 ", timing.decode())
        for wrong, name in ((codings[:4], "--kv-coding"), (codings[2:], "--kv-store"), (codings[:2], "--kv-coding"),
                            ((*codings, "--kv-coding", "uniform(2, group=8)"), "twice")):
            self.fails("run", "lm", "x", *wrong, "--kv-deadline", "1", code=2, names=[name])
        self.fails("run", "lm", "x", *codings, "--kv-deadline", "0", code=2, names=["--kv-deadline"])

    def test_caches_side_by_side(self):
        small = ("kv", "bench", "lm", "--text", "book.txt", "--context", "128", "--windows", "1")
        caches = ("--kv", "cache(uniform(2, group=32), window=0, tile=32)", "--kv", "S023", "--kv-budget", "70")
        full, two_bits, tokens = json.loads(self.ok(*small, *caches, "--json").stdout)
        self.assertEqual(full["bits_per_number"], 32)
        self.assertLess(two_bits["bits_per_number"], 6)
        for row in (two_bits, tokens):
            self.assertLess(row["bits_per_number"], 16)
            self.assertGreater(row["kl"], 0)
            self.assertGreater(row["step_tokens_per_second"], 0)
        self.assertIn("divergence", self.ok(*small, *caches).stdout.decode())
        self.fails(*small[:5], "--context", "5000", code=2, names=["book.txt", "5000"])
        self.fails(*small, "--kv", "no-cache", code=2)

    def test_what_will_be_asked_is_read_with_the_prompt(self):
        keep = "cache(keep=top(attention(latest=16)), budget=50%, window=0, tile=16, prompts={})"
        asked, question = ("--kv", keep.format("asked")), ("--kv-question", "So they said")
        told = self.answer(*asked, *question)
        self.assertGreater(told["timing"]["prompt_tokens"], self.answer(*asked)["timing"]["prompt_tokens"])
        self.assertGreater(len(told["ids"]), 0)
        self.fails("run", "lm", PROMPT, *question, code=2, names=["--kv-question"])
        self.fails("run", "lm", PROMPT, "--kv", keep.format("pieces"), *question, code=2, names=["prompts=asked"])
        self.fails("run", "lm", "--ids", "5,6", *asked, *question, code=2, names=["--ids"])

    def test_prompts_shorter_than_a_chunk(self):
        for prompt in ("", "It"):
            store = self.answer("--kv-store", "store", prompt=prompt)["store"]
            self.assertEqual((store["fetched_tokens"], store["pushed_tokens"]), (0, 0))

    def test_codings_that_cannot_be_are_refused_before_the_model_reads(self):
        run = ("run", "lm", "-", "-n", "1", "--kv-store", "s", "--kv-chunk", "64")
        push = ("kv", "push", "lm", "--text", "book.txt", "--kv-store", "s", "--kv-chunk", "64")
        # A text that would be refused, too, if it were looked at.
        long = b"so " * 5000
        for command in (run, push):
            for coding, name in (("h2o", "h2o"), ("lattice(8)", "lattice"), ("nonesuch", "nonesuch"),
                                 ("gear", "gear"), ("stream(bits=0.01)", "0.01"),
                                 ("cache(keep=top(attention), budget=25%)", "keep"),
                                 ("cache(uniform(4), window=32)", "window"),
                                 ("cache(uniform(4), reads=25%)", "reads")):
                self.fails(*command, "--kv-coding", coding, stdin=long, code=2, names=["--kv-coding", name])
            self.fails(*command[:-1], "50", "--kv-coding", "ggml(q4_0)", stdin=long, code=2,
                       names=["--kv-coding", "50 tokens"])
        self.assertFalse((self.dir / "s").exists())

    def test_rotations_that_are_not_the_models_are_refused(self):
        for name, theta in (("usual", 10000.0), ("long", 500000.0)):
            random_model(self.dir / name, self.lm, layers=1)
            config = json.loads((self.dir / name / "config.json").read_text())
            (self.dir / name / "config.json").write_text(json.dumps(config | {"rope_theta": theta}))
        long = ("long", "--text", "book.txt", "--kv-store", "s", "-q", "--kv-coding")
        self.ok("kv", "push", *long, "stream(level=4)")
        self.ok("kv", "push", *long, "stream(level=4, base=500000)")
        chunks = json.loads(self.ok("kv", "inspect", "s", "--json").stdout)["chunks"]
        self.assertTrue(all("base=500000" in c["coding"] for c in chunks), chunks)
        self.fails("kv", "push", *long, "stream(level=4, base=10000)", code=2, names=["--kv-coding", "10000", "500000"])
        self.fails("run", "long", PROMPT, "--kv-store", "s", "--kv-coding", "stream(neighbours=true)", code=2,
                   names=["--kv-coding", "neighbours"])
        for model in ("usual", "long"):
            self.ok("kv", "profile", model, "--text", "book.txt", "-o", model + ".profile", "-q", "--joined", "head",
                    "--tokens", "300")
        with_profile = 'stream(profile="{}.profile", level=4)'
        self.ok("kv", "push", *long, with_profile.format("long"))
        self.fails("kv", "push", *long, with_profile.format("usual"), code=2, names=["usual.profile", "10000", "500000"])
        cache = 'cache(dense(f16), profile="usual.profile", kept=50%)'
        self.fails("run", "long", PROMPT, "--kv", cache, code=2, names=["--kv", "usual.profile"])
        self.fails("kv", "bench", "long", "--text", "book.txt", "--kv", "stream(level=4)", code=2,
                   names=["--kv", "--kv-coding"])

    def test_archives_that_are_damaged_are_left_as_they_are(self):
        self.answer("--kv-store", "whole.pith")
        plain, whole = self.answer(), self.read("whole.pith")
        for part in (whole[:3000], whole[:-1], whole[:2000] + bytes(b ^ 255 for b in whole[2000:2400]) + whole[2400:]):
            self.write("part.pith", part)
            done = self.ok("run", "lm", PROMPT, "-n", "12", "--temperature", "0", "--json", *CHUNK,
                           "--kv-store", "part.pith")
            self.assertEqual(json.loads(done.stdout)["ids"], plain["ids"])
            self.assertEqual(done.stderr.decode().count("part.pith"), 1, done.stderr)
            self.assertEqual(self.read("part.pith"), part)
        self.write("part.pith", whole[:3000])
        self.fails("kv", "push", "lm", "--text", "book.txt", "--kv-store", "part.pith", code=1, names=["left as it is"])
        self.fails("kv", "pull", "whole.pith", "-o", "part.pith", code=1, names=["left as it is"])
        self.fails("kv", "inspect", "part.pith", code=1, names=["part.pith"])
        self.assertEqual(self.read("part.pith"), whole[:3000])
        # What is no archive was not meant.
        self.write("t.txt", b"mine")
        self.fails("run", "lm", PROMPT, "-n", "1", "--kv-store", "t.txt", code=1, names=["t.txt"])
        self.assertEqual(self.read("t.txt"), b"mine")
        # Nor is an archive of a model.
        self.write("m.safetensors", self.model)
        self.ok("compress", "-q", "m.safetensors")
        archive = self.read("m.safetensors.pith")
        for command in (("run", "lm", PROMPT, "-n", "1"), ("kv", "push", "lm", "--text", "book.txt")):
            self.fails(*command, "--kv-store", "m.safetensors.pith", code=2, names=["m.safetensors.pith", "other files"])
        self.assertEqual(self.read("m.safetensors.pith"), archive)

    def test_what_is_pushed_to_nobody_is_not_read(self):
        # A text that would take minutes, and a model that is not there: neither is looked at.
        port = free_port()
        for store in (f"redis://127.0.0.1:{port}", "gone.pith"):
            self.write("gone.pith", b"\x89PTH\r\n\x1a\n" + bytes(100))
            self.fails("kv", "push", "no-model", "--text", "no-text", "--kv-store", store, code=1, names=[store])

    @unittest.skipUnless(os.geteuid() == 0, "runs as another user")
    def test_folders_that_cannot_be_written_are_told_before_the_model_reads(self):
        (self.dir / "closed").mkdir(mode=0o555)
        for store in ("closed", "closed/new/store"):
            self.fails("kv", "push", "no-model", "--text", "no-text", "--kv-store", store, code=1,
                       names=[store, "cannot be written: Permission denied"], user=NOBODY, group=NOBODY)

    def test_wrong_caches_are_named(self):
        self.write("g.profile", b"no profile")
        for kv, names in ((("",), ["--kv"]), (("nonesuch",), ["--kv", "nonesuch", "pith recipes"]),
                          (("cache(nonesuch)",), ["--kv", "nonesuch"]),
                          (("h2o", "--kv-budget", "0%"), ["--kv-budget", "0%"]),
                          (("h2o", "--kv-budget", "x"), ["--kv-budget", "`x`"]),
                          (("h2o", "--kv-budget", ""), ["--kv-budget"]),
                          (("gear", "--kv-budget", "20%"), ["--kv-budget"]),
                          (("cache(keep=top(attention), budget=0%)",), ["--kv", "0%"]),
                          (("S190", "--kv-profile", ""), ["--kv-profile"])):
            for command in (("run", "lm", PROMPT, "-n", "1"), ("eval", "lm", "--text", "book.txt"),
                            ("kv", "bench", "lm", "--text", "book.txt")):
                if kv[0] == "gear" and command[1] == "bench":
                    continue  # there budgets are for those caches that have one
                self.fails(*command, "--kv", *kv, code=2, names=names)
        self.fails("run", "lm", PROMPT, "--kv", "h2o", "--kv-budget", "8", code=1, names=["--kv-budget", "47"])
        self.fails("run", "lm", PROMPT, "--kv", "S190", "--kv-profile", "g.profile", code=1, names=["g.profile"])
        self.write("two.txt", b"x")
        self.fails("kv", "bench", "lm", "--text", "two.txt", "--context", "64", code=2, names=["two.txt", "2 tokens", "96"])
        # A share that is less than what stays in any case.
        run = ("run", "lm", PROMPT, "-n", "60", "--kv", "h2o")
        self.assertIn(b"47", self.ok(*run, "--kv-budget", "1%").stderr)
        self.assertEqual(self.ok(*run, "--kv-budget", "90%").stderr, b"")
        bench = ("kv", "bench", "lm", "--text", "book.txt", "--context", "200", "--windows", "1", "--kv", "h2o")
        self.assertIn(b"47", self.ok(*bench, "--kv-budget", "1%").stderr)

    @unittest.skipIf(SANITIZED, "their shadow memory is counted too")
    def test_memory_that_is_resident_falls(self):
        random_model(self.dir / "wide", self.lm, layers=1, heads=16, head_size=64, context=4096)
        ids = ",".join(str(3 + i * i % 4000) for i in range(2500))
        read = (self.pith, "run", "wide", "--ids", ids, "-n", "1", "-T", "1", "--json")

        def resident(*cache):
            done = subprocess.run([sys.executable, "-S", "-c", RESIDENT, *read, *cache], cwd=self.dir,
                                  capture_output=True, check=True)
            return int(done.stdout) * 1024

        # 20 MB of keys and values; with the cache those of 768 tokens at most are floats, the others have 4.6 bits.
        plain, small = resident(), resident("--kv", "uniform(4, group=32)")
        self.assertLess(small, plain - 8e6)

    def test_what_is_wrong_is_said(self):
        for wrong in (("--kv-coding", "uniform(4)"), ("--kv-store", "redis://h:0"), ("--kv-store", "http://h"),
                      ("--kv-store", "s", "--kv-coding", "no-form"), ("--kv-store", "s", "--kv-chunk", "0")):
            self.fails("run", "lm", "x", *wrong, code=2)
        self.fails("kv", code=2)
        self.fails("kv", "push", "lm", "--text", "book.txt", code=2, names=["--kv-store"])
        self.fails("kv", "inspect", "nowhere", code=1, names=["nowhere"])
        self.fails("kv", "pull", "nowhere.pith", code=1, names=["nowhere.pith"])


if __name__ == "__main__":
    unittest.main()
