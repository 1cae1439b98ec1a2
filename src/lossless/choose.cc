#include "choose.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "planes_kernel.h"
#include "repeats.h"
#include "slices.h"
#include "stream.h"
#include "zstd_frame.h"

namespace pith::lossless {
namespace {

// The sample: slices of whole elements from all over the block.
constexpr uint64_t kSlices = 16, kSliceBytes = 1024;
// The first look at elements of a known type takes this much of each slice.
constexpr uint64_t kGlanceBytes = 256;
// A general dictionary coder (LZ) must be this much smaller than planes, because it is slower.
constexpr double kZstdMargin = 0.97;
// Elements are looked at in words of 4 bytes for repeats.
constexpr double kRandom = 8;
// Share of zeros from which storing their places apart is considered.
constexpr double kManyZeros = 0.05;

// Slices of `slice_bytes`, a multiple of 8, from all over the block.
Bytes take_sample(ByteView raw, uint64_t slice_bytes) {
  if (raw.size() <= kSlices * slice_bytes) return {raw.begin(), raw.end()};
  return take_slices(raw, kSlices, slice_bytes, (raw.size() - slice_bytes) / (kSlices - 1) / 8 * 8);
}

// Bits for each byte of raw when the sample's elements are split into planes.
double planes_bits(ByteView sample, int width, bool rotate) {
  const uint64_t w = static_cast<uint64_t>(width), n = sample.size() / w;
  if (n == 0) return 8;
  thread_local Bytes scratch;
  if (scratch.size() < n * w) scratch.resize(n * w);
  std::array<uint8_t*, 8> planes{};
  for (uint64_t p = 0; p < w; ++p) planes[p] = scratch.data() + p * n;
  split_planes(sample.first(n * w), width, rotate, planes.data());
  double bits = 0;
  for (uint64_t p = 0; p < w; ++p) bits += sampled_entropy({planes[p], n});
  return bits / static_cast<double>(w);
}

double zstd_bits(ByteView sample) {
  return sample.empty()
             ? 8
             : 8 * static_cast<double>(zstd_size(sample)) / static_cast<double>(sample.size());
}

struct Elements {
  double zeros = 0;       // share of elements that are zero
  uint64_t distinct = 0;  // 257: more than 256
  double index_bits = 0;  // order-0 entropy of whole elements, bits an element
};

// Counts elements in an open-addressing table and stops looking at more than 256 distinct ones.
class Census {
 public:
  void add(uint64_t value) {
    if (distinct_ > 256) return;
    size_t at = value * 0x9E3779B97F4A7C15u >> 54;
    while (counts_[at] != 0 && values_[at] != value) at = (at + 1) % kSlots;
    values_[at] = value;
    distinct_ += counts_[at]++ == 0;
  }
  uint64_t distinct() const { return distinct_; }
  // Order-0 entropy of whole elements, bits an element.
  double entropy(uint64_t n) const {
    double bits = 0;
    for (const uint32_t c : counts_) {
      if (c == 0) continue;
      const double p = static_cast<double>(c) / static_cast<double>(n);
      bits -= p * std::log2(p);
    }
    return bits;
  }

