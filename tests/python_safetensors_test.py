"""pith.safetensors, with NumPy and, where it is installed, PyTorch."""

import mmap
import struct
import unittest

import numpy as np

import pith
from pith import safetensors as st
from python_testing import MODEL, parse_safetensors, same_bits, Case

try:
    import torch
except ImportError:
    torch = None


class Safetensors(Case):
    ARRAYS = {
        "b.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
        "a.bias": np.array([1, -2], np.int8),
        "empty": np.zeros((0, 4), np.float16),
        "scalar": np.array(7, np.int64),
    }

    def test_plain_files_keep_the_formats_rules(self):
        path = self.folder / "x.safetensors"
        st.save_file(self.ARRAYS, path, {"format": "np"})
        tensors, metadata = parse_safetensors(path.read_bytes())
        self.assertEqual(metadata, {"format": "np"})
        self.assertEqual({name: entry[:2] for name, entry in tensors.items()},
                         {"b.weight": ("F32", (3, 4)), "a.bias": ("I8", (2,)),
                          "empty": ("F16", (0, 4)), "scalar": ("I64", ())})  # fmt: skip
        for name, array in self.ARRAYS.items():
            self.assertEqual(tensors[name][2], array.tobytes())
        self.assertEqual(struct.unpack("<Q", path.read_bytes()[:8])[0] % 8, 0)
        self.assertEqual(st.save(self.ARRAYS, {"format": "np"}), path.read_bytes())

    def test_both_kinds_load_alike(self):
        for ending in ("safetensors", "pith"):
            path = self.folder / f"x.{ending}"
            st.save_file(self.ARRAYS, path, {"k": "v"})
            st.save_file(self.ARRAYS, path, {"k": "v"})  # replaces
            for loaded in (st.load_file(path), st.load(path.read_bytes()), st.load_file(str(path))):
                self.assertEqual(set(loaded), set(self.ARRAYS))
                for name, array in self.ARRAYS.items():
                    self.assertTrue(same_bits(loaded[name], array), name)
            with st.safe_open(path, framework="np") as file:
                self.assertEqual(file.keys(), sorted(self.ARRAYS))
                self.assertEqual(set(file.offset_keys()), set(self.ARRAYS))
                self.assertEqual(file.metadata(), {"k": "v"})
                self.assertTrue(same_bits(file.get_tensor("a.bias"), self.ARRAYS["a.bias"]))
                part = file.get_slice("b.weight")
                self.assertEqual((part.get_shape(), part.get_dtype()), ([3, 4], "F32"))
                self.assertTrue(same_bits(part[1:, :2], self.ARRAYS["b.weight"][1:, :2]))
                self.assertTrue(same_bits(part[0], self.ARRAYS["b.weight"][0]))
                with self.assertRaises(KeyError):
                    file.get_tensor("none")
            with self.assertRaises(ValueError):
                file.keys()

    def test_a_pith_archive_holds_the_same_file(self):
        st.save_file(self.ARRAYS, self.folder / "x.safetensors", {"k": "v"})
        st.save_file(self.ARRAYS, self.folder / "x.pith", {"k": "v"})
        pith.decompress(self.folder / "x.pith", self.folder / "y.safetensors")
        self.assertEqual((self.folder / "y.safetensors").read_bytes(),
                         (self.folder / "x.safetensors").read_bytes())  # fmt: skip
        self.assertEqual(pith.open(self.folder / "x.pith").files[0].path, "x.safetensors")

    def test_bits_survive_loading_and_saving(self):
        expected = parse_safetensors(MODEL.read_bytes())
        for raw in (st.load_file(MODEL, raw=True), st.load(MODEL.read_bytes(), raw=True)):
            self.assertIsInstance(raw["model.norm.weight"], pith.Bits)
            st.save_file(raw, self.folder / "m.safetensors", {"format": "pt"})
            self.assertEqual(parse_safetensors((self.folder / "m.safetensors").read_bytes()), expected)
        pith.compress(MODEL, self.folder / "m.pith")
        again = st.save(pith.open(self.folder / "m.pith"), {"format": "pt"})
        self.assertEqual(parse_safetensors(again), expected)

    def test_loading_a_plain_file_copies_nothing(self):
        path = self.folder / "x.safetensors"
        st.save_file({"x": np.zeros((1 << 20,), np.float32), "y": np.zeros(2)}, path)
        loaded = st.load_file(path)
        owner = loaded["x"]
        while isinstance(owner, np.ndarray):
            owner = owner.base
        self.assertIsInstance(owner.obj if isinstance(owner, memoryview) else owner, mmap.mmap)
        before = path.read_bytes()
        loaded["x"][:] = 1  # private pages
        self.assertEqual(path.read_bytes(), before)

    def test_bad_files(self):
        good = st.save(self.ARRAYS)
        path = self.folder / "bad.safetensors"
        for data in (b"", b"\0" * 8, good[:20], good[:-1], good + b"x", b"\xff" * 8 + good[8:],
                     good.replace(b"F32", b"F99")):  # fmt: skip
            path.write_bytes(data)
            for load in (lambda: st.load_file(path), lambda: st.load(path.read_bytes()),
                         lambda: st.safe_open(path, "np")):  # fmt: skip
                with self.assertRaises(pith.Error):
                    load()
        with self.assertRaises(FileNotFoundError):
            st.load_file(self.folder / "none.safetensors")

    def test_arguments(self):
        with self.assertRaises(ValueError):
            st.load_file(MODEL, device="cuda")
        with self.assertRaises(ValueError):
            st.safe_open(MODEL, framework="tf")
        with st.safe_open(MODEL, framework="numpy") as file:
            self.assertEqual(file.get_slice("model.norm.weight").get_dtype(), "BF16")


