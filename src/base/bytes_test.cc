#include "pith/base/bytes.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <optional>

namespace pith {
namespace {

// What an action that must fail says; every error here is one of the data.
std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kData);
    return e.what();
  }
  return "no error";
}

Bytes varint_of(uint64_t value) {
  Bytes out;
  ByteWriter(out).varint(value);
  return out;
}

RC_GTEST_PROP(Varint, ReadsBackWhatWasWritten, (uint64_t value)) {
  const Bytes out = varint_of(value);
  ByteReader in(out);
  RC_ASSERT(in.varint() == value);
  RC_ASSERT(in.empty());
}

TEST(Varint, TakesOneByteForSevenBits) {
  for (int bits = 0; bits < 64; ++bits) {
    const uint64_t first = uint64_t{1} << bits;  // the smallest of bits + 1 bits
    const Bytes out = varint_of(first), below = varint_of(first - 1);
    EXPECT_EQ(out.size(), static_cast<size_t>(bits / 7 + 1)) << first;
    EXPECT_EQ(ByteReader(out).varint(), first);
    EXPECT_EQ(ByteReader(below).varint(), first - 1);
  }
  EXPECT_EQ(varint_of(UINT64_MAX).size(), 10u);
  EXPECT_EQ(varint_of(300), (Bytes{0xAC, 0x02})) << "LEB128";
}

TEST(Varint, RefusesMoreThan64Bits) {
  const Bytes eleven(11, 0xFF);
  EXPECT_THROW(ByteReader(eleven).varint(), Error);
  const Bytes zeros_without_end(20, 0x80);
  EXPECT_THROW(ByteReader(zeros_without_end).varint(), Error);
  Bytes overflow(9, 0xFF);
  overflow.push_back(2);
  EXPECT_THROW(ByteReader(overflow).varint(), Error);
  overflow.back() = 1;
  EXPECT_EQ(ByteReader(overflow).varint(), UINT64_MAX);
}

TEST(Varint, NamesItsFirstByteWhenTooLong) {
  Bytes data = {1, 2};
  data.resize(15, 0xFF);
  ByteReader in(data, "index");
  in.u16();
  EXPECT_EQ(error_of([&] { in.varint(); }),
            "index: a variable-length integer is longer than 64 bits at byte 2");
}

TEST(Varint, CutOffIsAnError) {
  for (const uint64_t value : {uint64_t{1} << 7, UINT64_MAX}) {
    Bytes out = varint_of(value);
    while (!out.empty()) {
      out.pop_back();
      EXPECT_THROW(ByteReader(out).varint(), Error) << out.size();
    }
  }
}

TEST(ByteWriter, IsLittleEndian) {
  Bytes out = {9};
  ByteWriter w(out);
  w.u8(0x01);
  w.u16(0x0302);
  w.u32(0x07060504);
  w.u64(0x0F0E0D0C0B0A0908);
  w.bytes({});
  w.string("ab");
  EXPECT_EQ(out, (Bytes{9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2, 'a', 'b'}));
}

TEST(ByteReader, ReadsInOrder) {
  const Bytes data = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2, 'a', 0, 42, 43};
  ByteReader in(data);
  EXPECT_EQ(in.u8(), 0x01);
  EXPECT_EQ(in.u16(), 0x0302);
  EXPECT_EQ(in.u32(), 0x07060504u);
  EXPECT_EQ(in.u64(), 0x0F0E0D0C0B0A0908u);
  EXPECT_EQ(in.string(), std::string("a\0", 2));
  EXPECT_EQ(in.offset(), 18u);
  EXPECT_EQ(in.remaining(), 2u);
  EXPECT_FALSE(in.empty());
  const ByteView rest = in.bytes(2);
  EXPECT_EQ(rest.data(), data.data() + 18) << "a view, no copy";
  EXPECT_EQ(rest.size(), 2u);
  EXPECT_TRUE(in.empty());
  in.expect_end();
  EXPECT_TRUE(in.bytes(0).empty());
}

