"""pith compress of networks of ONNX with recipes and limits, and what comes of them."""

import io
import json
import math
import struct
import unittest

from command_support import REPOSITORY, CommandTest

NETWORKS = REPOSITORY / "data/networks"


def npy(shape, values, kind="<f4"):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header = header.ljust(117) + "\n"
    code = {"<f4": "f", "<i8": "q"}[kind]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(
        f"<{len(values)}{code}", *values)


def images(count, seed):
    """Blobs of light, here and there."""
    out = []
    for k in range(count):
        cx, cy = 6 + (seed * 7 + 5 * k) % 12, 6 + (seed * 3 + 11 * k) % 12
        size, sign = 2 + (seed + k) % 5, 1 - 2 * (k % 2)
        for i in range(576):
            x, y = i % 24 - cx, i // 24 - cy
            light = sign * 0.4 * (abs(x) <= size and abs(y) <= size)
            out.append(light + 0.15 * math.sin(12.9898 * (i + 576 * k + 77 * seed)))
    return out


class Networks(CommandTest):
    def setUp(self):
        super().setUp()
        for name in ("vit", "residual"):
            self.write(f"{name}.onnx", (NETWORKS / f"{name}.onnx").read_bytes())
        self.write("seen.npy", npy((24, 1, 24, 24), images(24, 1)))
        self.write("others.npy", npy((24, 1, 24, 24), images(24, 2)))

    def compress(self, *args, name="vit.onnx", out="small.pith"):
        return json.loads(self.ok("compress", name, "-o", out, "-f", "--json", *args).stdout)

    def error(self, archive="small.pith", name="vit.onnx"):
        done = self.ok("eval", archive, "--against", name, "--inputs", "others.npy", "--json")
        return json.loads(done.stdout)["outputs"][0]["error"]

    def refused(self, *args, names=(), code=2, name="vit.onnx"):
        """And nothing is written."""
        self.fails("compress", name, "-o", "no.pith", *args, code=code, names=list(names))
        self.assertFalse((self.dir / "no.pith").exists())

    def test_recipes_lose_less_by_what_layers_see(self):
        for name in ("vit.onnx", "residual.onnx"):
            errors, sizes = {}, {}
            for recipe, more in (("rtn", ()), ("gptq", ("--inputs", "seen.npy"))):
                report = self.compress("--recipe", recipe, "-O", "bits=3", "-O", "group=32", *more, name=name)
                self.assertEqual(report["fit"]["by_inputs"], bool(more))
                self.assertFalse(report["lossless"])
                self.ok("verify", "small.pith")
                errors[recipe], sizes[recipe] = self.error(name=name), (self.dir / "small.pith").stat().st_size
                self.assertEqual(sizes[recipe], report["stored"])
                # All that is stored, and no more than was said.
                self.assertLess(abs(report["fit"]["bytes"] - report["stored"]), 6000)
            self.assertLess(errors["gptq"], 0.95 * errors["rtn"])
            self.assertEqual(sizes["gptq"], sizes["rtn"])

    def test_what_comes_back_is_what_was_measured(self):
        report = self.compress("--recipe", "gptq", "-O", "bits=4", "--inputs", "seen.npy")
        done = self.ok("eval", "small.pith", "--against", "vit.onnx", "--inputs", "seen.npy", "--json")
        error = json.loads(done.stdout)["outputs"][0]["error"]
        self.assertAlmostEqual(error, report["fit"]["error"], delta=1e-3 * error)
        before = self.error()
        self.ok("decompress", "small.pith", "-o", "back.onnx")
        self.assertEqual(self.error("back.onnx"), before)
        forms = {t["name"]: t["form"] for t in json.loads(self.ok("inspect", "small.pith", "--json").stdout)["tensors"]}
        # Linear layers are there with a row for each output, convolutions as all of their window.
        self.assertTrue(forms["patches.weight"]["expression"].startswith("uniform(4, group=128"))

    def test_limits_are_met_and_more_bytes_lose_less(self):
        before = math.inf
        for limit in (("--bits", "20"), ("--size", "80KiB"), ("--ratio", "1.5")):
            report = self.compress(*limit, "--inputs", "seen.npy")
            most = {"--bits": 20 * report["fit"]["weights"] / 8, "--size": 80 << 10, "--ratio": report["raw"] / 1.5}
            self.assertLessEqual(report["stored"], most[limit[0]])
            error = self.error()
            self.assertLess(error, before)
            before = error
        errors = []
        for more in ((), ("--inputs", "seen.npy")):
            self.compress("--bits", "20", *more)
            errors.append(self.error())
        self.assertLess(errors[1], errors[0])
        report = self.compress("--bits", "20", "--recipe", "gptq", "--inputs", "seen.npy")
        self.assertIn("bits=", report["fit"]["note"])
        self.compress("--size", "80KiB", "--choose", "uniform(3, group=32)", "--choose", "uniform(6, group=32)")
        self.refused("--size", "20KiB", "--inputs", "seen.npy", code=1, names=["20480 bytes", "smallest archive"])
        self.refused("--bits", "2", names=["smallest archive", "bits a weight"], code=1)

    def test_joined_heads(self):
        report = self.compress("--recipe", "comcat", "-O", "keep=80%", "--inputs", "seen.npy")
        self.assertIn("3 of attention found, 4 heads", report["fit"]["note"])
        joined = self.error()
        self.assertLess(joined, 0.3)
        self.assertGreater(joined, 0)

    def test_dry_run_and_keep(self):
        done = self.ok("compress", "vit.onnx", "--recipe", "rtn", "--dry-run", "--json")
        self.assertGreater(len(json.loads(done.stdout)["tensors"]), 10)
        self.assertFalse((self.dir / "vit.onnx.pith").exists())
        report = self.compress("--recipe", "rtn", "--keep", "head|patches")
        names = [t["name"] for t in report["fit"]["tensors"]]
        self.assertFalse([n for n in names if "head" in n or "patches" in n])
        done = self.ok("compress", "vit.onnx", "--recipe", "rtn", "-o", "a.pith")
        self.assertIn("without --inputs", done.stderr.decode())

    def test_groups_of_convolutions(self):
        """--form alone: groups of all that an output reads."""
        self.ok("compress", "residual.onnx", "--form", "uniform(4, group=64)", "-o", "form.pith")
        whole = (self.dir / "residual.onnx").stat().st_size
        self.assertLess((self.dir / "form.pith").stat().st_size, 0.45 * whole)
        found = json.loads(self.ok("inspect", "form.pith", "--json").stdout)["tensors"]
        large = [t for t in found if t["form"] and t["shape"][1:] == [36, 3, 3]]
        self.assertTrue(large)
        for t in large:
            self.assertLess(t["form"]["bits_per_weight"], 5)

    def test_recipes_that_do_not_fit(self):
        self.refused("--recipe", "gptq", names=["--inputs", "rtn is the nearest that needs none"])
        for recipe in ("mc-moe", "late-attention", "evopress", "fwsvd"):
            self.refused("--recipe", recipe, "--inputs", "seen.npy",
                         names=["language models", "is the nearest that fits it"])
        self.refused("--kl", "0.1", "--inputs", "seen.npy", names=["--bits, --size or --ratio"])
        self.refused("--bits", "8", "--tokens", "9", names=["takes --inputs"])
        self.refused("--bits", "8", "--rotate", "hadamard", names=["language models"])
        self.refused("--recipe", "hawq-v3", "--inputs", "seen.npy", names=["need a limit"])
        self.refused("--inputs", "seen.npy", names=["a recipe or a limit"])
        self.write("x.bin", b"abc")
        self.refused("--bits", "8", "--inputs", "seen.npy", name="x.bin", names=["network of ONNX"])
        self.refused("--recipe", "lr2vq", "-O", "length=7", "--inputs", "seen.npy", names=["runs of 7 do not divide"])

    def test_inputs_that_are_wrong(self):
        def wrong(data, *names, code=2):
            self.write("bad.npy", data)
            self.refused("--bits", "16", "--inputs", "bad.npy", names=["bad.npy", *names], code=code)
        wrong(npy((2, 3, 24, 24), [0.0] * 3456), "[2, 3, 24, 24]", "[any, 1, 24, 24]")
        wrong(npy((1, 576), [0.0] * 576), "[1, 576]")
        wrong(npy((0, 1, 24, 24), []), "no elements")
        wrong(npy((1, 1, 24, 24), [0.0] * 575 + [math.nan]), "NaN at element 575", code=1)
        wrong(npy((1, 1, 24, 24), [math.inf] + [0.0] * 575), "infinity at element 0", code=1)
        wrong(npy((1, 1, 24, 24), [1] * 576, "<i8"), "i64", "images")
        wrong(b"no arrays", "npy or npz")
        self.refused("--bits", "16", "--inputs", "absent.npy", names=["absent.npy"], code=1)
        self.write("two.npz", b"")
        import zipfile
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as z:
            for name in ("a", "b"):
                z.writestr(f"{name}.npy", npy((1, 1, 24, 24), [0.0] * 576))
        self.write("two.npz", packed.getvalue())
        self.refused("--bits", "16", "--inputs", "two.npz", names=["two.npz", "images", "a, b"])


if __name__ == "__main__":
    unittest.main()
