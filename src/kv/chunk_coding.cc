#include "pith/kv/chunk_coding.h"

#include <algorithm>

#include "pith/base/bytes.h"
#include "pith/base/error.h"
#include "pith/form/form.h"

namespace pith::kv {
namespace {

using form::Matrix;

constexpr uint8_t kForms = 1;           // the byte that a chunk begins with
constexpr uint64_t kMost = 1ULL << 32;  // numbers of keys in a chunk
constexpr uint64_t kMostLayers = 65536;

Matrix turned(form::MatrixView m) {
  Matrix out({m.shape.cols, m.shape.rows});
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < m.shape.cols; ++c) out.row(c)[r] = m.row(r)[c];
  }
  return out;
}

void write_part(const Coding& coding, form::MatrixView part, ByteWriter& to) {
  const Bytes bytes = coding.by == By::kToken
                          ? form::write(*form::encode(coding.form, part))
                          : form::write(*form::encode(coding.form, turned(part).view()));
  to.u8(static_cast<uint8_t>(coding.by));
  to.varint(bytes.size());
  to.bytes(bytes);
}

void read_part(ByteReader& from, form::Shape shape, float* out) {
  const uint8_t by = from.u8();
  if (by > static_cast<uint8_t>(By::kToken)) from.bad("neither by channel nor by token");
  const form::FormPtr form = form::read(from.bytes(from.count(1)), nullptr);
  const bool token = by == static_cast<uint8_t>(By::kToken);
  const form::Shape is = form->shape();
  if (is.rows != (token ? shape.rows : shape.cols) || is.cols != (token ? shape.cols : shape.rows))
    from.bad("a form of another shape");
  Matrix m = form::decode(*form);
  if (!token) m = turned(m.view());
  std::ranges::copy(m.values, out);
}

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
  if (a.tokens > kMost || a.head_size > kMost) from.bad("too large");
  const uint64_t row = a.tokens * a.head_size;
  if (a.tokens != 0 && row / a.tokens != a.head_size) from.bad("too large");
  if (row != 0 && a.all_heads() > kMost / row) from.bad("too large");
  return a;
}

}  // namespace

ChunkCoding ChunkCoding::parse(std::string_view text) {
  return ChunkCoding(CacheOptions::parse(text));
}

Bytes ChunkCoding::encode(const Arrays& arrays) const {
  Bytes out;
  ByteWriter to(out);
  to.u8(kForms);
  write_shape(arrays, to);
  const form::Shape shape{arrays.tokens, arrays.head_size};
  for (uint64_t h = 0; h < arrays.all_heads() && shape.size() > 0; ++h) {
    write_part(forms_.keys, {arrays.keys.data() + h * shape.size(), shape}, to);
    write_part(forms_.values, {arrays.values.data() + h * shape.size(), shape}, to);
  }
  return out;
}

Arrays decode_chunk(ByteView bytes) {
  ByteReader from(bytes, "a chunk of keys and values");
  if (from.u8() != kForms) from.bad("of no kind that there is");
  Arrays a = read_shape(from);
  const form::Shape shape{a.tokens, a.head_size};
  for (uint64_t h = 0; h < a.all_heads() && shape.size() > 0; ++h) {
    // Room is taken as forms turn up, so that a declared size alone takes none.
    a.keys.resize((h + 1) * shape.size());
    a.values.resize((h + 1) * shape.size());
    read_part(from, shape, a.keys.data() + h * shape.size());
    read_part(from, shape, a.values.data() + h * shape.size());
  }
  from.expect_end();
  return a;
}

}  // namespace pith::kv
