"""What the tests of the command share: the binary, small model files, and runs of it.

The binary is $PITH. It is copied to a folder that everybody may read, so that tests can also run
it as another user."""

import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

NOBODY = 65534
# Sanitizers take terabytes of addresses, so that limits of these cannot be tested.
SANITIZED = b"__asan_init" in Path(os.environ["PITH"]).read_bytes()
REPOSITORY = Path(__file__).resolve().parent.parent


def safetensors(tensors, metadata=None):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def weights(count, seed=1):
    """bf16 numbers that look like weights: few exponents, noise below."""
    state, out = seed, bytearray()
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        bits = state >> 33
        exponent = 120 - (bits & -bits).bit_length() % 12
        out += struct.pack("<H", (bits >> 16 & 0x807F) | exponent << 7)
    return bytes(out)


def model(seed=1):
    return safetensors({
        "lm_head.weight": ("BF16", [64, 128], weights(8192, seed)),
        "norm.weight": ("F32", [32], struct.pack("<32f", *[1 + i / 64 for i in range(32)])),
        "scale": ("F32", [], struct.pack("<f", 0.5)),
    }, {"format": "pt"})


def next_step(raw):
    """The same model after a little training: some low bits of the weights differ."""
    out = bytearray(raw)
    for at in range(len(raw) - 12000, len(raw) - 200, 14):
        out[at & ~1] ^= 1
    return bytes(out)


def gguf():
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()
    raw = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text("general.architecture") + struct.pack("<I", 8)
    raw += text("llama") + text("w") + struct.pack("<IQIQ", 1, 1024, 0, 0)
    raw += b"\0" * (-len(raw) % 32)
    return raw + struct.pack("<1024f", *[i / 1024 for i in range(1024)])


def random_model(folder, lm, layers=2, heads=4, head_size=16, context=512, width=64, inner=96):
    """A model so small that all of it is fitted at once, with the reference model's tokenizer."""
    import numpy as np

    random = np.random.default_rng(1)
    shapes = {"model.embed_tokens.weight": (4096, width), "model.norm.weight": (width,)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        shapes |= {at + f"self_attn.{name}_proj.weight": (heads * head_size, width) for name in "qkv"}
        shapes[at + "self_attn.o_proj.weight"] = (width, heads * head_size)
        shapes |= {at + f"mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        shapes[at + "mlp.down_proj.weight"] = (width, inner)
        shapes |= {at + f"{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
    tensors = {}
    for name, shape in shapes.items():
        values = np.ones(shape) if len(shape) == 1 else random.standard_normal(shape) * 1.5 / np.sqrt(shape[1])
        raw = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        tensors[name] = ("BF16", list(shape), raw)
    config = {"model_type": "llama", "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
              "num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": head_size, "vocab_size": 4096,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": context,
              "tie_word_embeddings": True, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    os.symlink(lm / "tokenizer.model", folder / "tokenizer.model")


class CommandTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="pith-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        os.chmod(cls.shared, 0o755)
        cls.pith = shutil.copy(os.environ["PITH"], cls.shared / "pith")
        cls.model = model()

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(dir=self.shared))
        os.chmod(self.dir, 0o755)

    def tearDown(self):
        left = [p for p in self.dir.rglob("*") if p.name.endswith(".part")]
        self.assertEqual(left, [], "an unfinished file was left behind")

    def write(self, name, data):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def read(self, name):
        return (self.dir / name).read_bytes()

    def names(self):
        return sorted(str(p.relative_to(self.dir)) for p in self.dir.rglob("*") if p.is_file())

    def run_pith(self, *args, stdin=b"", **options):
        return subprocess.run([self.pith, *map(str, args)], cwd=self.dir, input=stdin, capture_output=True,
                              timeout=120, **options)

    def ok(self, *args, **options):
        result = self.run_pith(*args, **options)
        self.assertEqual(result.returncode, 0, f"pith {args}: {result.stderr.decode()}")
        return result

    def fails(self, *args, code=1, names=(), **options):
        """The command ends with `code` and one line of error that has all of `names`."""
        result = self.run_pith(*args, **options)
        text = result.stderr.decode()
        self.assertEqual(result.returncode, code, f"pith {args}: {text}")
        errors = [line for line in text.splitlines() if line.startswith("pith: error: ")]
        self.assertTrue(errors, text)
        for name in names:
            self.assertIn(str(name), " ".join(errors))
        return result


class LanguageModelTest(CommandTest):
    """With the reference model as lm, and a short text that it can predict as book.txt."""

    lm = REPOSITORY / "data/lm"

    def setUp(self):
        super().setUp()
        os.symlink(self.lm, self.dir / "lm")
        self.write("book.txt", (REPOSITORY / "LICENSE").read_bytes()[:3000])

    def model_folder(self, name, files):
        """A folder with some of the reference model's files."""
        folder = self.dir / name
        folder.mkdir()
        for file in files:
            os.symlink(self.lm / file, folder / file)
        return folder
