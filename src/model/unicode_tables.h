// Tables of the Unicode Character Database, generated; see unicode.h and nfc.h for their use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pith::model {

// Where the class of the code points changes: code point << 2 | TextClass, ascending.
extern const uint32_t kTextClasses[];
extern const size_t kTextClassesSize;

// Where the canonical combining class changes: code point << 8 | class, ascending.
extern const uint32_t kCombiningClasses[];
extern const size_t kCombiningClassesSize;

// One step of canonical decomposition (without Hangul syllables), ascending by code.
struct Decomposition {
  uint32_t code, first, second;  // second: 0 where one code point stands for another
  uint32_t composes;             // 1 where first and second are put together again
};
extern const Decomposition kDecompositions[];
extern const size_t kDecompositionsSize;

}  // namespace pith::model