TEST(ByteReader, NamesThePlaceOfAReadPastTheEnd) {
  const Bytes three = {1, 2, 3};
  ByteReader in(three, "header");
  in.u8();
  EXPECT_EQ(error_of([&] { in.u32(); }), "header: needs 4 bytes at byte 1, 2 are left");
  EXPECT_EQ(error_of([&] { in.u64(); }), "header: needs 8 bytes at byte 1, 2 are left");
  EXPECT_EQ(in.u16(), 0x0302) << "a refused read takes nothing";
  EXPECT_EQ(error_of([&] { in.u8(); }), "header: needs 1 bytes at byte 3, 0 are left");
}

TEST(ByteReader, HugeLengthsDoNotWrapAround) {
  const Bytes data(8);
  ByteReader in(data);
  in.u32();
  for (const uint64_t n : {uint64_t{5}, UINT64_MAX, UINT64_MAX - 3}) {
    EXPECT_THROW(in.bytes(n), Error) << n;
  }
  Bytes text = varint_of(UINT64_MAX);
  text.push_back('x');
  EXPECT_THROW(ByteReader(text).string(), Error);
}

TEST(ByteReader, BelievesCountsThatCanBeThere) {
  for (const uint64_t unit : {1, 2, 7}) {
    Bytes data = varint_of(3);
    data.resize(data.size() + 3 * unit);
    EXPECT_EQ(ByteReader(data).count(unit), 3u);
    data.pop_back();
    EXPECT_THROW(ByteReader(data).count(unit), Error) << unit;
  }
  const Bytes none = varint_of(0);
  EXPECT_EQ(ByteReader(none).count(1000), 0u);
  // The product of count and unit would be 0 in 64 bits.
  EXPECT_THROW(ByteReader(varint_of(uint64_t{1} << 62)).count(8), Error);
}

TEST(ByteReader, NamesThePlaceOfACount) {
  Bytes data = {7};
  const Bytes count = varint_of(300);
  data.insert(data.end(), count.begin(), count.end());
  data.resize(data.size() + 5);
  ByteReader in(data, "index");
  in.u8();
  EXPECT_EQ(error_of([&] { in.count(1); }),
            "index: a count of 300 at byte 1 does not fit the 5 bytes that are left");
}

TEST(ByteReader, RefusesBytesAfterTheEnd) {
  const Bytes data = {1, 2};
  ByteReader in(data, "footer");
  in.u8();
  EXPECT_EQ(error_of([&] { in.expect_end(); }), "footer: unexpected trailing bytes at byte 1");
  EXPECT_EQ(error_of([&] { in.bad("an unknown flag"); }), "footer: an unknown flag at byte 1");
}

TEST(CheckedArithmetic, RefusesOverflow) {
  EXPECT_EQ(checked_add(UINT64_MAX - 1, 1), UINT64_MAX);
  EXPECT_EQ(checked_mul(UINT64_MAX, 1), UINT64_MAX);
  EXPECT_EQ(checked_mul(UINT64_MAX, 0), 0u);
  EXPECT_EQ(error_of([] { checked_add(UINT64_MAX, 1); }), "size overflows 64 bits");
  EXPECT_EQ(error_of([] { checked_mul(uint64_t{1} << 33, uint64_t{1} << 33); }),
            "size overflows 64 bits");
}

// Sizes of every magnitude, so that sums and products fall on both sides of the limit.
uint64_t size_of(uint64_t bits, uint8_t shift) { return bits >> shift % 64; }

RC_GTEST_PROP(CheckedArithmetic, IsExactOrRefuses, (uint64_t a, uint64_t b, uint8_t s, uint8_t t)) {
  __extension__ typedef unsigned __int128 Wide;
  const uint64_t x = size_of(~a, s), y = size_of(~b, t);
  const auto result = [&](uint64_t (*f)(uint64_t, uint64_t)) -> std::optional<uint64_t> {
    try {
      return f(x, y);
    } catch (const Error&) {
      return std::nullopt;
    }
  };
  const auto fits = [](Wide exact) {
    return exact <= UINT64_MAX ? std::optional(static_cast<uint64_t>(exact)) : std::nullopt;
  };
  RC_ASSERT(result(checked_add) == fits(Wide{x} + y));
  RC_ASSERT(result(checked_mul) == fits(Wide{x} * y));
}

}  // namespace
}  // namespace pith
