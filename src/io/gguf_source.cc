#include "gguf_source.h"

namespace pith::io {
namespace {

constexpr int kMaxArrayDepth = 8;

// Bytes of a value of fixed size; 0 for strings and arrays.
uint64_t fixed_bytes(const GgufSource& in, uint32_t type) {
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

}  // namespace

GgufArray read_gguf_array(GgufSource& in, int depth) {
  if (depth > kMaxArrayDepth) in.bad("arrays are nested too deep");
  const uint32_t type = in.u32();
  const uint64_t fixed = fixed_bytes(in, type), length = in.length_bytes();
  return {type, in.count(fixed ? fixed : type == kArray ? 4 + length : length)};
}

void skip_gguf_items(GgufSource& in, GgufArray items, int depth) {
  if (const uint64_t bytes = fixed_bytes(in, items.type)) {
    return in.skip(checked_mul(items.count, bytes));
  }
  for (uint64_t k = 0; k < items.count; ++k) {
    if (items.type == kString) {
      in.string();
    } else {
      skip_gguf_items(in, read_gguf_array(in, depth + 1), depth + 1);
    }
  }
}

}  // namespace pith::io
