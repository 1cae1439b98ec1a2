#include "chunk_shape.h"

#include "pith/base/error.h"

namespace pith::kv {
namespace {

constexpr uint64_t kMostLayers = 65536;

}  // namespace

void write_shape(const Arrays& a, ByteWriter& to) {
  to.varint(a.heads.size());
  for (const uint64_t h : a.heads) to.varint(h);
  to.varint(a.first);
  to.varint(a.tokens);
  to.varint(a.head_size);
}

Arrays read_shape(ByteReader& from) {
  Arrays a;
  a.heads.resize(from.count(1));
  if (a.heads.size() > kMostLayers) from.bad("too many layers");
  for (uint64_t& h : a.heads) {
    h = from.varint();
    if (h > kMostLayers) from.bad("too many heads");
  }
  a.first = from.varint();
  a.tokens = from.varint();
  a.head_size = from.varint();
  if (a.tokens > kMostNumbers || a.head_size > kMostNumbers) from.bad("too large");
  const uint64_t row = a.tokens * a.head_size;
  if (a.tokens != 0 && row / a.tokens != a.head_size) from.bad("too large");
  if (row != 0 && a.all_heads() > kMostNumbers / row) from.bad("too large");
  return a;
}

void check_size(const Arrays& a) {
  if (a.keys.size() != a.size() || a.values.size() != a.size()) {
    fail(ErrorKind::kUsage, "{} keys and {} values where {} of each should be", a.keys.size(),
         a.values.size(), a.size());
  }
}

}  // namespace pith::kv
