// Sparse tensors: a bitmap of the elements that are not zero (all bits clear), and those elements.

#include <bit>

#include "block.h"
#include "stream.h"

namespace pith::lossless {
namespace {

template <class T>
uint64_t compact(ByteView raw, Bytes& bitmap, Bytes& kept) {
  const uint64_t n = raw.size() / sizeof(T);
  bitmap.assign((n + 7) / 8, 0);
  kept.resize(raw.size());
  uint8_t* to = kept.data();
  for (uint64_t i = 0; i < n; ++i) {
    const T v = load_le<T>(raw.data() + i * sizeof(T));
    store_le(to, v);
    to += v != 0 ? sizeof(T) : 0;
    bitmap[i / 8] = static_cast<uint8_t>(bitmap[i / 8] | (v != 0) << (i % 8));
  }
  return static_cast<uint64_t>(to - kept.data());
}

template <class T>
void spread(ByteView bitmap, ByteView kept, MutableByteView raw) {
  const uint8_t* from = kept.data();
  for (uint64_t i = 0; i < raw.size() / sizeof(T); ++i) {
    const bool there = bitmap[i / 8] >> (i % 8) & 1;
    store_le(raw.data() + i * sizeof(T), there ? load_le<T>(from) : T{0});
    from += there ? sizeof(T) : 0;
  }
}

// The width's type for a lambda that takes a value of it.
template <class F>
auto with_width(int width, F f) {
  switch (width) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

}  // namespace

void encode_sparse(ByteView raw, int width, const Content& content, Level level, int depth,
                   Bytes& out) {
  Bytes bitmap, kept;
  const uint64_t size =
      with_width(width, [&](auto t) { return compact<decltype(t)>(raw, bitmap, kept); });
  ByteWriter w(out);
  w.u8(static_cast<uint8_t>(width));
  encode_stream(bitmap, level, out);
  w.varint(size);
  append_sized_block(ByteView(kept).first(size), {content.dtype, 0, false}, level, depth, out);
}

void decode_sparse(ByteReader& in, MutableByteView raw, int depth) {
  const int width = in.u8();
  if (width != 1 && width != 2 && width != 4 && width != 8)
    in.bad("a width that is not 1, 2, 4 or 8");
  const uint64_t w = static_cast<uint64_t>(width), n = raw.size() / w;
  if (raw.size() % w != 0) in.bad("sparse elements do not fill the block");
  Bytes bitmap((n + 7) / 8);
  decode_stream(in, bitmap);
  if (n % 8 != 0 && bitmap.back() >> (n % 8) != 0) in.bad("bits past the last element");
  uint64_t count = 0;
  for (const uint8_t b : bitmap) count += static_cast<uint64_t>(std::popcount(b));
  if (in.varint() != count * w) in.bad("the bitmap and the number of elements disagree");
  // One element more, so that the branch-free spread may look one ahead.
  Bytes kept((count + 1) * w);
  decode_nested(in.bytes(in.varint()), {}, MutableByteView(kept).first(count * w), depth);
  with_width(width, [&](auto t) { spread<decltype(t)>(bitmap, kept, raw); });
}

std::string explain_sparse(ByteReader& in, int depth) {
  const int width = in.u8();
  const std::string bitmap = explain_stream(in);
  const uint64_t kept = in.varint();
  return fmt::format("sparse({} elements, bitmap {}; {})",
                     kept / static_cast<uint64_t>(width ? width : 1), bitmap,
                     explain_nested(in.bytes(in.varint()), depth));
}

}  // namespace pith::lossless
