"""pith run: text from a language model."""

import json
import os
import pty
import resource
import select
import signal
import subprocess
import time
import unittest

from command_support import SANITIZED, LanguageModelTest

# In the manner of ChatML; the tokenizer has no such control tokens, so they are read as text.
TEMPLATE = ("{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant]{% endif %}")


class Run(LanguageModelTest):
    def run_json(self, *args, **options):
        return json.loads(self.ok("run", "lm", *args, "--json", **options).stdout)

    def text(self, *args, **options):
        return self.ok("run", "lm", *args, **options).stdout.decode()

    def test_text_goes_to_standard_output(self):
        result = self.ok("run", "lm", "It was a dark night, and", "-n", "20")
        self.assertEqual(result.stderr, b"")
        text = result.stdout.decode()
        self.assertTrue(text.endswith("\n"))
        self.assertGreater(len(text.split()), 5)

    def test_same_seed_same_text(self):
        first = self.text("Once upon a time", "-n", "40", "--seed", "3", "-T1")
        self.assertEqual(self.text("Once upon a time", "-n", "40", "--seed", "3", "-T2"), first)
        self.assertNotEqual(self.text("Once upon a time", "-n", "40", "--seed", "4"), first)
        greedy = [self.text("Once upon a time", "-n", "20", "--temperature", "0", "--seed", s) for s in "12"]
        self.assertEqual(*greedy)
        self.assertEqual(self.text("Once upon a time", "-n", "20", "--top-k", "1"), greedy[0])

    def test_json(self):
        result = self.run_json("The machine", "-n", "12", "--temperature", "0")
        self.assertEqual(len(result["ids"]), 12)
        self.assertEqual(result["stop"], "length")
        self.assertEqual(result["prompt"], "The machine")
        self.assertEqual(result["prompt_ids"][0], 1)
        self.assertEqual(result["text"] + "\n", self.text("The machine", "-n", "12", "--temperature", "0"))
        self.assertEqual(result["timing"]["prompt_tokens"], len(result["prompt_ids"]))
        self.assertEqual(result["timing"]["decode_tokens"], 11)
        self.assertGreater(result["timing"]["decode_tokens_per_second"], 0)
        self.assertGreater(result["peak_bytes"], 0)

    def test_ids_in_place_of_text(self):
        prompt = self.run_json("The machine", "-n", "5", "--temperature", "0")
        ids = ",".join(map(str, prompt["prompt_ids"]))
        self.assertEqual(self.run_json("--ids", ids, "-n", "5", "--temperature", "0")["ids"], prompt["ids"])
        for bad in ("", "1,", "x", "1,-2", "1 2"):
            self.fails("run", "lm", "--ids", bad, code=2)
        self.fails("run", "lm", "--ids", "1,999999", code=2, names=["999999"])
        self.fails("run", "lm", "text", "--ids", "1", code=2)

    def test_prompt_from_standard_input(self):
        wanted = self.text("He opened", "-n", "10")
        self.assertEqual(self.text("-", "-n", "10", stdin=b"He opened\n"), wanted)
        self.assertEqual(self.text("-n", "10", stdin=b"He opened"), wanted)

    def test_prompts_of_any_bytes(self):
        for prompt in (b"", b"\xff\xfe\x80", b"\0", "日本 \U0001f600".encode(), b"<s></s>"):
            result = self.run_json("-", "-n", "4", stdin=prompt)
            self.assertEqual(result["prompt_ids"].count(1), 1, "only bos: text is no markup")
            self.assertLessEqual(len(result["ids"]), 4)
        self.assertEqual(self.run_json("-", "-n", "1", "--special", stdin=b"a</s>")["prompt_ids"].count(2), 1)

    def test_stop_text(self):
        whole = self.text("One day", "-n", "60", "--temperature", "0")
        stop = whole[10:14]
        result = self.run_json("One day", "-n", "60", "--temperature", "0", "--stop", stop, "--stop", "@@@")
        self.assertEqual(result["text"], whole[:whole.index(stop)])
        self.assertEqual(result["stop"], "stop")
        self.fails("run", "lm", "x", "--stop", "", code=2)

    def test_end_token(self):
        always = ("--logit-bias", "2=1000")
        self.assertEqual(self.run_json("x", *always)["stop"], "end")
        result = self.run_json("x", "-n", "5", "--ignore-eos")
        self.assertEqual((len(result["ids"]), result["stop"]), (5, "length"))
        never = self.run_json("x", "-n", "5", "--logit-bias", "2=-inf")
        self.assertNotIn(2, never["ids"])

    def test_context(self):
        long = "word " * 200
        self.fails("run", "lm", long, "--context", "50", names=["context", "50", "--truncate"])
        result = self.run_json(long, "--context", "50", "--truncate", "-n", "10")
        self.assertEqual((len(result["prompt_ids"]), result["prompt_ids"][0]), (40, 1))
        full = self.run_json("x", "-n", "0", "-c", "20", "--ignore-eos")
        self.assertEqual(full["stop"], "context")
        self.assertEqual(len(full["ids"]) + len(full["prompt_ids"]), 21)
        said = self.ok("run", "lm", "x", "-n", "0", "-c", "20", "--ignore-eos").stderr
        self.assertIn(b"the context of 20 tokens is full", said)
        for enough in (("-n", "5"), ("-n", "0", "-c", "20", "-q")):
            self.assertNotIn(b"full", self.ok("run", "lm", "x", "--ignore-eos", *enough).stderr)
        warned = self.ok("run", "lm", "x", "-n", "2", "-c", "5000")
        self.assertIn(b"2048 positions", warned.stderr)
        self.assertEqual(self.ok("run", "lm", "x", "-n", "2", "-c", "5000", "-q").stderr, b"")

    def test_forms_of_a_cache(self):
        prompt = "It was a dark night, and the wind was in the trees. " * 25  # past the window
        plain = self.run_json(prompt, "-n", "8", "--temperature", "0")
        for form in ("dense(f32)", "cache(keys=dense(f32), values=dense(f32), window=0, keys_by=token)"):
            self.assertEqual(self.run_json(prompt, "-n", "8", "--temperature", "0", "--kv", form)["ids"], plain["ids"])
        lost = self.run_json(prompt, "-n", "8", "--temperature", "0", "--kv", "cache(keys=zeros, values=zeros, window=0)")
        self.assertNotEqual(lost["ids"], plain["ids"])

    def test_timing(self):
        table = self.ok("run", "lm", "x", "-n", "3", "--timing").stderr.decode()
        for word in ("load", "prompt", "decode", "tokens/s", "resident"):
            self.assertIn(word, table)

    def test_wrong_options(self):
        for wrong in (("--top-p", "0"), ("--top-p", "2"), ("--temperature", "-1"), ("--temperature", "x"),
                      ("--min-p", "-1"), ("--repeat-penalty", "0"), ("-n", "-1"), ("--seed", "x"),
                      ("--logit-bias", "x"), ("--logit-bias", "1=x"), ("--logit-bias", "99999=1"),
                      ("--kv", "unform(4)"), ("--kv", "cache(keys=uniform(4))"), ("--nothing",)):
            with self.subTest(wrong=wrong):
                self.fails("run", "lm", "x", *wrong, code=2)
        self.fails("run", code=2)
        self.fails("run", "lm", "x", "--chat", code=2, names=["chat template"])
        self.fails("run", "lm", "x", "--system", "y", code=2, names=["chat template"])

    def test_models_that_cannot_run(self):
        self.fails("run", "absent", "x", names=["absent"])
        self.write("text.txt", b"no model")
        self.fails("run", "text.txt", "x", names=["text.txt"])
        folder = self.model_folder("cut", ["config.json", "tokenizer.model"])
        whole = (self.lm / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[:1000000])
        self.fails("run", "cut", "x", names=["cut"])

    def changed(self, name, change):
        """The reference model with other bytes of a tensor."""
        folder = self.model_folder("changed", ["config.json", "tokenizer.model"])
        whole = bytearray((self.lm / "model.safetensors").read_bytes())
        size = int.from_bytes(whole[:8], "little")
        begin, end = json.loads(whole[8:8 + size])[name]["data_offsets"]
        whole[8 + size + begin:8 + size + end] = change(whole[8 + size + begin:8 + size + end])
        (folder / "model.safetensors").write_bytes(whole)

    def test_weights_that_are_no_numbers(self):
        self.changed("model.layers.1.mlp.up_proj.weight", lambda raw: b"\xc0\x7f" + raw[2:])
        for command in (("run", "changed", "x"), ("eval", "changed", "--text", "book.txt"),
                        ("eval", "lm", "--against", "changed", "--text", "book.txt")):
            self.fails(*command, names=["changed", "is nan", "weights or sums"])

    def test_memory_is_foreseen(self):
        said = ["lm", "keys and values of 1000000000 positions", "shorter context"]
        self.fails("run", "lm", "x", "-c", "1000000000", names=said)
        self.fails("run", "lm", "x", "-c", "99999999999999999", names=["than any machine has"])

    @unittest.skipIf(SANITIZED, "needs a limit of addresses")
    def test_limits_of_addresses_count_as_memory(self):
        # 2 GB of addresses, 9 GB of keys and values.
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        self.fails("run", "lm", "x", "-c", "1000000", names=["ulimit", "shorter"], preexec_fn=limit)
        self.ok("run", "lm", "x", "-n", "2", preexec_fn=limit)
        self.fails("eval", "lm", "--text", "-", "--context", "1000000", stdin=b"a b c d " * 200000,
                   names=["ulimit", "shorter"], preexec_fn=limit)

    def test_more_tokens_than_the_model_has(self):
        folder = self.model_folder("few", ["tokenizer.model"])
        config = json.loads((self.lm / "config.json").read_text())
        whole = (self.lm / "model.safetensors").read_bytes()
        size = int.from_bytes(whole[:8], "little")
        header = json.loads(whole[8:8 + size])
        table = header["model.embed_tokens.weight"]
        begin = table["data_offsets"][0]
        table["shape"][0] = config["vocab_size"] = 300
        cut, data = b"", whole[8 + size:]
        for entry in header.values():
            if "shape" not in entry:
                continue
            first, last = entry["data_offsets"]
            part = data[begin:begin + 300 * 512] if entry is table else data[first:last]
            entry["data_offsets"] = [len(cut), len(cut) + len(part)]
            cut += part
        text = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + cut)
        (folder / "config.json").write_text(json.dumps(config))
        self.fails("run", "few", "It was the cook", names=["few", "tokenizer", "300"])
        self.ok("run", "few", "--ids", "1,2,299", "-n", "2")

    def test_model_without_a_tokenizer(self):
        self.model_folder("bare", ["config.json", "model.safetensors"])
        self.fails("run", "bare", "x", names=["bare", "tokenizer", "--ids"])
        ids = self.ok("run", "bare", "--ids", "1,2", "-n", "5", "--ignore-eos").stdout.split()
        self.assertEqual(len([int(i) for i in ids]), 5)

    def test_interruption_keeps_what_was_said(self):
        process = subprocess.Popen([self.pith, "run", "lm", "Once", "-n", "0", "--ignore-eos", "-c", "100000", "-q"],
                                   cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(errors, b"")
        self.assertTrue((first + rest).endswith(b"\n"))


class Chat(LanguageModelTest):
    def setUp(self):
        super().setUp()
        folder = self.model_folder("chat", ["config.json", "model.safetensors", "tokenizer.model"])
        self.settings = folder / "tokenizer_config.json"
        self.use(TEMPLATE)

    def use(self, template):
        self.settings.write_text(json.dumps({"chat_template": template}))

    def prompt(self, *args):
        return json.loads(self.ok("run", "chat", *args, "-n", "3", "--json").stdout)["prompt"]

    def test_template_is_used_where_there_is_one(self):
        self.assertEqual(self.prompt("Hi"), "[user] Hi\n[assistant]")
        self.assertEqual(self.prompt(" Hi ", "--system", "Be brief."), "[system] Be brief.\n[user] Hi\n[assistant]")
        self.assertEqual(self.prompt("Hi", "--no-chat"), "Hi")
        self.fails("run", "chat", "Hi", "--no-chat", "--chat", code=2)

    def test_templates_that_fail(self):
        self.use("{{ raise_exception('no system here') }}")
        self.fails("run", "chat", "Hi", code=2, names=["no system here"])
        self.use("{% if %}")
        self.fails("run", "chat", "Hi", names=["line 1, column 7", "--no-chat"])
        self.ok("run", "chat", "Hi", "--no-chat", "-n", "2")

    def talk(self):
        """The command on a terminal, waiting for its first line."""
        master, slave = pty.openpty()
        process = subprocess.Popen([self.pith, "run", "chat", "-n", "8", "--ignore-eos"], cwd=self.dir, stdin=slave,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(slave)
        self.addCleanup(os.close, master)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertTrue(select.select([process.stderr], [], [], 60)[0])
        self.assertEqual(os.read(process.stderr.fileno(), 2), b"> ")
        return process, master

    def test_conversation(self):
        process, terminal = self.talk()
        for line in (b"Hello\n", b"And you?\n"):
            os.write(terminal, line)
            self.assertEqual(os.read(process.stderr.fileno(), 2), b"> ")
            answer = os.read(process.stdout.fileno(), 10000)
            self.assertGreater(len(answer), 5)
            self.assertTrue(answer.endswith(b"\n"))
        os.write(terminal, b"\x04")
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)

    def test_interruption_while_waiting(self):
        process, _ = self.talk()
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertLess(time.monotonic() - started, 4, "it does not wait to be killed")


if __name__ == "__main__":
    unittest.main()
