// Any bytes as a coded block: an error or an answer, in bounded time and memory. A block that
// decodes must also explain itself.
#include "pith/base/error.h"
#include "pith/lossless/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const uint64_t raw_size = pith::load_le<uint16_t>(data);
  const bool with_base = data[2] & 1;
  const pith::ByteView block(data + 3, size - 3);
  pith::Bytes raw(raw_size), base(with_base ? raw_size : 0, 0x3C);
  try {
    pith::lossless::decode(block, base, raw);
    (void)pith::lossless::explain(block);
  } catch (const pith::Error&) {
  }
  return 0;
}