@unittest.skipUnless(torch, "no PyTorch")
class Torch(Case):
    def tensors(self):
        generator = torch.Generator().manual_seed(1)
        base = torch.randn(6, 8, generator=generator)
        names = ["float32", "float64", "float16", "bfloat16", "int8", "int64", "uint8", "bool",
                 "complex64"]  # fmt: skip
        names += [n for n in ("float8_e4m3fn", "float8_e5m2") if hasattr(torch, n)]
        out = {name: base.to(getattr(torch, name)) for name in names}
        out["view"] = base.t()[1:]
        out["scalar"] = torch.tensor(2.5, dtype=torch.bfloat16)
        out["conjugate"] = out["complex64"].conj()
        out["parameter"] = torch.nn.Parameter(base)
        return out

    def equal(self, a, b):
        self.assertEqual((a.dtype, a.shape), (b.dtype, b.shape))
        a, b = a.detach().resolve_conj().contiguous(), b.detach().resolve_conj().contiguous()
        self.assertEqual(a.numpy().tobytes() if a.dtype != torch.bfloat16
                         else a.view(torch.int16).numpy().tobytes(),
                         b.numpy().tobytes() if b.dtype != torch.bfloat16
                         else b.view(torch.int16).numpy().tobytes())  # fmt: skip

    def test_round_trip(self):
        tensors = self.tensors()
        archive = self.saved(tensors)
        for name, tensor in tensors.items():
            self.equal(archive[name].torch(), tensor)

    def test_safetensors_functions(self):
        import pith.safetensors.torch as stt

        tensors = self.tensors()
        for ending in ("safetensors", "pith"):
            path = self.folder / f"x.{ending}"
            stt.save_file(tensors, path, metadata={"format": "pt"})
            for loaded in (stt.load_file(path), stt.load(path.read_bytes())):
                self.assertEqual(set(loaded), set(tensors))
                for name, tensor in tensors.items():
                    self.equal(loaded[name], tensor)
                    loaded[name].zero_()
            with st.safe_open(path, framework="pt", device="cpu") as file:
                self.equal(file.get_tensor("bfloat16"), tensors["bfloat16"])
                self.equal(file.get_tensor("scalar"), tensors["scalar"])
                self.equal(file.get_slice("bfloat16")[2:5, ::3], tensors["bfloat16"][2:5, ::3])
                self.equal(file.get_slice("bfloat16")[3], tensors["bfloat16"][3])
        self.assertEqual(stt.save(tensors, {"format": "pt"}),
                         (self.folder / "x.safetensors").read_bytes())  # fmt: skip

    def test_models_with_tied_weights(self):
        import pith.safetensors.torch as stt

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = torch.nn.Embedding(10, 4)
                self.head = torch.nn.Linear(4, 10, bias=False)
                self.head.weight = self.embed.weight

        first, second = Model(), Model()
        stt.save_model(first, self.folder / "m.safetensors")
        tensors, metadata = parse_safetensors((self.folder / "m.safetensors").read_bytes())
        self.assertEqual((set(tensors), metadata),
                         ({"embed.weight"}, {"head.weight": "embed.weight"}))  # fmt: skip
        self.assertEqual(stt.load_model(second, self.folder / "m.safetensors"), ([], []))
        self.equal(second.head.weight, first.head.weight)
        stt.save_file({"other": torch.zeros(1)}, self.folder / "o.safetensors")
        with self.assertRaises(RuntimeError):
            stt.load_model(second, self.folder / "o.safetensors")


if __name__ == "__main__":
    unittest.main()
