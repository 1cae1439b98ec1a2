// Elements that differ from the base's by one of a few steps: what a checkpoint looks like whose
// residual to the one before was quantized to cluster centers (S233;
// recipe/checkpoint_prediction.h), and what quantized updates leave. The steps once, and an index
// for each element.

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "block.h"
#include "steps_find.h"
#include "steps_index.h"
#include "stream.h"

namespace pith::lossless {
namespace {

using steps::Domain;
using steps::IndexContext;

enum class Coding : uint8_t {
  kStream = 0,
  kContexts = 1,
  kContextsAlone = 2
};  // with the base, without

// Calls f with the arithmetic of a float type; false for any other type.
template <class Function>
bool with_format(DType dtype, Function&& f) {
  switch (dtype) {
    case DType::kF16:
      f(steps::F16{});
      return true;
    case DType::kBF16:
      f(steps::BF16{});
      return true;
    case DType::kF32:
      f(steps::F32{});
      return true;
    case DType::kF64:
      f(steps::F64{});
      return true;
    default:
      return false;
  }
}

double magnitude(Domain domain, double step) { return std::fabs(step - steps::neutral(domain)); }

template <class F>
IndexContext context_of(ByteView base, uint64_t row, Domain domain,
                        const std::vector<double>& steps, bool escapes) {
  IndexContext c;
  c.base = steps::sketch(base, sizeof(typename F::Bits), F::kMantissaBits);
  c.row = row;
  c.symbols = static_cast<uint32_t>(steps.size() + (escapes ? 1 : 0));
  const auto least =
      std::ranges::min_element(steps, {}, [&](double s) { return magnitude(domain, s); });
  c.neutral = static_cast<uint32_t>(least - steps.begin());
  return c;
}

template <class F>
void put_indices(const steps::Found& found, ByteView base, uint64_t row, Domain domain, Level level,
                 Bytes& out) {
  if (level != Level::kMax) {
    out.push_back(static_cast<uint8_t>(Coding::kStream));
    return encode_stream(found.indices, level, out);
  }
  IndexContext context = context_of<F>(base, row, domain, found.steps, found.escapes > 0);
  Bytes with_base, alone;
  steps::encode_indices(found.indices, context, with_base);
  context.base.clear();
  steps::encode_indices(found.indices, context, alone);
  const bool better = with_base.size() <= alone.size();
  out.push_back(static_cast<uint8_t>(better ? Coding::kContexts : Coding::kContextsAlone));
  ByteWriter(out).varint(row);
  ByteWriter(out).bytes(better ? with_base : alone);
}

// The domain that needs the fewest steps.
template <class F>
std::pair<Domain, steps::Found> find_any(ByteView raw, ByteView base, Level level) {
  std::pair<Domain, steps::Found> best = {Domain::kSum, steps::find<F>(raw, base, Domain::kSum)};
  const auto attempt = [&](Domain domain) {
    steps::Found found = steps::find<F>(raw, base, domain);
    const bool fewer = best.second.steps.empty() || found.steps.size() < best.second.steps.size();
    if (!found.steps.empty() && fewer) best = {domain, std::move(found)};
  };
  if (best.second.steps.empty()) attempt(Domain::kProduct);
  // Few values as such are a dictionary, unless the base is to predict which.
  if (level == Level::kMax && best.second.steps.size() != 1) attempt(Domain::kValue);
  return best;
}

template <class F>
bool encode_as(ByteView raw, ByteView base, const Content& content, Level level, Bytes& out) {
  const auto [domain, found] = find_any<F>(raw, base, level);
  if (found.steps.empty()) return false;
  ByteWriter w(out);
  w.u8(static_cast<uint8_t>(domain));
  w.varint(found.steps.size());
  for (const double s : found.steps) w.u64(std::bit_cast<uint64_t>(s));
  w.varint(found.escapes);
  constexpr size_t kWidth = sizeof(typename F::Bits);
  for (size_t i = 0; i < found.indices.size(); ++i) {
    if (found.indices[i] == found.steps.size()) w.bytes(raw.subspan(i * kWidth, kWidth));
  }
  put_indices<F>(found, base, content.row, domain, level, out);
  return true;
}

template <class F>
void rebuild(ByteReader& in, Domain domain, const std::vector<double>& steps, ByteView indices,
             ByteReader& escapes, ByteView base, MutableByteView raw) {
  using Bits = typename F::Bits;
  for (size_t i = 0; i < indices.size(); ++i) {
    Bits element;
    if (indices[i] < steps.size()) [[likely]] {
      const double b = F::value(load_le<Bits>(base.data() + i * sizeof(Bits)));
      element = steps::apply<F>(domain, b, steps[indices[i]]);
    } else {
      if (indices[i] > steps.size() || escapes.empty()) in.bad("an index past the steps");
      element = load_le<Bits>(escapes.bytes(sizeof(Bits)).data());
    }
    store_le(raw.data() + i * sizeof(Bits), element);
  }
  if (!escapes.empty()) in.bad("more escaped elements than are used");
}

template <class F>
void decode_as(ByteReader& in, ByteView base, MutableByteView raw) {
  constexpr size_t kWidth = sizeof(typename F::Bits);
  if (raw.size() % kWidth != 0) in.bad("steps do not fill the block");
  const uint8_t domain = in.u8();
  if (domain > static_cast<uint8_t>(Domain::kValue)) in.bad("steps of an unknown kind");
  std::vector<double> steps(in.count(8));
  if (steps.empty() || steps.size() > steps::kMaxSteps)
    in.bad("a number of steps that is not 1 to 255");
  for (double& s : steps) s = std::bit_cast<double>(in.u64());
  const uint64_t escape_count = in.count(kWidth);
  ByteReader escapes(in.bytes(escape_count * kWidth), "escaped elements");
  const uint8_t coding = in.u8();
  if (coding > static_cast<uint8_t>(Coding::kContextsAlone))
    in.bad("indices of steps in an unknown coding");
  thread_local Bytes scratch;
  ByteView indices;
  if (static_cast<Coding>(coding) == Coding::kStream) {
    indices = decode_stream_view(in, raw.size() / kWidth, scratch);
  } else {
    const uint64_t row = in.varint();
    scratch.resize(raw.size() / kWidth);
    IndexContext context =
        context_of<F>(base, row, static_cast<Domain>(domain), steps, escape_count > 0);
    if (static_cast<Coding>(coding) == Coding::kContextsAlone) context.base.clear();
    steps::decode_indices(in, context, scratch);
    indices = scratch;
  }
  rebuild<F>(in, static_cast<Domain>(domain), steps, indices, escapes, base, raw);
}

}  // namespace

bool encode_steps(ByteView raw, ByteView base, const Content& content, Level level, Bytes& out) {
  const DType dtype = element_type(content.dtype);
  const size_t start = out.size();
  bool found = false;
  out.push_back(static_cast<uint8_t>(dtype));
  with_format(dtype, [&](auto format) {
    found = encode_as<decltype(format)>(raw, base, content, level, out);
  });
  if (!found) out.resize(start);
  return found;
}

void decode_steps(ByteReader& in, ByteView base, MutableByteView raw) {
  const auto dtype = static_cast<DType>(in.u8());
  const bool known =
      with_format(dtype, [&](auto format) { decode_as<decltype(format)>(in, base, raw); });
  if (!known) in.bad("steps between elements of an unknown type");
}

}  // namespace pith::lossless
