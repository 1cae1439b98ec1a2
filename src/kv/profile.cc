#include "pith/kv/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/base/hash.h"
#include "rotation_bytes.h"

namespace pith::kv {
namespace {

constexpr std::string_view kMagic = "PKVP";
constexpr uint8_t kVersion = 1, kWithImportance = 2;  // and perhaps duals
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

bool has_importance(const std::vector<Span>& spans) {
  return std::ranges::any_of(
      spans, [](const Span& s) { return !s.importance.empty() || !s.duals.empty(); });
}

void write_span(const Span& s, bool importance, ByteWriter& to) {
  to.u8(s.values ? 1 : 0);
  to.varint(s.first);
  to.varint(s.heads);
  to.varint(s.count());
  write_floats(s.mean, to);
  write_floats(s.scale, to);
  write_floats(s.deviations, to);
  write_floats(s.axes, to);
  for (uint64_t a = 0; importance && a < s.count(); ++a) {
    const float f = s.important(a);
    write_floats({f}, to);
  }
  if (!importance) return;
  to.u8(s.duals.empty() ? 0 : 1);
  write_floats(s.duals, to);
}

Span read_span(ByteReader& from, uint64_t all_heads, uint64_t head_size, bool importance) {
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
  if (importance) {
    s.importance = read_floats(from, count);
    if (!std::ranges::all_of(s.importance, [](float f) { return f >= 0; }))
      from.bad("axes that weigh less than nothing");
    const uint8_t duals = from.u8();
    if (duals > 1 || (duals == 1 && count == 0)) from.bad("no duals that there are");
    if (duals == 1) s.duals = read_floats(from, count * channels);
  }
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
  const bool importance = has_importance(spans);
  to.u8(importance ? kWithImportance : kVersion);
  to.varint(heads.size());
  for (const uint64_t h : heads) to.varint(h);
  to.varint(head_size);
  uint64_t base = 0;
  std::memcpy(&base, &rotation.base, sizeof base);
  to.u64(base);
  const bool own = !rotation.frequencies.empty();
  to.u8((rotation.neighbours ? 1 : 0) + (own ? 2 : 0));
  if (own) write_frequencies(rotation.frequencies, to);
  to.varint(spans.size());
  for (const Span& s : spans) write_span(s, importance, to);
  to.u64(hash64(out));
  return out;
}

Profile read_profile(ByteView bytes) {
  ByteReader from(bytes, "a profile of keys and values");
  const bool ours = std::ranges::equal(from.bytes(kMagic.size()), as_bytes(kMagic));
  const uint8_t version = from.u8();
  if (!ours || (version != kVersion && version != kWithImportance))
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
  const uint8_t how = from.u8();
  if (how > 3) from.bad("keys turned in no way that there is");
  p.rotation.neighbours = how % 2 == 1;
  if (how >= 2) p.rotation.frequencies = read_frequencies(from, p.head_size);
  const uint64_t spans = from.count(8);
  for (uint64_t s = 0; s < spans; ++s)
    p.spans.push_back(read_span(from, all, p.head_size, version == kWithImportance));
  check_spans(p, from);
  if (version == kWithImportance && !has_importance(p.spans)) from.bad("axes that weigh nothing");
  p.id = from.u64();
  from.expect_end();
  return p;
}

std::shared_ptr<const Profile> load_profile(const std::string& path) {
  const Bytes bytes = read_file(path);
  try {
    return std::make_shared<const Profile>(read_profile(bytes));
  } catch (const Error& e) {
    throw e.in(path);
  }
}

void Profile::check(const std::vector<uint64_t>& of, uint64_t size) const {
  if (of != heads || size != head_size) {
    fail(ErrorKind::kUsage,
         "a profile of {} layers with heads of {} does not fit a cache of {} layers with heads of "
         "{}, or the heads of a layer differ",
         heads.size(), head_size, of.size(), size);
  }
}

void Profile::check_rotation(const Rotation& of_model) const {
  if (alike(rotation, of_model, head_size)) return;
  const auto said = [](const Rotation& r) {
    return fmt::format("base {}, {}{}", r.base, r.neighbours ? "neighbours" : "halves",
                       r.frequencies.empty() ? "" : ", frequencies of its own");
  };
  fail(ErrorKind::kUsage,
       "a profile of keys that are turned with {}, and the model's with {}: fit one to the model",
       said(rotation), said(of_model));
}

bool Profile::of_single_heads() const {
  return std::ranges::all_of(spans, [](const Span& s) { return s.heads == 1 && s.count() > 0; });
}

namespace {

void copy_axis(const std::vector<float>& from, uint64_t axis, uint64_t channels, uint64_t at,
               std::vector<float>& to) {
  std::copy_n(from.begin() + static_cast<ptrdiff_t>(axis * channels), channels,
              to.begin() + static_cast<ptrdiff_t>(at * channels));
}

}  // namespace

void Profile::set_id() {
  const Bytes all = bytes();
  id = load_le<uint64_t>(all.data() + all.size() - sizeof(uint64_t));
}

Profile along_channels(Profile profile) {
  std::vector<std::vector<float>> importance;
  for (Span& s : profile.spans) {
    const uint64_t n = s.channels();
    std::vector<float> variances(n), unit(n * n);
    for (uint64_t a = 0; a < s.count(); ++a) {
      for (uint64_t c = 0; c < n; ++c) {
        const float along = s.deviations[a] * s.back()[a * n + c];
        variances[c] += along * along;
      }
    }
    s.deviations.resize(n);
    for (uint64_t c = 0; c < n; ++c) {
      s.deviations[c] = std::sqrt(variances[c]);
      unit[c * n + c] = 1;
    }
    s.axes = std::move(unit);
    s.duals.clear();
    importance.push_back(std::move(variances));
  }
  return ordered_by(std::move(profile), std::move(importance));
}

Profile ordered_by(Profile profile, std::vector<std::vector<float>> importance) {
  for (size_t i = 0; i < profile.spans.size(); ++i) {
    const Span from = profile.spans[i];
    Span& to = profile.spans[i];
    const std::vector<float>& of = importance.at(i);
    std::vector<uint64_t> order(from.count());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::ranges::greater{}, [&](uint64_t a) { return of.at(a); });
    to.importance.resize(order.size());
    for (uint64_t k = 0; k < order.size(); ++k) {
      to.importance[k] = of[order[k]];
      to.deviations[k] = from.deviations[order[k]];
      copy_axis(from.axes, order[k], from.channels(), k, to.axes);
      if (!from.duals.empty()) copy_axis(from.duals, order[k], from.channels(), k, to.duals);
    }
  }
  profile.set_id();
  return profile;
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
  // What an axis costs is a coordinate for each token, wherever it is: the most important ones.
  struct Axis {
    float importance;
    size_t span;
  };
  std::vector<Axis> axes;
  double channels = 0;
  for (size_t s = 0; s < profile.spans.size(); ++s) {
    for (uint64_t a = 0; a < profile.spans[s].count(); ++a)
      axes.push_back({profile.spans[s].important(a), s});
    channels += static_cast<double>(profile.spans[s].channels());
  }
  std::ranges::stable_sort(axes, std::ranges::greater{}, &Axis::importance);
  axes.resize(std::min(axes.size(), static_cast<size_t>(std::llround(share * channels))));
  kept.assign(profile.spans.size(), 0);
  for (const Axis& a : axes) ++kept[a.span];
  return kept;
}

}  // namespace pith::kv
