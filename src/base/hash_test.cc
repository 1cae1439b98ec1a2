#include "pith/base/hash.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <utility>

namespace pith {
namespace {

// Long enough for every path of XXH3, which treats more than 240 bytes, and then each KiB, apart.
Bytes numbers(size_t size) {
  Bytes out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(i * 7 % 251);
  return out;
}

// The values of `xxhsum -H3` and `xxhsum -H2`: archives are full of them, they may never change.
TEST(Hash, AgreesWithXxhsum) {
  EXPECT_EQ(hash64({}), 0x2d06800538d394c2u);
  EXPECT_EQ(hash64(as_bytes("a")), 0xe6c632b61e964e1fu);
  EXPECT_EQ(hash64(numbers(1000)), 0xd1eb8367bf3294e7u);
  EXPECT_EQ(hash128({}).hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash128(as_bytes("a")).hex(), "a96faf705af16834e6c632b61e964e1f");
  EXPECT_EQ(hash128(as_bytes("abc")).hex(), "06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ(hash128(numbers(1000)).hex(), "5ed35fc6b4f0ef20d1eb8367bf3294e7");
}

TEST(Hash, BytesAreInTheOrderOfTheDigits) {
  const Hash128 hash = hash128(as_bytes("abc"));
  EXPECT_EQ(hash.bytes.front(), 0x06);
  EXPECT_EQ(hash.bytes.back(), 0x50);
  EXPECT_EQ(Hash128{}.hex(), std::string(32, '0'));
}

RC_GTEST_PROP(Hasher128, DoesNotSeeWhereThePiecesEnd, (const std::vector<uint16_t>& sizes)) {
  size_t total = 0;
  for (const uint16_t size : sizes) total += size % 3000;
  const Bytes data = numbers(total);
  Hasher128 hasher;
  size_t at = 0;
  for (const uint16_t size : sizes) {
    hasher.update(ByteView(data).subspan(at, size % 3000));
    at += size % 3000;
    // Looking does not disturb, and tells the hash so far.
    RC_ASSERT(hasher.digest() == hash128(ByteView(data).first(at)));
  }
  RC_ASSERT(hasher.digest() == hash128(data));
}

TEST(Hasher128, MovesWithItsState) {
  Hasher128 first;
  first.update(as_bytes("a"));
  Hasher128 second = std::move(first);
  second.update(as_bytes("bc"));
  EXPECT_EQ(second.digest(), hash128(as_bytes("abc")));
  Hasher128 third;
  third.update(as_bytes("something else"));
  third = std::move(second);
  EXPECT_EQ(third.digest(), hash128(as_bytes("abc")));
}

}  // namespace
}  // namespace pith
