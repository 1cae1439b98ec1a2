"""What tools/check_recipe_names.py finds, and what it leaves alone."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECK = Path(__file__).resolve().parent.parent / "tools/check_recipe_names.py"
RECIPES = """
// gptq is also here.
r.name = "gptq";
r.name = "hawq-v3";
r.name = "quest";
r.name = "zipnn";
const Cache caches[] = {{.name = "snapkv", .id = "x"},
                        {.name = "rotated-q4"}};
"""


class RecipeNames(unittest.TestCase):
    def found(self, code, path="src/fit/part.cc"):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("src/recipe/recipes.cc", RECIPES), (path, code)):
                file = Path(folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            done = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1 if done.stderr else 0)
            return done.stderr

    def test_names_in_code_and_texts(self):
        for code in ("int gptq = 0;", "void use_gptq();", "class GptqFitter {};", "class GPTQ {};", "HawqV3 h;",
                     "hawq_v3();", "hawqv3();", 'name("hawq-v3");', "bool isQuest;", 'R"(as gptq does)";',
                     'fail("x // y"); int gptq;', "auto c = '\"'; int gptq;", "class SnapKV {};", "rotated_q4();",
                     "/* one */ int gptq; /* two */"):
            self.assertIn("part.cc:1:", self.found(code), code)
        self.assertIn("part.cc:3: 'gptq'", self.found("\n/* a\n */ int gptq;\n"))

    def test_what_is_no_name(self):
        for code in ("// GPTQ: Frantar et al. 2022", "/* after\n GPTQ */", "int request, questions, Requests;",
                     "ask_question(conquest);", 'help("pith compress m --recipe gptq -O bits=3");',
                     'help("pith recipes zipnn    one of them");', 'text("// no comment, and no name");',
                     '#include "pith/recipe/gptq.h"', "int h, awq_v3, hawq;"):
            self.assertEqual(self.found(code), "", code)

    def test_where_names_may_stand(self):
        for path in ("src/recipe/other.cc", "include/pith/recipe/other.h", "src/fit/part_test.cc", "docs/part.cc"):
            self.assertEqual(self.found("int gptq;", path), "", path)
        self.assertEqual(self.found("int zipnn;", "apps/pith/bench_zipnn.cc"), "")
        self.assertIn("'gptq'", self.found("int gptq;", "apps/pith/bench_zipnn.cc"))
        self.assertIn("'zipnn'", self.found("int zipnn;", "apps/pith/compress.cc"))

    def test_studies_are_no_methods(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("src/recipe/recipes.cc", RECIPES), ("src/recipe/studies.cc", 's = {{.name = "harm"}};'),
                               ("src/fit/part.cc", "Harm harm;")):
                file = Path(folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            done = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_without_recipes_nothing_is_right(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("no recipes", done.stderr)


if __name__ == "__main__":
    unittest.main()
