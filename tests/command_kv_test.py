"""pith kv, and pith run with a store: folders, archives, and a Redis server of the test's own."""

import json
import socket
import subprocess
import time
import unittest

from command_support import LanguageModelTest

PROMPT = "It was a dark night, and the wind blew over the hills; nobody was on the road but an old man with his dog."
CHUNK = ("--kv-chunk", "8")


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
        second = self.answer("--kv-store", where)
        tokens = plain["timing"]["prompt_tokens"]
        whole = tokens // 8 * 8
        self.assertEqual(first["text"], plain["text"])
        self.assertEqual(second["text"], plain["text"])
        self.assertEqual(first["store"]["fetched_tokens"], 0)
        self.assertEqual(first["store"]["pushed_tokens"], whole)
        self.assertEqual(second["store"]["pushed_tokens"], 0)
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

    def test_prompts_shorter_than_a_chunk(self):
        for prompt in ("", "It"):
            store = self.answer("--kv-store", "store", prompt=prompt)["store"]
            self.assertEqual((store["fetched_tokens"], store["pushed_tokens"]), (0, 0))

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
