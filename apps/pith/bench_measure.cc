#include "bench_measure.h"

#include <algorithm>

namespace pith::bench {

Measurement measure(Codec& codec, ByteView raw, MutableByteView back, int runs, Clock clock) {
  Measurement m{codec.name(), raw.size(), 0, 0, 0, ""};
  m.encode = best_of(
      runs, [&] { m.coded = codec.encode(raw); }, clock);
  std::ranges::fill(back, uint8_t{0});
  m.decode = best_of(
      runs, [&] { codec.decode(back); }, clock);
  if (!std::ranges::equal(raw, back))
    fail(ErrorKind::kData, "{} does not give the bytes back", codec.name());
  return m;
}

}  // namespace pith::bench
