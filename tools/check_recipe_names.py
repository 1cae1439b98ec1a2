#!/usr/bin/env python3
"""Fails when code outside `recipe` names a published method that has a recipe.

usage: check_recipe_names.py SOURCE_DIR

A method is a composition of parts that know nothing of it, so that none of its names may stand in the code of
src/, include/ or apps/: not as an identifier or a piece of one (AwqScales, use_awq), not in a text. Papers are cited
in comments, which are not looked at. Names are words of their own: "quest" is not found in "request". A text may show
a command line that names a recipe ("--recipe zipnn", "pith recipes zipnn"). Tests and documents are not looked at:
they say what a method is to show.
"""
import pathlib
import re
import sys

FOLDERS = ("src", "include", "apps")
# Files that speak of a program of that name, not of the method: peers in benchmarks.
OTHERS = {"zipnn": re.compile(r"apps/pith/bench[a-z_]*\.(cc|h)$")}

# How recipes and caches are registered. Studies stand in a file of their own: what they are called is what they look at.
STUDIES = "studies.cc"
NAMED = re.compile(r'(?:\br|\{)\.name = "([^"]+)"')
# A raw text, a text, a character, or a comment; what is left is code.
LEXEME = re.compile(
    r'R"(?P<mark>[^(\s]*)\((?P<raw>.*?)\)(?P=mark)"'
    r'|"(?P<text>(?:[^"\\\n]|\\.)*)"'
    r"|'(?:[^'\\\n]|\\.)+'"
    r"|(?P<comment>//[^\n]*|/\*.*?\*/)",
    re.S,
)
# Command lines, and the headers of recipes.
SHOWN = re.compile(r"(?:--recipe|recipes)[ =]+[\w:=-]+|^pith/recipe/\w+\.h$")


def names_in(folder):
    """Of all recipes that are registered."""
    texts = [path.read_text() for path in sorted(folder.glob("*.cc")) if path.name != STUDIES]
    return sorted({name for text in texts for name in NAMED.findall(text)})


def words(text):
    """What identifiers and texts are made of, in small letters, with spaces around each; and once more with words whole
    that have capitals inside: of SnapKV also snapkv."""
    whole = re.findall(r"[a-z0-9]+", text.lower())
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)
    text = re.sub(r"([A-Z])([A-Z][a-z])", r"\1 \2", text)
    return " " + " ".join(re.findall(r"[a-z0-9]+", text.lower()) + ["."] + whole) + " "


def patterns_of(names):
    """For each name how its words may stand: hawq-v3, HawqV3, hawqv3."""
    return {name: re.compile(" " + " ?".join(re.findall(r"[a-z]+|[0-9]+", name)) + " ") for name in names}


def pieces(text):
    """(line, code or text) of a source without its comments and what command lines show."""
    at = 0
    for found in LEXEME.finditer(text):
        line = text.count("\n", 0, at) + 1
        yield from ((line + n, part) for n, part in enumerate(text[at : found.start()].split("\n")))
        if found["comment"] is None:
            line = text.count("\n", 0, found.start()) + 1
            inside = found["raw"] if found["raw"] is not None else found["text"] or ""
            yield from ((line + n, SHOWN.sub(" ", part)) for n, part in enumerate(inside.split("\n")))
        at = found.end()
    line = text.count("\n", 0, at) + 1
    yield from ((line + n, part) for n, part in enumerate(text[at:].split("\n")))


def check(root):
    recipes = root / "src/recipe"
    patterns = patterns_of(names_in(recipes))
    if not patterns:
        return [f"{recipes}: no recipes were found"]
    wrong = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            place = path.relative_to(root).as_posix()
            is_test = path.name.endswith("_test.cc") or path.name.startswith("testing")
            if path.suffix not in (".h", ".cc") or is_test or "/recipe/" in place:
                continue
            for line, piece in pieces(path.read_text()):
                text = words(piece)
                for name, pattern in patterns.items():
                    if pattern.search(text) and not (name in OTHERS and OTHERS[name].search(place)):
                        wrong.append(f"{place}:{line}: '{name}' is the name of a recipe, not of a part")
    return wrong


def main() -> int:
    wrong = check(pathlib.Path(sys.argv[1]))
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
