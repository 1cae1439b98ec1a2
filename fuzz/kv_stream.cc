// Any bytes as a chunk of keys and values and as a profile of them: an error, or numbers.
#include "pith/base/error.h"
#include "pith/kv/chunk_coding.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pith;
  const ByteView bytes(data, size);
  try {
    kv::decode_chunk(bytes);
  } catch (const Error&) {
  }
  try {
    if (kv::read_profile(bytes).bytes().size() != size) __builtin_abort();
  } catch (const Error&) {
  }
  return 0;
}
