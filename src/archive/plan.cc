#include "plan.h"

#include <algorithm>

namespace pith::archive {
namespace {

using lossless::Content;

constexpr uint64_t kMiB = 1 << 20;
// Below this, neighbours of different types are coded together as plain bytes: a block costs more
// than it can gain.
constexpr uint64_t kTiny = 512;
// Padding between tensors that may stay within a block of their type.
constexpr uint64_t kPadding = 64;

bool same_type(const Content& a, const Content& b) {
  return a.dtype == b.dtype && a.big_endian == b.big_endian;
}

uint64_t row_bytes(const io::TensorRegion& t) {
  const DTypeInfo& type = info(t.dtype);
  const uint64_t row = t.shape.empty() ? 0 : t.shape.back();
  return row % type.block_elements == 0 ? row / type.block_elements * type.block_bytes : 0;
}

// Bytes of a piece of a large tensor: whole rows if they fit, else whole elements.
uint64_t piece_size(const io::TensorRegion& t, uint64_t target) {
  const uint64_t row = row_bytes(t);
  const uint64_t unit = row > 0 && row <= target ? row : info(t.dtype).block_bytes;
  return std::max<uint64_t>(target / unit, 1) * unit;
}

class Planner {
 public:
  explicit Planner(lossless::Level level) : sizes_(chunk_sizes(level)) {}

  void tensor(const io::TensorRegion& t) {
    const Content content{t.dtype, t.shape.empty() ? 0 : t.shape.back(), t.big_endian};
    const bool plain = t.dtype == DType::kBytes;
    region(t.offset, t.size, content, plain ? sizes_.plain : piece_size(t, sizes_.tensor));
  }

  void form(const io::TensorRegion& t, size_t number) {
    flush();
    units_.push_back({t.offset, t.size, {}, true, number});
  }

  void gap(uint64_t offset, uint64_t size) {
    if (size <= kPadding && tiny_.size > 0) {
      tiny_.size += size;
    } else {
      region(offset, size, {}, sizes_.plain);
    }
  }

  std::vector<Unit> finish() {
    flush();
    return std::move(units_);
  }

 private:
  void region(uint64_t offset, uint64_t size, const Content& content, uint64_t piece) {
    if (size < kShareable) return small(offset, size, content);
    flush();
    const bool alone = size >= kAlone;
    for (uint64_t done = 0; done < size; done += piece) {
      units_.push_back({offset + done, std::min(piece, size - done), content, alone});
    }
  }

  void small(uint64_t offset, uint64_t size, const Content& content) {
    if (size == 0) return;
    if (tiny_.size > 0 && !joins(offset, size, content)) flush();
    if (tiny_.size == 0) {
      tiny_ = {offset, size, content, false};
      return;
    }
    const bool aligned = (offset - tiny_.offset) % info(content.dtype).block_bytes == 0;
    if (!same_type(tiny_.content, content) || !aligned) tiny_.content = {};
    if (tiny_.content.row != content.row) tiny_.content.row = 0;
    tiny_.size += size;
  }

  bool joins(uint64_t offset, uint64_t size, const Content& content) const {
    if (tiny_.size + size > kAlone) return false;
    if (tiny_.size < kTiny && size < kTiny) return true;
    const bool aligned = (offset - tiny_.offset) % info(content.dtype).block_bytes == 0;
    return same_type(tiny_.content, content) && aligned;
  }

  void flush() {
    if (tiny_.size > 0) units_.push_back(tiny_);
    tiny_ = {};
  }

  ChunkSizes sizes_;
  Unit tiny_;  // being collected; size 0: none
  std::vector<Unit> units_;
};

}  // namespace

ChunkSizes chunk_sizes(lossless::Level level) {
  if (level == lossless::Level::kMax) return {4 * kMiB, 16 * kMiB};
  return {kMiB, 4 * kMiB};
}

std::vector<Unit> plan_units(std::span<const io::TensorRegion> tensors, uint64_t size,
                             lossless::Level level, const std::vector<bool>& in_form) {
  Planner planner(level);
  uint64_t end = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const io::TensorRegion& t = tensors[i];
    if (t.offset > end) planner.gap(end, t.offset - end);
    if (i < in_form.size() && in_form[i]) {
      planner.form(t, i);
    } else {
      planner.tensor(t);
    }
    end = t.offset + t.size;
  }
  if (size > end) planner.gap(end, size - end);
  return planner.finish();
}

}  // namespace pith::archive
