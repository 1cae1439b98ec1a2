#include "stream_block.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::kv {
namespace {

struct Made {
  Scheme scheme;
  Bytes bytes;
  uint64_t channels = 21;
};

Made made(Deltas deltas, bool with_bits) {
  Made m{.scheme = {.deltas = deltas, .group = 10, .tokens = 33}, .bytes = {}};
  form::Matrix plane({33, m.channels});
  for (uint64_t i = 0; i < plane.values.size(); ++i)
    plane.values[i] = static_cast<float>(random_normal(5, i)) * (i % 50 == 7 ? 90.0F : 1.0F);
  PlaneCodes codes;
  codes.unit = with_bits ? 8.0F : 0.3F;
  codes.steps.assign(m.channels, 0.3F);
  if (with_bits) {
    for (uint64_t c = 0; c < m.channels; ++c) codes.bits.push_back(static_cast<uint8_t>(c % 6));
    codes.steps = steps_of_bits(codes.bits, codes.unit, std::vector<float>(m.channels, 1.0F));
  }
  quantize(plane, m.scheme, codes);
  m.bytes = write_plane(codes, m.scheme, channel_tables(codes, m.scheme));
  return m;
}

void read(const Made& m, ByteView bytes) {
  const PlaneReader reader(bytes, m.scheme, m.channels, std::vector<float>(m.channels, 1.0F));
  std::vector<float> out(m.scheme.tokens * m.channels);
  reader.restore(0, m.channels, out.data());
}

// Checks keep accidents away from it, not those who make checks.
TEST(KvStreamBlock, AnyBytesGiveNumbersOrAnError) {
  for (const Deltas deltas : {Deltas::kNone, Deltas::kMean, Deltas::kPrevious, Deltas::kAnchor}) {
    const Made m = made(deltas, deltas == Deltas::kNone);
    read(m, m.bytes);
    for (size_t n = 0; n < m.bytes.size(); ++n)
      EXPECT_THROW(read(m, ByteView(m.bytes).first(n)), Error) << n;
    for (uint64_t k = 0; k < 4000; ++k) {
      Bytes other = m.bytes;
      for (uint64_t f = 0; f <= k % 3; ++f)
        other[random_bits(k, f) % (k % 2 == 0 ? 80 : other.size())] ^=
            static_cast<uint8_t>(1U << random_bits(k, 10 + f) % 8);
      try {
        read(m, other);
      } catch (const Error&) {
      }
    }
  }
}

}  // namespace
}  // namespace pith::kv
