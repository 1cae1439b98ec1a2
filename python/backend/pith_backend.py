"""Builds the wheel (PEP 517): runs CMake for the extension and packs it with the Python files.

It needs nothing but Python's own library, so that `pip install .` works without a network:

    pip install .
    pip install . --config-settings=cmake=-DCMAKE_BUILD_TYPE=Debug

The build folder is build/python-<tag>; it is kept, so that the next build is short. The libraries
that Pith needs come from the system (see ./run), like the compiler, cmake and ninja or make.
"""

import base64
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SUMMARY = "Lossless compression of AI model files"
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the same sources give the same wheel


def _version():
    text = (ROOT / "CMakeLists.txt").read_text()
    return re.search(r"project\(pith VERSION ([0-9.]+)", text).group(1)


def _tag():
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    return f"{python}-{python}-{platform}"


def _metadata():
    return (
        "Metadata-Version: 2.1\n"
        "Name: pith\n"
        f"Version: {_version()}\n"
        f"Summary: {SUMMARY}\n"
        "License: Apache-2.0\n"
        "Requires-Python: >=3.9\n"
        "Requires-Dist: numpy>=1.22\n"
        "Description-Content-Type: text/markdown\n\n" + (ROOT / "docs/python.md").read_text()
    ).encode()


def _run(*command):
    print("+", *command, flush=True)
    if subprocess.run(command).returncode != 0:
        raise SystemExit(f"pith: '{' '.join(map(str, command))}' failed; its output is above")


def _build_extension(config_settings):
    cmake = shutil.which("cmake")
    if not cmake:
        raise SystemExit("pith: cmake is needed to build it (Debian: apt install cmake ninja-build)")
    generator = "Ninja" if shutil.which("ninja") else "Unix Makefiles"
    if generator != "Ninja" and not shutil.which("make"):
        raise SystemExit("pith: ninja or make is needed to build it")
    build = ROOT / "build" / f"python-{_tag()}"
    given = (config_settings or {}).get("cmake", [])
    options = [given] if isinstance(given, str) else given
    fresh = [] if (build / "CMakeCache.txt").exists() else ["-G", generator]
    _run(cmake, "-S", ROOT, "-B", build, *fresh, "-DCMAKE_BUILD_TYPE=Release", "-DPITH_TESTS=OFF",
         "-DPITH_BENCH=OFF", "-DPITH_PYTHON=ON", f"-DPython3_EXECUTABLE={sys.executable}",
         "-DPython3_FIND_VIRTUALENV=FIRST", *options)  # fmt: skip
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(len(os.sched_getaffinity(0)))
    _run(cmake, "--build", build, "--target", "pith_python", "--parallel", jobs)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    extension = build / "python" / "pith" / f"_pith{suffix}"
    if not extension.exists():
        raise SystemExit(f"pith: the build made no {extension}; was it for another Python?")
    return extension


class _Wheel:
    """A zip file with the record of hashes that a wheel ends with."""

    def __init__(self, path):
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self._records = []

    def add(self, name, data, executable=False):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self._records.append(f"{name},sha256={digest},{len(data)}\n")
        self._write(name, data, executable)

    def finish(self, record):
        self._write(record, "".join([*self._records, f"{record},,\n"]).encode(), False)
        self._zip.close()

    def _write(self, name, data, executable):
        entry = zipfile.ZipInfo(name, FIXED_TIME)
        entry.external_attr = (0o100755 if executable else 0o100644) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._zip.writestr(entry, data)


def _write_wheel(wheel_directory, files):
    """files: (name in the wheel, bytes, executable)."""
    name = f"pith-{_version()}-{_tag()}.whl"
    info = f"pith-{_version()}.dist-info"
    wheel = _Wheel(pathlib.Path(wheel_directory) / name)
    for file in files:
        wheel.add(*file)
    wheel.add(f"{info}/METADATA", _metadata())
    wheel.add(f"{info}/WHEEL", _wheel_file())
    wheel.add(f"{info}/LICENSE", (ROOT / "LICENSE").read_bytes())
    wheel.finish(f"{info}/RECORD")
    return name


def _wheel_file():
    return (f"Wheel-Version: 1.0\nGenerator: pith_backend\nRoot-Is-Purelib: false\n"
            f"Tag: {_tag()}\n").encode()  # fmt: skip


# The hooks of PEP 517 and PEP 660.


def get_requires_for_build_wheel(config_settings=None):
    return []


get_requires_for_build_sdist = get_requires_for_build_wheel
get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    extension = _build_extension(config_settings)
    package = ROOT / "python" / "pith"
    sources = [path for path in sorted(package.rglob("*"))
               if path.suffix in (".py", ".pyi") or path.name == "py.typed"]  # fmt: skip
    files = [(f"pith/{path.relative_to(package).as_posix()}", path.read_bytes(), False)
             for path in sources]  # fmt: skip
    files.append((f"pith/{extension.name}", extension.read_bytes(), True))
    return _write_wheel(wheel_directory, files)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """The package of the build folder, which is links to the sources."""
    folder = _build_extension(config_settings).parents[1]
    return _write_wheel(wheel_directory, [("pith.pth", f"{folder}\n".encode(), False)])


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    info = pathlib.Path(metadata_directory) / f"pith-{_version()}.dist-info"
    info.mkdir()
    (info / "METADATA").write_bytes(_metadata())
    (info / "WHEEL").write_bytes(_wheel_file())
    return info.name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_sdist(sdist_directory, config_settings=None):
    """What git tracks, without the reference model and the tests' data."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    base = f"pith-{_version()}"
    with tarfile.open(pathlib.Path(sdist_directory) / f"{base}.tar.gz", "w:gz") as tar:
        for name in filter(None, listed.stdout.decode().split("\0")):
            if not name.startswith("data/") and (ROOT / name).is_file():
                tar.add(ROOT / name, f"{base}/{name}", recursive=False)
        info = tarfile.TarInfo(f"{base}/PKG-INFO")
        data = _metadata()
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return f"{base}.tar.gz"
