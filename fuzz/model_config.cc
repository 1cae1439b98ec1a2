// config.json and the metadata of GGUF files: every input gives a config that can be computed with,
// or an Error.
#include "pith/base/error.h"
#include "pith/io/gguf_metadata.h"
#include "pith/model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pith;
  const ByteView bytes(data, size);
  try {
    if (size != 0 && bytes[0] == 'G') {
      // What the tensors tell is not known here.
      model::config_from_gguf(io::read_gguf_metadata(bytes));
    } else {
      model::check(model::config_from_json(bytes, bytes));
    }
  } catch (const Error&) {
  }
  return 0;
}
