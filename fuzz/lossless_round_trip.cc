// Any bytes as content: encoded and decoded they are the same, at every level, type and with a
// base.
#include <cstdlib>

#include "pith/lossless/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pith;
  if (size < 4) return 0;
  const auto types = all_dtypes();
  const lossless::Content content{types[data[0] % types.size()].dtype, data[1], (data[2] & 1) != 0};
  const auto level = static_cast<lossless::Level>(data[2] / 2 % 3);
  const bool with_base = data[2] & 16;
  const ByteView all(data + 3, size - 3);
  const uint64_t n = with_base ? all.size() / 2 : all.size();
  const ByteView raw = all.first(n), base = with_base ? all.subspan(n, n) : ByteView{};
  Bytes block, back(n);
  lossless::encode(raw, content, level, base, block);
  lossless::decode(block, base, back);
  if (block.size() > n + 16 || !std::equal(raw.begin(), raw.end(), back.begin())) std::abort();
  return 0;
}
