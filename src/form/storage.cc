#include "storage.h"

#include <array>

#include "kinds.h"

namespace pith::form {

void BodyWriter::put(ByteView bytes) {
  size_ += bytes.size();
  if (out_) ByteWriter(*out_).bytes(bytes);
}

void BodyWriter::varint(uint64_t v) {
  Bytes small;
  ByteWriter(small).varint(v);
  put(small);
}

void BodyWriter::f32(float v) {
  std::array<uint8_t, 4> raw;
  store_le(raw.data(), v);
  put(raw);
}

void BodyWriter::string(std::string_view s) {
  varint(s.size());
  put(as_bytes(s));
}

void BodyWriter::array(ByteView bytes) {
  varint(bytes.size());
  static constexpr std::array<uint8_t, kArrayAlignment> kZeros{};
  put(ByteView(kZeros).first((kArrayAlignment - size_ % kArrayAlignment) % kArrayAlignment));
  put(bytes);
}

void BodyWriter::form(const Form& form) {
  string(form.kind());
  varint(form.shape().rows);
  varint(form.shape().cols);
  form.write_body(*this);
}

uint64_t BodyReader::varint(uint64_t least, uint64_t most, std::string_view what) {
  const uint64_t v = in_.varint();
  if (v < least || v > most) in_.bad(fmt::format("{} is {}, not {} to {}", what, v, least, most));
  return v;
}

float BodyReader::f32() {
  const uint32_t bits = in_.u32();
  return std::bit_cast<float>(bits);
}

Buffer BodyReader::array(uint64_t size) {
  if (in_.varint() != size) in_.bad("an array has the wrong size");
  const uint64_t gap = (kArrayAlignment - in_.offset() % kArrayAlignment) % kArrayAlignment;
  for (const uint8_t b : in_.bytes(gap)) {
    if (b != 0) in_.bad("padding that is not zero");
  }
  return {in_.bytes(size), owner_};
}

FormPtr BodyReader::form() {
  if (depth_ == kMostNested) in_.bad("forms within forms too deep");
  const std::string name = in_.string();
  const Kind* kind = find_kind(name);
  if (!kind) in_.bad(fmt::format("no form is called '{}'; a newer Pith may have written it", name));
  const uint64_t rows = in_.varint(), cols = in_.varint();
  if (rows > kMostElements || cols > kMostElements || (cols != 0 && rows > kMostElements / cols)) {
    in_.bad("a form of impossible size");
  }
  ++depth_;
  FormPtr form = kind->read({rows, cols}, *this);
  --depth_;
  return form;
}

}  // namespace pith::form
