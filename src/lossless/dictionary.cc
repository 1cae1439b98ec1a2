// Few distinct values in a wide type (weights that were quantized and stored as floats): the
// values once, ascending, and an index a byte.

#include <algorithm>
#include <bit>

#include "block.h"
#include "stream.h"

namespace pith::lossless {
namespace {

// An open-addressing set of at most 256 values that gives each the number of its arrival.
class SmallIndex {
 public:
  SmallIndex() : keys_(kSlots), numbers_(kSlots, -1) {}
  // -1 when it would be the 257th.
  int number(uint64_t value) {
    size_t at = (value * 0x9E3779B97F4A7C15u) >> 54;
    while (numbers_[at] >= 0 && keys_[at] != value) at = (at + 1) % kSlots;
    if (numbers_[at] >= 0) return numbers_[at];
    if (values_.size() == 256) return -1;
    keys_[at] = value;
    numbers_[at] = static_cast<int>(values_.size());
    values_.push_back(value);
    return numbers_[at];
  }
  const std::vector<uint64_t>& values() const { return values_; }

 private:
  static constexpr size_t kSlots = 1024;
  std::vector<uint64_t> keys_;
  std::vector<int> numbers_;
  std::vector<uint64_t> values_;
};

}  // namespace

bool encode_dictionary(ByteView raw, int width, Level level, Bytes& out) {
  const auto w = static_cast<uint64_t>(width);
  const uint64_t n = raw.size() / w;
  SmallIndex index;
  Bytes symbols(n);
  for (uint64_t i = 0; i < n; ++i) {
    const int number = index.number(load_element(raw.data() + i * w, w));
    if (number < 0) return false;
    symbols[i] = static_cast<uint8_t>(number);
  }
  // Ascending values, so that the same elements in another order give the same dictionary.
  std::vector<uint64_t> sorted = index.values();
  std::ranges::sort(sorted);
  std::vector<uint8_t> rank(sorted.size());
  for (size_t i = 0; i < sorted.size(); ++i) {
    rank[static_cast<size_t>(index.number(sorted[i]))] = static_cast<uint8_t>(i);
  }
  for (uint8_t& s : symbols) s = rank[s];
  ByteWriter to(out);
  to.u8(static_cast<uint8_t>(width));
  to.varint(sorted.size());
  for (const uint64_t v : sorted) to.bytes({reinterpret_cast<const uint8_t*>(&v), w});
  encode_stream(symbols, level, out);
  return true;
}

void decode_dictionary(ByteReader& in, MutableByteView raw) {
  const int width = in.u8();
  if (width != 2 && width != 4 && width != 8) in.bad("a width that is not 2, 4 or 8");
  const auto w = static_cast<uint64_t>(width);
  const uint64_t count = in.count(w);
  if (count > 256 || raw.size() % w != 0) in.bad("a dictionary that does not fit its elements");
  const ByteView values = in.bytes(count * w);
  thread_local Bytes scratch;
  const ByteView symbols = decode_stream_view(in, raw.size() / w, scratch);
  for (uint64_t i = 0; i < symbols.size(); ++i) {
    if (symbols[i] >= count) in.bad("an index past the dictionary");
    std::memcpy(raw.data() + i * w, values.data() + symbols[i] * w, w);
  }
}

}  // namespace pith::lossless
