#include "nfc.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unicode.h"
#include "unicode_tables.h"

namespace pith::model {
namespace {

TEST(Nfc, Composes) {
  EXPECT_EQ(nfc("cafe\u0301"), "caf\u00e9");
  EXPECT_EQ(nfc("\u1100\u1161\u11a8"), "\uac01");                    // Hangul
  EXPECT_EQ(nfc("a\u0323\u0307"), "\u1ea1\u0307");                   // the lower mark composes
  EXPECT_EQ(nfc("a\u0307\u0323"), "\u1ea1\u0307");                   // also from the other order
  EXPECT_EQ(nfc("a\u0301\u0301"), "\u00e1\u0301");                   // one of two alike
  EXPECT_EQ(nfc("\u212b\u2126\u0344"), "\u00c5\u03a9\u0308\u0301");  // singletons
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093c");                          // never composed
  EXPECT_EQ(nfc("\uf900"), "\u8c48");
}

TEST(Nfc, LeavesWhatIsComposed) {
  for (const char* text : {"", "plain", "Zürich", "日本語", "한국어", "😀", "\u0301x"}) {
    EXPECT_EQ(nfc(text), text);
  }
}

TEST(Nfc, LeavesBytesThatAreNotUtf8) {
  EXPECT_EQ(nfc("e\xFF\u0301"), "e\xFF\u0301");
  EXPECT_EQ(nfc("\xCC e\u0301"), "\xCC \u00e9");
}

TEST(Nfc, EveryCanonicalDecompositionComesBack) {
  for (size_t k = 0; k < kDecompositionsSize; ++k) {
    const Decomposition& entry = kDecompositions[k];
    std::string whole, parts;
    append_character(whole, entry.code);
    append_character(parts, entry.first);
    if (entry.second) append_character(parts, entry.second);
    EXPECT_EQ(nfc(whole), nfc(parts)) << entry.code;
    if (entry.composes) {
      EXPECT_EQ(nfc(parts), whole) << entry.code;
    }
  }
}

RC_GTEST_PROP(Nfc, TwiceIsOnce, ()) {
  const auto codes = *rc::gen::container<std::vector<char32_t>>(
      rc::gen::elementOf(std::vector<char32_t>{'a', 'o', 0x301, 0x308, 0x323, 0x327, 0x1100, 0x1161,
                                               0x11a8, 0xac00, 0x212b, 0x344, 0x1e69, 0x110080}));
  std::string text;
  for (const char32_t code : codes) append_character(text, code);
  RC_ASSERT(nfc(nfc(text)) == nfc(text));
}

TEST(TextClasses, AreUnicodes) {
  EXPECT_EQ(text_class('a'), TextClass::kLetter);
  EXPECT_EQ(text_class(0xAA), TextClass::kLetter);
  EXPECT_EQ(text_class(0x4E00), TextClass::kLetter);
  EXPECT_EQ(text_class(0x10FFFF), TextClass::kOther);
  EXPECT_EQ(text_class('7'), TextClass::kNumber);
  EXPECT_EQ(text_class(0x2167), TextClass::kNumber);
  EXPECT_EQ(text_class(0x3000), TextClass::kSpace);
  EXPECT_EQ(text_class(0x85), TextClass::kSpace);
  EXPECT_EQ(text_class(0x200B), TextClass::kOther);  // the zero width space is no space
  EXPECT_EQ(text_class('_'), TextClass::kOther);
  EXPECT_EQ(text_class(kRawByte + 0xFF), TextClass::kOther);
}

}  // namespace
}  // namespace pith::model
