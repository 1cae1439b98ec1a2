"""Language models from Python: tokens, logits, text, measurements.

    PYTHONPATH=build/release/python PITH=build/release/pith python3 tests/python_model_test.py
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import numpy as np

import pith
from pith import _pith
from python_testing import SOURCE, Case, same_bits

LM = SOURCE / "data/lm"
TEXT = "It was a dark night, and"
# In the manner of ChatML; the tokenizer has no such control tokens, so they are read as text.
TEMPLATE = ("{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant]{% endif %}")  # fmt: skip
COMMAND = os.environ.get("PITH")


def command(*args, **options):
    done = subprocess.run([COMMAND, *map(str, args)], capture_output=True, check=True, timeout=120, **options)
    return json.loads(done.stdout)


class ModelCase(Case):
    @classmethod
    def setUpClass(cls):
        cls.model = pith.load_model(LM)

    def model_folder(self, name, files=("config.json", "tokenizer.model", "model.safetensors")):
        folder = self.folder / name
        folder.mkdir()
        for file in files:
            os.symlink(LM / file, folder / file)
        return folder

    def chat_model(self, template=TEMPLATE):
        folder = self.model_folder(f"chat{len(os.listdir(self.folder))}")
        (folder / "chat_template.jinja").write_text(template)
        return pith.load_model(folder)


class Loading(ModelCase):
    def test_what_it_says_of_itself(self):
        config = self.model.config
        self.assertEqual((config.architecture, config.layers, config.width, config.heads, config.kv_heads),
                         ("llama", 8, 256, 4, 2))
        self.assertEqual((config.vocabulary, config.bos, config.end_tokens, config.experts), (4096, 1, (2,), 0))
        self.assertTrue(config.tied_embeddings)
        self.assertEqual(self.model.path, str(LM))
        self.assertEqual(self.model.weight_bytes, 2 * 7344384)
        self.assertTrue(self.model.has_tokenizer)
        self.assertIsNone(self.model.chat_template)
        self.assertIn("llama, 8 layers", repr(self.model))

    def test_archives_run_as_the_folder_does(self):
        pith.compress(LM, self.folder / "exact.pith")
        exact = pith.load_model(self.folder / "exact.pith")
        self.assertTrue(same_bits(exact.logits(TEXT), self.model.logits(TEXT)))
        pith.compress(LM, self.folder / "small.pith", forms="uniform(8, group=32)")
        small = pith.load_model(self.folder / "small.pith")
        self.assertLess(small.weight_bytes, 0.6 * exact.weight_bytes)
        a, b = small.logits(TEXT), exact.logits(TEXT)
        self.assertGreater(np.corrcoef(a.ravel(), b.ravel())[0, 1], 0.999)

    @unittest.skipUnless(COMMAND, "no command")
    def test_gguf_files(self):
        subprocess.run([COMMAND, "export", str(LM), "-o", str(self.folder / "m.gguf")], check=True, capture_output=True)
        model = pith.load_model(str(self.folder / "m.gguf"))
        self.assertEqual(model.tokenize(TEXT), self.model.tokenize(TEXT))
        self.assertTrue(np.allclose(model.logits(TEXT), self.model.logits(TEXT), atol=1e-3))

    def test_what_cannot_be_loaded(self):
        with self.assertRaises(pith.IoError) as caught:
            pith.load_model(self.folder / "absent")
        self.assertIn("absent", str(caught.exception))
        (self.folder / "text").write_text("no model")
        with self.assertRaises(pith.DataError) as caught:
            pith.load_model(self.folder / "text")
        self.assertIn("text: it is neither", str(caught.exception))
        cut = self.model_folder("cut", ["config.json", "tokenizer.model"])
        (cut / "model.safetensors").write_bytes((LM / "model.safetensors").read_bytes()[:1000000])
        with self.assertRaises(pith.DataError) as caught:
            pith.load_model(cut)
        self.assertIn("cut", str(caught.exception))
        with self.assertRaises(pith.IoError):
            pith.load_model(self.model_folder("bare", ["model.safetensors"]))
        with self.assertRaises(pith.LimitError):
            pith.load_model(LM, memory_limit=1000)
        for wrong in ({"threads": -1}, {"memory_limit": -1}):
            with self.assertRaises(pith.UsageError):
                pith.load_model(LM, **wrong)

    def test_without_a_tokenizer(self):
        model = pith.load_model(self.model_folder("bare", ["config.json", "model.safetensors"]))
        self.assertFalse(model.has_tokenizer)
        ids = self.model.tokenize(TEXT)
        self.assertTrue(same_bits(model.logits(ids), self.model.logits(ids)))
        written = model.generate(ids, max_tokens=5, ignore_eos=True)
        self.assertEqual((len(written.ids), written.text), (5, ""))
        for call in (model.tokenize, model.generate, model.logits):
            with self.assertRaisesRegex(pith.DataError, "bare.*tokenizer"):
                call("text")


class Tokens(ModelCase):
    def test_text_to_ids_and_back(self):
        for text in ("Once upon a time", "  spaces  ", "日本 \U0001f600", "a\nb\tc", ""):
            ids = self.model.tokenize(text)
            self.assertEqual(ids[0], 1)
            self.assertEqual(self.model.detokenize(ids), text)
            self.assertEqual(self.model.tokenize(text, bos=False), ids[1:])
            self.assertEqual(self.model.detokenize(np.array(ids)), text)

    def test_special(self):
        self.assertEqual(self.model.tokenize("a</s>", special=True)[-1], 2)
        self.assertEqual(self.model.tokenize("a</s>").count(2), 0)
        self.assertEqual(self.model.detokenize([1, 2], special=True), "<s></s>")
        self.assertEqual(self.model.detokenize([1, 2]), "")

    def test_bytes_that_are_not_utf8(self):
        raw = b"\xff\xfe caf\xc3"
        ids = self.model.tokenize(raw)
        text = self.model.detokenize(ids, errors="surrogateescape")
        self.assertEqual(os.fsencode(text), raw)
        self.assertEqual(self.model.tokenize(text), ids)
        self.assertIn("\ufffd", self.model.detokenize(ids))
        with self.assertRaises(UnicodeDecodeError):
            self.model.detokenize(ids, errors="strict")
        with self.assertRaises(pith.UsageError):
            self.model.tokenize("\ud800")
        with self.assertRaises(TypeError):
            self.model.tokenize(5)

    def test_ids_that_are_none(self):
        for ids in ([4096], [-1], [2**31], [2**40]):
            with self.assertRaises(pith.UsageError):
                self.model.detokenize(ids)
        for ids in ([0.5], [[1, 2]], 7, ["a"], [None]):
            with self.assertRaises(TypeError):
                self.model.detokenize(ids)


class Logits(ModelCase):
    def test_rows_are_what_comes_behind_each_token(self):
        ids = self.model.tokenize(TEXT)
        logits = self.model.logits(ids)
        self.assertEqual((logits.shape, logits.dtype), ((len(ids), 4096), np.float32))
        self.assertTrue(same_bits(self.model.logits(TEXT), logits))
        self.assertTrue(np.allclose(self.model.logits(ids, last=True), logits[-1], atol=1e-3))
        self.assertTrue(np.allclose(self.model.logits(ids[:3]), logits[:3], atol=1e-3))
        self.assertEqual(self.model.generate(TEXT, max_tokens=1, temperature=0).ids, [int(logits[-1].argmax())])

    def test_threads_change_nothing(self):
        one, three = pith.load_model(LM, threads=1), pith.load_model(LM, threads=3)
        self.assertTrue(same_bits(one.logits(TEXT), three.logits(TEXT)))

    def test_long_texts_are_read_in_pieces(self):
        ids = [1] + [i % 4000 + 50 for i in range(1200)]
        logits = self.model.logits(ids)
        self.assertTrue(np.allclose(logits[-1], self.model.logits(ids, last=True), atol=1e-3))
        self.assertTrue(np.isfinite(logits).all())
        self.assertFalse(np.allclose(logits[511], logits[1023], atol=1e-3))

    def test_losses_are_those_that_are_measured(self):
        ids = self.model.tokenize(TEXT)
        logits = self.model.logits(ids).astype(np.float64)
        losses = np.log(np.exp(logits).sum(1))[:-1] - logits[np.arange(len(ids) - 1), ids[1:]]
        found = self.model.evaluate(TEXT)
        self.assertAlmostEqual(found.loss.mean, losses.mean(), places=4)

    def test_what_cannot_be(self):
        for ids in ([], [1, 4096]):
            with self.assertRaises(pith.UsageError):
                self.model.logits(ids)
        with self.assertRaisesRegex(pith.LimitError, "2049 tokens.*2048"):
            self.model.logits([1] * 2049, last=True)
        with self.assertRaises(pith.LimitError):
            self.model.logits([1] * 9, context=8)


class Generating(ModelCase):
    def test_same_seed_same_text(self):
        first = self.model.generate(TEXT, max_tokens=30, seed=3)
        self.assertEqual(pith.load_model(LM, threads=1).generate(TEXT, max_tokens=30, seed=3)[:4], first[:4])
        self.assertNotEqual(self.model.generate(TEXT, max_tokens=30, seed=4).ids, first.ids)
        self.assertEqual(self.model.generate(self.model.tokenize(TEXT), max_tokens=30, seed=3).ids, first.ids)
        self.assertEqual((first.stop, len(first.ids), first.steps), ("length", 30, 29))
        self.assertEqual(str(first), first.text)
        self.assertEqual(self.model.detokenize(first.ids, continues=True), first.text)
        self.assertEqual(first.prompt_ids, self.model.tokenize(TEXT))

    @unittest.skipUnless(COMMAND, "no command")
    def test_the_command_writes_the_same(self):
        written = self.model.generate("Once upon a time")
        there = command("run", LM, "Once upon a time", "--json")
        self.assertEqual((there["text"], there["ids"], there["stop"]), (written.text, written.ids, written.stop))
        written = self.model.generate(TEXT, max_tokens=40, seed=7, temperature=1.5, top_k=0, top_p=0.9, min_p=0.01,
                                      typical=0.95, repeat_penalty=1.1, frequency_penalty=0.2, presence_penalty=0.1,
                                      penalty_window=20, logit_bias={13: -2.5, 300: -math.inf}, stop="xyz",
                                      ignore_eos=True, context=100)
        there = command("run", LM, TEXT, "-n", 40, "--seed", 7, "--temperature", 1.5, "--top-k", 0, "--top-p", 0.9,
                        "--min-p", 0.01, "--typical", 0.95, "--repeat-penalty", 1.1, "--frequency-penalty", 0.2,
                        "--presence-penalty", 0.1, "--penalty-window", 20, "--logit-bias", "13=-2.5", "--logit-bias",
                        "300=-inf", "--stop", "xyz", "--ignore-eos", "--context", 100, "--json")
        self.assertEqual((there["text"], there["ids"]), (written.text, written.ids))

    def test_defaults_are_those_of_the_library(self):
        here, there = self.model.generate.__kwdefaults__, _pith.SamplerOptions()
        names = [name for name in dir(there) if not name.startswith("_") and name != "logit_bias"]
        self.assertEqual(len(names), 10)
        for name in names:
            self.assertEqual(here[name], getattr(there, name), name)

    def test_streams(self):
        whole = self.model.generate(TEXT, max_tokens=25, seed=5)
        pieces = []
        again = self.model.generate(TEXT, max_tokens=25, seed=5, stream=pieces.append)
        self.assertEqual((again.text, "".join(pieces)), (whole.text, whole.text))
        self.assertGreater(len(pieces), 10)
        stream = self.model.stream(TEXT, max_tokens=25, seed=5)
        self.assertEqual(stream.written.ids, [])
        self.assertEqual("".join(stream), whole.text)
        self.assertEqual(list(stream), [])
        self.assertEqual((stream.written.ids, stream.written.stop), (whole.ids, "length"))
        with self.assertRaises(TypeError):
            self.model.stream(TEXT, stream=print)

    def test_streams_that_are_left(self):
        stream = self.model.stream(TEXT, max_tokens=0, ignore_eos=True)
        for _ in range(3):
            next(stream)
        stream.stop()
        rest = "".join(stream)
        self.assertEqual(stream.written.stop, "interrupted")
        self.assertTrue(stream.written.text.endswith(rest))
        count = []
        written = self.model.generate(TEXT, stream=lambda piece: count.append(piece) or len(count) < 4)
        self.assertEqual((len(count), written.stop, "".join(count)), (4, "interrupted", written.text))
        with self.assertRaises(ZeroDivisionError):
            self.model.generate(TEXT, stream=lambda piece: 1 / 0)

    def test_ends(self):
        greedy = self.model.generate("One day", max_tokens=60, temperature=0)
        stop = greedy.text[10:14]
        for stops in (stop, [stop, "@@@"], (stop.encode(),)):
            cut = self.model.generate("One day", max_tokens=60, temperature=0, stop=stops)
            self.assertEqual((cut.text, cut.stop), (greedy.text[: greedy.text.index(stop)], "stop"))
        self.assertEqual(self.model.generate("x", logit_bias={2: 1000}).stop, "end")
        full = self.model.generate("x", max_tokens=0, context=20, ignore_eos=True)
        self.assertEqual((full.stop, len(full.ids) + len(full.prompt_ids)), ("context", 21))

    def test_prompts_longer_than_the_context(self):
        long = "word " * 3000
        with self.assertRaisesRegex(pith.LimitError, "room for 2048"):
            self.model.generate(long)
        with self.assertRaisesRegex(pith.LimitError, "room for 50"):
            self.model.generate(long, context=50)
        written = self.model.generate(long, context=50, max_tokens=10, truncate=True)
        self.assertEqual((len(written.prompt_ids), written.prompt_ids[0]), (40, 1))

    def test_prompts_of_any_bytes(self):
        for prompt in (b"\xff\xfe\x80", "\0", "", b"", "日本", bytearray(b"abc")):
            self.assertEqual(len(self.model.generate(prompt, max_tokens=2, ignore_eos=True).ids), 2)

    def test_wrong_options(self):
        for wrong in ({"top_p": 0}, {"top_p": 2}, {"temperature": -1}, {"temperature": math.nan}, {"min_p": -1},
                      {"repeat_penalty": 0}, {"max_tokens": -1}, {"seed": -1}, {"seed": 2**64}, {"top_k": -1},
                      {"logit_bias": {99999: 1}}, {"logit_bias": {-1: 1}}, {"stop": ""}, {"context": -1}):
            with self.subTest(wrong=wrong), self.assertRaises(pith.UsageError):
                self.model.generate("x", **wrong)
        for wrong in ({"nothing": 1}, {"temperature": "x"}, {"top_k": 1.5}, {"stop": [5]}):
            with self.subTest(wrong=wrong), self.assertRaises((TypeError, ValueError)):
                self.model.generate("x", **wrong)
        for prompt in ([], [1, 4096], [-1]):
            with self.assertRaises(pith.UsageError):
                self.model.generate(prompt)

    def test_many_threads_use_one_model(self):
        expected, wrong = self.model.generate(TEXT, max_tokens=10).ids, []

        def work():
            if self.model.generate(TEXT, max_tokens=10).ids != expected:
                wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_other_threads_run_meanwhile(self):
        """The interpreter's lock is free while a text is read and measured."""
        times, ended = [], threading.Event()

        def tick():
            while not ended.is_set():
                times.append(time.monotonic())
                time.sleep(0.002)

        ticker = threading.Thread(target=tick)
        for work in (lambda: self.model.logits([1] * 2000, last=True),
                     lambda: self.model.evaluate("word " * 2000)):
            begun = time.monotonic()
            if not ticker.is_alive():
                ticker.start()
            work()
            within = [t for t in times if begun < t]
            self.assertGreater(len(within), 0.02 * (time.monotonic() - begun) / 0.002)
        ended.set()
        ticker.join()

    def test_one_stream_in_many_threads(self):
        whole = self.model.generate(TEXT, max_tokens=40, seed=5)
        stream, pieces = self.model.stream(TEXT, max_tokens=40, seed=5), []
        threads = [threading.Thread(target=lambda: pieces.extend(stream)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(stream.written.ids, whole.ids)
        self.assertEqual(sorted(pieces), sorted(self.model.stream(TEXT, max_tokens=40, seed=5)))

    def test_streams_outlive_their_model(self):
        model = pith.load_model(LM)
        stream = model.stream(TEXT, max_tokens=8, ignore_eos=True)
        del model
        self.assertEqual(len("".join(stream)), len(stream.written.text))

    def test_interruption(self):
        """Ctrl-C while the prompt is read, while text is written, and while a text is measured."""
        program = f"""if True:
            import os, pith, signal, threading
            model = pith.load_model({str(LM)!r})
            def interrupt(*_):
                os.kill(os.getpid(), signal.SIGINT)
            long = dict(context=1 << 16, ignore_eos=True, max_tokens=0)
            def read():
                timer = threading.Timer(0.3, interrupt)
                timer.start()
                model.logits([1] * 60000, last=True, context=1 << 16)
            calls = [lambda: model.generate("x", stream=interrupt, **long),
                     lambda: model.generate([1] * 60000, progress=interrupt, **long),
                     lambda: model.evaluate("word " * 60000, progress=interrupt), read]
            for call in calls:
                try:
                    call()
                except KeyboardInterrupt:
                    print("interrupted")
            print(model.generate("x", max_tokens=1).stop)
        """
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.stdout.split(), ["interrupted"] * 4 + ["length"], done.stderr)


class Chat(ModelCase):
    def test_the_template_makes_the_prompt(self):
        model = self.chat_model()
        self.assertEqual(model.chat_template, TEMPLATE)
        talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi "}]
        text = "[system] Be brief.\n[user] Hi\n[assistant]"
        self.assertEqual(model.chat_prompt(talk), text)
        self.assertEqual(model.chat_prompt(talk, add_generation_prompt=False), text[: -len("[assistant]")])
        answer = model.chat("Hi", system="Be brief.", max_tokens=8)
        self.assertEqual(answer.prompt_ids, model.tokenize(text, bos=False, special=True))
        self.assertEqual(model.generate(talk, max_tokens=8).ids, answer.ids)
        self.assertEqual("".join(model.stream(talk, max_tokens=8)), answer.text)

    @unittest.skipUnless(COMMAND, "no command")
    def test_the_command_answers_the_same(self):
        model = self.chat_model()
        answer = model.chat("Who are you?", max_tokens=20, seed=2)
        there = command("run", model.path, "Who are you?", "-n", 20, "--seed", 2, "--json")
        self.assertTrue(there["chat"])
        self.assertEqual((there["ids"], there["text"]), (answer.ids, answer.text))

    def test_what_cannot_be(self):
        for call in (lambda: self.model.chat("Hi"), lambda: self.model.chat_prompt([])):
            with self.assertRaisesRegex(pith.UsageError, "chat template"):
                call()
        model = self.chat_model("{{ raise_exception('no system here') }}")
        with self.assertRaisesRegex(pith.UsageError, "no system here"):
            model.chat("Hi")
        broken = self.chat_model("{% if %}")
        with self.assertRaisesRegex(pith.DataError, "line 1, column 7"):
            broken.chat("Hi")
        self.assertEqual(broken.generate("Hi", max_tokens=1, ignore_eos=True).stop, "length")
        for talk in ([{"role": "user"}], [5], [{"role": "user", "content": None}], []):
            with self.assertRaises((pith.UsageError, TypeError)):
                model.chat(talk)


class Evaluating(ModelCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.book = (SOURCE / "LICENSE").read_bytes()[:3000]

    def test_protocol_and_figures(self):
        found = self.model.evaluate(self.book, context=64, windows=3)
        self.assertEqual((found.scored_tokens, found.windows, found.context, found.bos), (192, 3, 64, True))
        self.assertAlmostEqual(found.perplexity, math.exp(found.loss.mean))
        self.assertGreater(found.loss.error, 0)
        self.assertLess(found.loss.interval[0], found.loss.mean)
        self.assertIsNone(found.divergence)
        self.assertFalse(self.model.evaluate(self.book, context=64, windows=1, bos=False).bos)
        self.assertEqual(self.model.evaluate(self.book, context=64, windows=2, skip_first=32).scored_tokens, 64)

    @unittest.skipUnless(COMMAND, "no command")
    def test_the_command_measures_the_same(self):
        (self.folder / "book.txt").write_bytes(self.book)
        there = command("eval", LM, "--text", self.folder / "book.txt", "--context", 128, "--stride", 64, "--json")
        found = self.model.evaluate(self.book, context=128, stride=64)
        self.assertEqual(there["loss"]["mean"], found.loss.mean)
        self.assertEqual(there["loss"]["window_error"], found.loss.error)
        self.assertEqual(there["protocol"]["scored_tokens"], found.scored_tokens)

    def test_against_another(self):
        pith.compress(LM, self.folder / "small.pith", forms="uniform(3, group=64)")
        small = pith.load_model(self.folder / "small.pith")
        done = []
        found = small.evaluate(self.book, context=64, windows=4, against=self.model,
                               progress=lambda *now: done.append(now))
        same = self.model.evaluate(self.book, context=64, windows=4, against=self.model).divergence
        self.assertEqual((same.kl.mean, same.same_best.mean), (0, 1))
        divergence = found.divergence
        self.assertGreater(divergence.kl.mean, 0.01)
        self.assertGreater(divergence.kl_99_9, divergence.kl_median)
        self.assertLess(divergence.same_best.mean, 1)
        self.assertAlmostEqual(divergence.loss_difference.mean, found.loss.mean - divergence.reference.mean)
        self.assertEqual(done[-1], (256, 256))

    def test_what_cannot_be_measured(self):
        for wrong in ({"context": 0}, {"stride": 999}, {"skip_first": 512}, {"windows": -1}):
            with self.assertRaises(pith.UsageError):
                self.model.evaluate(self.book, **wrong)
        with self.assertRaises(pith.UsageError):
            self.model.evaluate("")
        with self.assertRaises(TypeError):
            self.model.evaluate(self.book, against="lm")
        with self.assertRaises(ZeroDivisionError):
            self.model.evaluate(self.book, progress=lambda done, total: 1 / 0)


if __name__ == "__main__":
    unittest.main()
