#include "pith/kv/profile.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/hash.h"

namespace pith::kv {
namespace {

constexpr std::string_view kMagic = "PKVP";
constexpr uint8_t kVersion = 1;
constexpr uint64_t kMostHeads = 1 << 20, kMostSize = 1 << 16;

void write_floats(const std::vector<float>& v, ByteWriter& to) {
  for (const float f : v) {
    uint32_t raw = 0;
    std::memcpy(&raw, &f, 4);
    to.u32(raw);
  }
}

std::vector<float> read_floats(ByteReader& from, uint64_t n) {
  const ByteView bytes = from.bytes(checked_mul(n, sizeof(float)));
  std::vector<float> v(n);
  if (n > 0) std::memcpy(v.data(), bytes.data(), bytes.size());
  if (!std::ranges::all_of(v, [](float f) { return std::isfinite(f); }))
    from.bad("numbers that are not finite");
  return v;
}

void write_span(const Span& s, ByteWriter& to) {
  to.u8(s.values ? 1 : 0);
  to.varint(s.first);
  to.varint(s.heads);
  to.varint(s.count());
  write_floats(s.mean, to);
  write_floats(s.scale, to);
  write_floats(s.deviations, to);
  write_floats(s.axes, to);
}

Span read_span(ByteReader& from, uint64_t all_heads, uint64_t head_size) {
  Span s;
  const uint8_t values = from.u8();
  if (values > 1) from.bad("neither keys nor values");
  s.values = values == 1;
  s.first = from.varint();
  s.heads = from.varint();
  if (s.heads == 0 || s.first > all_heads || s.heads > all_heads - s.first)
    from.bad("heads that are not there");
  const uint64_t channels = s.heads * head_size, count = from.varint();
  if (channels > kMostSpan || count > channels) from.bad("too many axes");
  s.mean = read_floats(from, channels);
  s.scale = read_floats(from, s.heads);
  s.deviations = read_floats(from, count);
  s.axes = read_floats(from, count * channels);
  if (!std::ranges::all_of(s.scale, [](float f) { return f > 0; })) from.bad("no scale");
  return s;
}

// Spans must have all heads of keys and of values, in order.
void check_spans(const Profile& p, ByteReader& from) {
  uint64_t all = 0, keys = 0, values = 0;
  for (const uint64_t h : p.heads) all += h;
  for (const Span& s : p.spans) {
    uint64_t& next = s.values ? values : keys;
    if (s.first != next) from.bad("heads twice or not at all");
    next += s.heads;
  }
  if (keys != all || values != all) from.bad("heads twice or not at all");
}

}  // namespace

Bytes Profile::bytes() const {
  Bytes out;
  out.reserve(64);
  ByteWriter to(out);
  to.bytes(as_bytes(kMagic));
  to.u8(kVersion);
  to.varint(heads.size());
  for (const uint64_t h : heads) to.varint(h);
  to.varint(head_size);
  uint64_t base = 0;
  std::memcpy(&base, &rotation.base, sizeof base);
  to.u64(base);
  to.u8(rotation.neighbours ? 1 : 0);
  to.varint(spans.size());
  for (const Span& s : spans) write_span(s, to);
  to.u64(hash64(out));
  return out;
}

Profile read_profile(ByteView bytes) {
  ByteReader from(bytes, "a profile of keys and values");
  if (!std::ranges::equal(from.bytes(kMagic.size()), as_bytes(kMagic)) || from.u8() != kVersion)
    from.bad("of no kind that there is");
  if (bytes.size() < 8 ||
      hash64(bytes.first(bytes.size() - 8)) != load_le<uint64_t>(bytes.data() + bytes.size() - 8))
    from.bad("its check does not hold");
  Profile p;
  p.heads.resize(from.count(1));
  uint64_t all = 0;
  for (uint64_t& h : p.heads) {
    h = from.varint();
    if (h > kMostHeads || (all += h) > kMostHeads) from.bad("too many heads");
  }
  p.head_size = from.varint();
  if (p.head_size == 0 || p.head_size > kMostSize) from.bad("heads of no size that there is");
  const uint64_t base = from.u64();
  std::memcpy(&p.rotation.base, &base, sizeof base);
  if (!(p.rotation.base >= 1 && p.rotation.base <= 1e12)) from.bad("a base below 1");
  p.rotation.neighbours = from.u8() != 0;
  const uint64_t spans = from.count(8);
  for (uint64_t s = 0; s < spans; ++s) p.spans.push_back(read_span(from, all, p.head_size));
  check_spans(p, from);
  p.id = from.u64();
  from.expect_end();
  return p;
}

void Profile::check(const Arrays& arrays) const {
  if (arrays.heads != heads || arrays.head_size != head_size) {
    fail(ErrorKind::kUsage,
         "a profile of {} layers with heads of {} does not fit a cache of {} layers with heads of "
         "{}, or the heads of a layer differ",
         heads.size(), head_size, arrays.heads.size(), arrays.head_size);
  }
}

std::vector<uint64_t> ranks_within(const Profile& profile, double share, Ranks ranks) {
  std::vector<uint64_t> kept;
  if (ranks == Ranks::kEqual || share >= 1) {
    for (const Span& s : profile.spans) {
      const auto wanted = std::llround(share * static_cast<double>(s.channels()));
      kept.push_back(std::min(s.count(), static_cast<uint64_t>(wanted)));
    }
    return kept;
  }
  // What an axis costs is a coordinate for each token, wherever it is: those of most variance.
  struct Axis {
    float variance;
    size_t span;
  };
  std::vector<Axis> axes;
  double channels = 0;
  for (size_t s = 0; s < profile.spans.size(); ++s) {
    for (const float d : profile.spans[s].deviations) axes.push_back({d * d, s});
    channels += static_cast<double>(profile.spans[s].channels());
  }
  std::ranges::stable_sort(axes, std::ranges::greater{}, &Axis::variance);
  axes.resize(std::min(axes.size(), static_cast<size_t>(std::llround(share * channels))));
  kept.assign(profile.spans.size(), 0);
  for (const Axis& a : axes) ++kept[a.span];
  return kept;
}

}  // namespace pith::kv
