"""Runs the examples of the module's docstrings, docs/python.md and docs/c-api.md.

    PYTHONPATH=build/release/python python3 tests/python_docs_test.py
"""

import doctest
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import numpy as np

import pith
from pith import _archive, _bits, _form, _frame, _model, _tensor, _write
from pith.safetensors import _files, _open
from pith.safetensors import numpy as st_numpy

SOURCE = pathlib.Path(os.environ.get("PITH_SOURCE", pathlib.Path(__file__).resolve().parents[1]))
MODEL = SOURCE / "data/lm/model.safetensors"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page, *languages):
    """The fenced blocks of a page in these languages, as (language, text)."""
    text = (SOURCE / "docs" / page).read_text()
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)
    return [(language, body) for language, body in found if language in languages]


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        self.folder = pathlib.Path(folder.name)
        os.chdir(self.folder)
        os.symlink(MODEL.parent, "lm")

    def passes(self, test):
        report = []
        result = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append)
        self.assertGreater(result.attempted, 0)
        self.assertEqual(result.failed, 0, "".join(report))


class Docstrings(Case):
    def test_all(self):
        tensors = {"layer.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
                   "layer.bias": np.full(4, 0.5, np.float32)}  # fmt: skip
        pith.safetensors.save_file(tensors, "model.safetensors")
        pith.save("example.pith", tensors)
        names = {"pith": pith, "np": np, "folder": self.folder,
                 "example": self.folder / "example.pith"}  # fmt: skip
        seen = set()
        for module in (pith, _archive, _bits, _form, _frame, _model, _tensor, _write, _files, _open,
                       st_numpy):
            for test in doctest.DocTestFinder().find(module, extraglobs=names):
                if test.examples and test.name not in seen:
                    seen.add(test.name)
                    with self.subTest(test.name):
                        self.passes(test)
        self.assertGreater(len(seen), 10)


class Pages(Case):
    def test_python(self):
        shutil.copy(MODEL, "model.safetensors")
        text = "\n".join(body for _, body in blocks("python.md", "python"))
        self.passes(doctest.DocTestParser().get_doctest(text, {}, "python.md", None, 0))

    @unittest.skipUnless(os.environ.get("PITH_C_LIBRARY"), "no C library")
    def test_c(self):
        pith.compress(MODEL, "model.pith")
        library = os.environ["PITH_C_LIBRARY"]
        pairs = blocks("c-api.md", "c", "text")
        self.assertEqual([language for language, _ in pairs], ["c", "text"] * 3)
        for (_, program), (_, expected) in zip(pairs[::2], pairs[1::2]):
            pathlib.Path("program.c").write_text(program)
            subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Wpedantic",
                            "-Werror", f"-I{SOURCE / 'include'}", "program.c", "-o", "program",
                            f"-L{library}", f"-Wl,-rpath,{library}", "-lpith"], check=True)  # fmt: skip
            output = subprocess.run(["./program"], check=True, capture_output=True, text=True).stdout
            self.assertEqual(output, expected)


if __name__ == "__main__":
    unittest.main()
