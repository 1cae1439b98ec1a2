#include "pith/base/bytes.h"

#include <bit>

namespace pith {

static_assert(std::endian::native == std::endian::little, "Pith runs on little-endian machines");

uint64_t checked_add(uint64_t a, uint64_t b) {
  uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) fail(ErrorKind::kData, "size overflows 64 bits");
  return sum;
}

uint64_t checked_mul(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) fail(ErrorKind::kData, "size overflows 64 bits");
  return product;
}

void ByteReader::bad(std::string_view why) const {
  fail(ErrorKind::kData, "{}: {} at byte {}", what_, why, at_);
}

ByteView ByteReader::bytes(uint64_t n) {
  if (n > remaining()) {
    fail(ErrorKind::kData, "{}: needs {} bytes at byte {}, {} are left", what_, n, at_,
         remaining());
  }
  const ByteView view = data_.subspan(at_, n);
  at_ += n;
  return view;
}

uint64_t ByteReader::varint() {
  const uint64_t start = at_;
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    const uint8_t byte = u8();
    if (shift == 63 && byte > 1) break;
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  at_ = start;
  bad("a variable-length integer is longer than 64 bits");
}

std::string ByteReader::string() {
  const ByteView text = bytes(varint());
  return {text.begin(), text.end()};
}

uint64_t ByteReader::count(uint64_t unit) {
  const uint64_t start = at_;
  const uint64_t n = varint();
  if (n > remaining() / unit) {
    fail(ErrorKind::kData, "{}: a count of {} at byte {} does not fit the {} bytes that are left",
         what_, n, start, remaining());
  }
  return n;
}

void ByteReader::expect_end() const {
  if (!empty()) bad("unexpected trailing bytes");
}

void ByteWriter::varint(uint64_t v) {
  for (; v >= 0x80; v >>= 7) out_.push_back(static_cast<uint8_t>(v | 0x80));
  out_.push_back(static_cast<uint8_t>(v));
}

}  // namespace pith
