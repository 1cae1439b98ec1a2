#include "pith/base/bytes.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace pith {
namespace {

RC_GTEST_PROP(Varint, ReadsBackWhatWasWritten, (uint64_t value)) {
  Bytes out;
  ByteWriter(out).varint(value);
  ByteReader in(out);
  RC_ASSERT(in.varint() == value);
  RC_ASSERT(in.empty());
}

TEST(Varint, RefusesMoreThan64Bits) {
  const Bytes eleven(11, 0xFF);
  EXPECT_THROW(ByteReader(eleven).varint(), Error);
  Bytes overflow(9, 0xFF);
  overflow.push_back(2);
  EXPECT_THROW(ByteReader(overflow).varint(), Error);
  overflow.back() = 1;
  EXPECT_EQ(ByteReader(overflow).varint(), UINT64_MAX);
}

TEST(ByteReader, NamesThePlaceOfAReadPastTheEnd) {
  const Bytes three = {1, 2, 3};
  ByteReader in(three, "header");
  in.u8();
  try {
    in.u32();
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "header: needs 4 bytes at byte 1, 2 are left");
  }
}

TEST(ByteReader, RefusesCountsThatCannotBeThere) {
  Bytes out;
  ByteWriter(out).varint(uint64_t{1} << 62);
  EXPECT_THROW(ByteReader(out).count(8), Error);
}

TEST(CheckedArithmetic, RefusesOverflow) {
  EXPECT_EQ(checked_add(1, 2), 3u);
  EXPECT_THROW(checked_add(UINT64_MAX, 1), Error);
  EXPECT_THROW(checked_mul(uint64_t{1} << 33, uint64_t{1} << 33), Error);
}

}  // namespace
}  // namespace pith
