#include "pith/lossless/context_mix.h"

#include <algorithm>

#include "context_mix_plan.h"

namespace pith::lossless {
namespace {

using namespace cm;

enum class Mode : uint8_t { kStored = 0, kFloat = 1, kBytes = 2, kDictionary = 3 };

void check(const ElementLayout& layout, uint64_t size, ByteView base) {
  const bool width =
      layout.width == 1 || layout.width == 2 || layout.width == 4 || layout.width == 8;
  if (!width) fail(ErrorKind::kUsage, "context mixing: elements of {} bytes", layout.width);
  if (layout.is_float && (layout.exponent_bits < 1 || layout.exponent_bits > 15 ||
                          layout.mantissa_bits < 1 || layout.mantissa_bits > 52 ||
                          1 + layout.exponent_bits + layout.mantissa_bits != 8 * layout.width)) {
    fail(ErrorKind::kUsage, "context mixing: no float of {} bytes has {} + {} bits", layout.width,
         layout.exponent_bits, layout.mantissa_bits);
  }
  if (!base.empty() && base.size() != size) {
    fail(ErrorKind::kBase, "the base has {} bytes, the chunk {}", base.size(), size);
  }
}

// The distinct elements ascending, when there are 1 to 256 of them.
std::optional<std::vector<uint64_t>> distinct(const Elements& elements) {
  std::vector<uint64_t> seen;
  uint64_t last = ~elements[0];
  for (uint64_t i = 0; i < elements.size(); ++i) {
    const uint64_t v = elements[i];
    if (v == last) continue;
    last = v;
    const auto at = std::lower_bound(seen.begin(), seen.end(), v);
    if (at != seen.end() && *at == v) continue;
    if (seen.size() == 256) return std::nullopt;
    seen.insert(at, v);
  }
  return seen;
}

uint8_t rank_in(const std::vector<uint64_t>& dictionary, uint64_t v) {
  const auto at = std::lower_bound(dictionary.begin(), dictionary.end(), v);
  return uint8_t(std::min<size_t>(size_t(at - dictionary.begin()), dictionary.size() - 1));
}

Bytes ranks(const Elements& elements, const std::vector<uint64_t>& dictionary) {
  Bytes out(size_t(elements.size()));
  for (uint64_t i = 0; i < elements.size(); ++i) out[i] = rank_in(dictionary, elements[i]);
  return out;
}

template <class Model>
void encode_with(Model model, const Elements& elements, const Elements* base, ByteWriter& out) {
  EncodePort port;
  for (uint64_t i = 0; i < elements.size(); ++i) {
    model.code(port, elements[i], base != nullptr ? (*base)[i] : 0);
  }
  const Bytes coded = port.coder.finish(), raw = port.bits.finish();
  out.varint(coded.size());
  out.bytes(coded);
  out.bytes(raw);
}

// Calls put(i, element) for each element; `in` has what encode_with wrote.
template <class Model, class Put>
void decode_with(Model model, uint64_t n, const Elements* base, ByteReader& in, Put put) {
  const ByteView coded = in.bytes(in.count(1));
  DecodePort port{entropy::BinaryDecoder(coded), RawBitReader(in.bytes(in.remaining()))};
  for (uint64_t i = 0; i < n; ++i) put(i, model.code(port, 0, base != nullptr ? (*base)[i] : 0));
}

void encode_bytes(Mode mode, const Elements& elements, uint32_t width, uint64_t row,
                  const Elements* base, ByteWriter& out) {
  const BytePlan plan = plan_bytes(elements, width, row, base != nullptr);
  if (mode == Mode::kBytes) out.u8(uint8_t(mode));
  write_plan(out, plan);
  encode_with(ByteModel(plan), elements, base, out);
}

void encode_dictionary(const std::vector<uint64_t>& dictionary, const Elements& elements,
                       uint32_t width, uint64_t row, const Elements* base, ByteWriter& out) {
  out.u8(uint8_t(Mode::kDictionary));
  out.u8(uint8_t(dictionary.size() - 1));
  for (const uint64_t& v : dictionary) {
    out.bytes({reinterpret_cast<const uint8_t*>(&v), width});
  }
  const Bytes mine = ranks(elements, dictionary);
  const Bytes theirs = base != nullptr ? ranks(*base, dictionary) : Bytes{};
  const Elements base_ranks(theirs, 1);
  encode_bytes(Mode::kDictionary, Elements(mine, 1), 1, row,
               base != nullptr ? &base_ranks : nullptr, out);
}

void encode_elements(const Elements& elements, const ElementLayout& layout, const Elements* base,
                     ByteWriter& out) {
  const uint32_t width = layout.width;
  if (width > 1) {
    if (const auto dictionary = distinct(elements)) {
      return encode_dictionary(*dictionary, elements, width, layout.row, base, out);
    }
  }
  if (layout.is_float) {
    if (const auto plan = plan_floats(elements, layout, base)) {
      out.u8(uint8_t(Mode::kFloat));
      write_plan(out, *plan);
      return encode_with(FloatModel(*plan), elements, base, out);
    }
  }
  encode_bytes(Mode::kBytes, elements, width, layout.row, base, out);
}

void decode_float(ByteReader& in, MutableByteView raw, const ElementLayout& layout,
                  const Elements* base) {
  const uint64_t n = raw.size() / layout.width;
  FloatPlan plan;
  plan.exponent_bits = layout.exponent_bits;
  plan.mantissa_bits = layout.mantissa_bits;
  plan.row = usable_row(layout.row, n);
  plan.with_base = base != nullptr;
  read_plan(in, plan);
  decode_with(FloatModel(plan), n, base, in, [&](uint64_t i, uint64_t v) {
    std::memcpy(raw.data() + i * layout.width, &v, layout.width);
  });
}

template <class Put>
void decode_bytes(ByteReader& in, uint64_t n, uint32_t width, uint64_t row, const Elements* base,
                  Put put) {
  BytePlan plan;
  plan.width = width;
  plan.row = usable_row(row, n);
  plan.with_base = base != nullptr;
  read_plan(in, plan);
  decode_with(ByteModel(plan), n, base, in, put);
}

void decode_dictionary(ByteReader& in, MutableByteView raw, const ElementLayout& layout,
                       const Elements* base) {
  const uint32_t width = layout.width;
  const size_t count = size_t{in.u8()} + 1;
  const Elements entries(in.bytes(count * width), width);
  std::vector<uint64_t> dictionary;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0 && entries[i] <= dictionary.back()) in.bad("the dictionary is not ascending");
    dictionary.push_back(entries[i]);
  }
  const Bytes theirs = base != nullptr ? ranks(*base, dictionary) : Bytes{};
  const Elements base_ranks(theirs, 1);
  decode_bytes(in, raw.size() / width, 1, layout.row, base != nullptr ? &base_ranks : nullptr,
               [&](uint64_t i, uint64_t rank) {
                 if (rank >= count) in.bad("a rank is outside the dictionary");
                 std::memcpy(raw.data() + i * width, &dictionary[rank], width);
               });
}

}  // namespace

