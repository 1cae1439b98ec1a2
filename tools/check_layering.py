#!/usr/bin/env python3
"""Fails when a part includes a part that stands after it in cmake/parts.cmake.

usage: check_layering.py SOURCE_DIR
"""
import pathlib
import re
import sys


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    listed = re.search(r"set\(PITH_PARTS ([^)]*)\)", (root / "cmake/parts.cmake").read_text())
    parts = listed.group(1).split()
    wrong = []
    for number, part in enumerate(parts):
        for folder in (root / "include/pith" / part, root / "src" / part):
            for path in sorted(folder.rglob("*")):
                if path.suffix not in (".h", ".cc"):
                    continue
                for line, text in enumerate(path.read_text().splitlines(), 1):
                    used = re.match(r'\s*#\s*include\s*["<]pith/([a-z]+)/', text)
                    if used and used.group(1) not in parts[: number + 1]:
                        wrong.append(f"{path}:{line}: part '{part}' may not include '{used.group(1)}'")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