 private:
  static constexpr size_t kSlots = 1024;
  std::array<uint64_t, kSlots> values_;
  std::array<uint32_t, kSlots> counts_{};
  uint64_t distinct_ = 0;
};

Elements look_at_elements(ByteView sample, int width) {
  const uint64_t w = static_cast<uint64_t>(width), n = sample.size() / w;
  Elements e;
  Census census;
  uint64_t zeros = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t v = load_element(sample.data() + i * w, w);
    zeros += v == 0;
    census.add(v);
  }
  e.zeros = n ? static_cast<double>(zeros) / static_cast<double>(n) : 0;
  e.distinct = census.distinct();
  if (e.distinct <= 256) e.index_bits = census.entropy(n);
  return e;
}

Bytes without_zeros(ByteView sample, int width) {
  const uint64_t w = static_cast<uint64_t>(width);
  Bytes others;
  for (uint64_t i = 0; i + w <= sample.size(); i += w) {
    if (load_element(sample.data() + i, w) == 0) continue;
    others.insert(others.end(), sample.begin() + static_cast<int64_t>(i),
                  sample.begin() + static_cast<int64_t>(i + w));
  }
  return others;
}

double binary_entropy(double p) {
  return p <= 0 || p >= 1 ? 0 : -p * std::log2(p) - (1 - p) * std::log2(1 - p);
}

void keep_better(Choice& best, const Choice& other) {
  if (other.bits < best.bits) best = other;
}

Choice planes_of(DType dtype) {
  const DTypeInfo& t = info(dtype);
  const int width = static_cast<int>(t.block_bytes);
  return {BlockKind::kPlanes, width, t.kind == NumberKind::kFloat && width > 1, dtype, 8};
}

// Whether floats look as floats do: few zeros, many distinct values, no repeats. Nothing but planes
// pays then, and planes that do not pay either are stored as they are.
bool only_planes(ByteView raw, DType dtype) {
  const DTypeInfo& t = info(dtype);
  if (t.kind != NumberKind::kFloat || t.block_bytes == 1) return false;
  const Bytes glance = take_sample(raw, kGlanceBytes);
  const Elements e = look_at_elements(glance, static_cast<int>(t.block_bytes));
  return e.zeros <= kManyZeros && e.distinct > 256 && !may_repeat(glance, kRandom);
}

// All layouts for elements of one known width.
void consider_elements(Choice& best, ByteView sample, DType dtype) {
  Choice planes = planes_of(dtype);
  planes.bits = planes_bits(sample, planes.width, planes.rotate);
  keep_better(best, planes);
  const int width = planes.width;
  const bool rotate = planes.rotate;
  if (width == 1) return;
  const Elements e = look_at_elements(sample, width);
  const double bytes = width;
  if (e.zeros > kManyZeros) {
    const double bits = binary_entropy(e.zeros) / bytes +
                        (1 - e.zeros) * planes_bits(without_zeros(sample, width), width, rotate);
    keep_better(best, {BlockKind::kSparse, width, rotate, dtype, bits * 1.01});
  }
  if (e.distinct <= 256) {
    // With few elements for each value the sample's entropy says little: keep clear of it.
    keep_better(best,
                {BlockKind::kDictionary, width, rotate, dtype, e.index_bits / bytes * 1.03 + 0.01});
  }
}

// Bytes of unknown structure: every type of element at every alignment.
void guess_elements(Choice& best, ByteView sample) {
  using enum DType;
  for (const DType guess : {kU8, kF16, kBF16, kI16, kF32, kI32, kF64, kI64}) {
    const int width = static_cast<int>(info(guess).block_bytes);
    for (int head = 0; head < std::min(width, 4); ++head) {
      Choice c;
      c.bits = best.bits * 0.995;  // a simpler layout stays unless another is clearly better
      consider_elements(
          c, sample.subspan(std::min<size_t>(sample.size(), static_cast<size_t>(head))), guess);
      if (c.kind == BlockKind::kRaw) continue;
      best = c;
      best.head = head;
    }
  }
}

}  // namespace

Choice choose(ByteView raw, const Content& content, Level level, bool price) {
  const DType dtype = element_type(content.dtype);
  if (info(content.dtype).kind == NumberKind::kBlock) {
    return {BlockKind::kRecords, 1, false, content.dtype, 0};
  }
  if (!price && only_planes(raw, dtype)) return planes_of(dtype);
  Choice best;
  best.bits = 8 * 0.998;  // worth less than this, bytes stay as they are
  const Bytes sample = take_sample(raw, kSliceBytes);
  if (content.dtype == DType::kBytes) {
    guess_elements(best, sample);
  } else {
    consider_elements(best, sample, dtype);
  }
  if (level != Level::kFast || content.dtype == DType::kBytes) {
    const double zstd = zstd_bits(sample);
    if (zstd < best.bits * kZstdMargin) best = {BlockKind::kZstd, 1, false, dtype, zstd};
  }
  return best;
}

}  // namespace pith::lossless