Bytes context_mix_encode(ByteView raw, const ElementLayout& layout, ByteView base) {
  check(layout, raw.size(), base);
  const size_t whole = raw.size() - raw.size() % layout.width;
  Bytes out;
  ByteWriter writer(out);
  if (whole > 0) {
    const Elements base_elements(base.first(base.empty() ? 0 : whole), layout.width);
    writer.bytes(raw.subspan(whole));
    encode_elements(Elements(raw.first(whole), layout.width), layout,
                    base.empty() ? nullptr : &base_elements, writer);
  }
  if (whole == 0 || out.size() > raw.size()) {
    out.assign(raw.begin() + ptrdiff_t(whole), raw.end());
    writer.u8(uint8_t(Mode::kStored));
    writer.bytes(raw.first(whole));
  }
  return out;
}

void context_mix_decode(ByteView code, MutableByteView raw, const ElementLayout& layout,
                        ByteView base) {
  check(layout, raw.size(), base);
  ByteReader in(code, "context-mixed chunk");
  const size_t whole = raw.size() - raw.size() % layout.width;
  const ByteView rest = in.bytes(raw.size() - whole);
  std::copy(rest.begin(), rest.end(), raw.begin() + ptrdiff_t(whole));
  const MutableByteView body = raw.first(whole);
  const uint8_t mode = in.u8();
  if (mode == uint8_t(Mode::kStored)) {
    const ByteView stored = in.bytes(whole);
    in.expect_end();
    std::copy(stored.begin(), stored.end(), body.begin());
    return;
  }
  if (whole == 0) in.bad("a model for no elements");
  const Elements base_elements(base.first(base.empty() ? 0 : whole), layout.width);
  const Elements* b = base.empty() ? nullptr : &base_elements;
  if (mode == uint8_t(Mode::kFloat) && layout.is_float) return decode_float(in, body, layout, b);
  if (mode == uint8_t(Mode::kDictionary)) return decode_dictionary(in, body, layout, b);
  if (mode != uint8_t(Mode::kBytes)) in.bad("an unknown mode");
  decode_bytes(in, whole / layout.width, layout.width, layout.row, b, [&](uint64_t i, uint64_t v) {
    std::memcpy(body.data() + i * layout.width, &v, layout.width);
  });
}

}  // namespace pith::lossless
