// Any bytes as a chunk of keys and values: an error, or one whose numbers are as many as it says.
#include <cstdlib>

#include "pith/base/error.h"
#include "pith/kv/chunk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pith;
  const ByteView bytes(data, size);
  try {
    const kv::Chunk chunk = kv::read_chunk(bytes);
    if (chunk.header.id != kv::chain_next(chunk.header.before, chunk.header.ids)) std::abort();
    if (chunk.header.numbers > 1 << 20) return 0;
    if (2 * kv::read_arrays(bytes, chunk.header.id).size() != chunk.header.numbers) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
