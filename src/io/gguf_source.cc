#include "gguf_source.h"

namespace pith::io {

uint64_t gguf_fixed_bytes(const GgufSource& in, uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool:
      return 1;
    case kU16:
    case kI16:
      return 2;
    case kU32:
    case kI32:
    case kF32:
      return 4;
    case kU64:
    case kI64:
    case kF64:
      return 8;
    case kString:
    case kArray:
      return 0;
    default:
      in.bad("the type of a value is unknown");
  }
}

}  // namespace pith::io
