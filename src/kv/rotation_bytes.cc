#include "rotation_bytes.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pith::kv {

void write_frequencies(const std::vector<float>& frequencies, ByteWriter& to) {
  to.varint(frequencies.size());
  for (const float f : frequencies) to.u32(std::bit_cast<uint32_t>(f));
}

std::vector<float> read_frequencies(ByteReader& from, uint64_t head_size) {
  std::vector<float> out(from.count(sizeof(float)));
  if (out.empty() || out.size() > head_size / 2)
    from.bad("other frequencies than heads have pairs");
  for (float& f : out) f = std::bit_cast<float>(from.u32());
  if (!std::ranges::all_of(out, [](float f) { return std::isfinite(f) && f >= 0; }))
    from.bad("frequencies that are none");
  return out;
}

}  // namespace pith::kv
