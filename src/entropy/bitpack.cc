#include "pith/entropy/bitpack.h"

#include <limits>
#include <type_traits>
#include <utility>

namespace pith::entropy {
namespace {

constexpr size_t kColumns = 32;
constexpr size_t kRows = 8;  // values of a column in a block
constexpr size_t kBlock = kColumns * kRows;

// Word in which K bits that begin at any bit of a byte fit.
template <unsigned K>
using Work =
    std::conditional_t<(K <= 9), uint16_t, std::conditional_t<(K <= 25), uint32_t, uint64_t>>;

// Row R of a block: the loop over columns has the same shifts everywhere, so it becomes vectors.
template <class T, unsigned K, size_t R>
void unpack_row(const uint8_t* __restrict packed, T* __restrict values) {
  using W = Work<K>;
  constexpr size_t kFirst = R * K / 8, kShift = R * K % 8, kBytes = (kShift + K + 7) / 8;
  constexpr W kMask = static_cast<W>((uint64_t{1} << K) - 1);
  const uint8_t* from = packed + kColumns * kFirst;
  for (size_t c = 0; c < kColumns; ++c) {
    W w = from[c];
    for (size_t b = 1; b < kBytes; ++b)
      w = static_cast<W>(w | W{from[kColumns * b + c]} << (8 * b));
    values[c] = static_cast<T>((w >> kShift) & kMask);
  }
}

template <class T, unsigned K, size_t R>
void pack_row(const T* __restrict values, uint8_t* __restrict packed) {
  using W = Work<K>;
  constexpr size_t kFirst = R * K / 8, kShift = R * K % 8, kBytes = (kShift + K + 7) / 8;
  constexpr W kMask = static_cast<W>((uint64_t{1} << K) - 1);
  uint8_t* to = packed + kColumns * kFirst;
  for (size_t b = 0; b < kBytes; ++b) {
    for (size_t c = 0; c < kColumns; ++c) {
      const W w = static_cast<W>(static_cast<W>(values[c] & kMask) << kShift);
      const auto byte = static_cast<uint8_t>(w >> (8 * b));
      // The first byte is shared with the row before, the others are new.
      to[kColumns * b + c] = b == 0 && kShift != 0 ? static_cast<uint8_t>(to[c] | byte) : byte;
    }
  }
}

template <class T, unsigned K>
void unpack_block(const uint8_t* packed, T* values) {
  [&]<size_t... R>(std::index_sequence<R...>) {
    (unpack_row<T, K, R>(packed, values + kColumns * R), ...);
  }
  (std::make_index_sequence<kRows>());
}

template <class T, unsigned K>
void pack_block(const T* values, uint8_t* packed) {
  [&]<size_t... R>(std::index_sequence<R...>) {
    (pack_row<T, K, R>(values + kColumns * R, packed), ...);
  }
  (std::make_index_sequence<kRows>());
}

// The values after the last whole block: a plain bit string.
template <class T>
void pack_rest(std::span<const T> values, unsigned bits, uint8_t* out) {
  uint64_t held = 0;
  unsigned used = 0;
  for (const T v : values) {
    held |= (uint64_t{v} & ((uint64_t{1} << bits) - 1)) << used;
    for (used += bits; used >= 8; used -= 8, held >>= 8) *out++ = static_cast<uint8_t>(held);
  }
  if (used > 0) *out = static_cast<uint8_t>(held);
}

template <class T>
void unpack_rest(const uint8_t* in, unsigned bits, std::span<T> values) {
  uint64_t held = 0;
  unsigned have = 0;
  for (T& v : values) {
    for (; have < bits; have += 8) held |= uint64_t{*in++} << have;
    v = static_cast<T>(held & ((uint64_t{1} << bits) - 1));
    held >>= bits;
    have -= bits;
  }
}

template <class T, unsigned K>
void pack_blocks(const T* values, size_t blocks, uint8_t* out) {
  for (size_t b = 0; b < blocks; ++b) pack_block<T, K>(values + kBlock * b, out + kColumns * K * b);
}

template <class T, unsigned K>
void unpack_blocks(const uint8_t* in, size_t blocks, T* values) {
  for (size_t b = 0; b < blocks; ++b)
    unpack_block<T, K>(in + kColumns * K * b, values + kBlock * b);
}

template <class T>
constexpr unsigned kWidth = std::numeric_limits<T>::digits;

template <class T>
void check_bits(unsigned bits) {
  if (bits < 1 || bits > kWidth<T>) {
    fail(ErrorKind::kUsage, "bitpack: {} bits, elements hold 1 to {}", bits, kWidth<T>);
  }
}

// Calls f with the constant `bits` as a template argument.
template <class T, class F>
void with_bits(unsigned bits, F f) {
  [&]<unsigned... K>(std::integer_sequence<unsigned, K...>) {
    ((bits == K + 1 ? f(std::integral_constant<unsigned, K + 1>()) : void()), ...);
  }
  (std::make_integer_sequence<unsigned, kWidth<T>>());
}

}  // namespace

size_t bitpack_bytes(size_t n, unsigned bits) {
  return checked_mul(n / 8, bits) + (n % 8 * bits + 7) / 8;
}

template <PackedElement T>
void bitpack(std::span<const T> values, unsigned bits, MutableByteView out) {
  check_bits<T>(bits);
  if (out.size() != bitpack_bytes(values.size(), bits)) {
    fail(ErrorKind::kUsage, "bitpack: {} values of {} bits do not fill {} bytes", values.size(),
         bits, out.size());
  }
  const size_t blocks = values.size() / kBlock;
  with_bits<T>(bits, [&](auto k) { pack_blocks<T, k()>(values.data(), blocks, out.data()); });
  pack_rest(values.subspan(blocks * kBlock), bits, out.data() + blocks * kColumns * bits);
}

template <PackedElement T>
void bitunpack(ByteView packed, unsigned bits, std::span<T> values) {
  check_bits<T>(bits);
  if (packed.size() != bitpack_bytes(values.size(), bits)) {
    fail(ErrorKind::kData, "bitpack: {} bytes are not {} values of {} bits", packed.size(),
         values.size(), bits);
  }
  const size_t blocks = values.size() / kBlock;
  with_bits<T>(bits, [&](auto k) { unpack_blocks<T, k()>(packed.data(), blocks, values.data()); });
  unpack_rest(packed.data() + blocks * kColumns * bits, bits, values.subspan(blocks * kBlock));
}

template void bitpack<uint8_t>(std::span<const uint8_t>, unsigned, MutableByteView);
template void bitpack<uint16_t>(std::span<const uint16_t>, unsigned, MutableByteView);
template void bitpack<uint32_t>(std::span<const uint32_t>, unsigned, MutableByteView);
template void bitunpack<uint8_t>(ByteView, unsigned, std::span<uint8_t>);
template void bitunpack<uint16_t>(ByteView, unsigned, std::span<uint16_t>);
template void bitunpack<uint32_t>(ByteView, unsigned, std::span<uint32_t>);

}  // namespace pith::entropy
