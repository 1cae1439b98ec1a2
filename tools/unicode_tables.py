#!/usr/bin/env python3
"""Writes src/model/unicode_tables.cc from the Unicode data that Python carries.

usage: unicode_tables.py > src/model/unicode_tables.cc
"""
import sys
import unicodedata

CLASSES = {"other": 0, "letter": 1, "number": 2, "space": 3}
SPACES = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
          0x202F, 0x205F, 0x3000]  # the property White_Space
HANGUL = range(0xAC00, 0xAC00 + 11172)  # decomposed by arithmetic


def text_class(code):
    if code in SPACES:
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(chr(code))[0], "other")


def runs(value_of):
    """(first code point, value) wherever the value changes."""
    last = None
    for code in range(0x110000):
        value = value_of(code)
        if value != last:
            yield code, value
            last = value


def array(kind, name, rows):
    print(f"const {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 100:
            print(line)
            line = "   "
        line += f" {row},"
    print(line)
    print("};")
    print(f"const size_t {name}Size = std::size({name});\n")


def decompositions():
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if not parts or parts[0].startswith("<") or code in HANGUL:
            continue
        first, second = [int(part, 16) for part in parts] + [0] * (2 - len(parts))
        composes = unicodedata.normalize("NFC", chr(code)) == chr(code)
        yield f"{{0x{code:x}, 0x{first:x}, 0x{second:x}, {int(composes)}}}"


def main():
    print(f"""// Written by tools/unicode_tables.py from Unicode {unicodedata.unidata_version}; do not edit.
//
// The data are facts of the Unicode Character Database (general categories, White_Space, combining
// classes, canonical decompositions), copyright 1991-present Unicode, Inc., used under the Unicode
// License V3 (https://www.unicode.org/license.txt).
#include "unicode_tables.h"

#include <iterator>

// clang-format off
namespace pith::model {{
""")
    array("uint32_t", "kTextClasses",
          (f"0x{code << 2 | CLASSES[value]:x}" for code, value in runs(text_class)))
    array("uint32_t", "kCombiningClasses",
          (f"0x{code << 8 | value:x}" for code, value in runs(lambda c: unicodedata.combining(chr(c)))))
    array("Decomposition", "kDecompositions", decompositions())
    print("}  // namespace pith::model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
