#include "bench_ours.h"

#include <algorithm>

#include "pith/base/hash.h"

namespace pith::bench {
namespace {

using lossless::Content;
using lossless::Level;

constexpr uint64_t kMiB = 1 << 20;
// Neighbours are put together up to this size, and below kTiny even when their types differ.
constexpr uint64_t kTogether = 192 << 10, kSmall = 16 << 10, kTiny = 512;

uint64_t piece_size(const io::TensorRegion& t, uint64_t target) {
  const DTypeInfo& type = info(t.dtype);
  const uint64_t elements = t.shape.empty() ? 1 : t.shape.back();
  const uint64_t row = elements / type.block_elements * type.block_bytes;
  const uint64_t step = row > 0 && row <= target ? row : type.block_bytes;
  return target / step * step;
}

class Cutter {
 public:
  void region(uint64_t offset, uint64_t size, const Content& content, uint64_t piece) {
    if (size > 0 && size < kSmall && join(offset, size, content)) return;
    for (uint64_t done = 0; done < size; done += piece) {
      units_.push_back({offset + done, std::min(piece, size - done), content});
    }
  }
  std::vector<Unit> take() { return std::move(units_); }

 private:
  bool join(uint64_t offset, uint64_t size, const Content& content) {
    if (units_.empty() || units_.back().size + size > kTogether) return false;
    Unit& last = units_.back();
    const bool same = last.content.dtype == content.dtype &&
                      last.content.big_endian == content.big_endian &&
                      (offset - last.offset) % info(content.dtype).block_bytes == 0;
    const bool tiny = last.size < kTiny && size < kTiny;
    if (!tiny && !(same && last.size < kSmall)) return false;
    if (!same) last.content = {};
    if (last.content.row != content.row) last.content.row = 0;
    last.size += size;
    return true;
  }

  std::vector<Unit> units_;
};

}  // namespace

const char* level_name(Level level) {
  return level == Level::kFast ? "fast" : level == Level::kDefault ? "default" : "max";
}

std::vector<Unit> cut(std::span<const io::TensorRegion> tensors, uint64_t file_size, Level level) {
  const uint64_t target = level == Level::kMax ? 4 * kMiB : kMiB;
  Cutter cutter;
  uint64_t end = 0;
  for (const io::TensorRegion& t : tensors) {
    cutter.region(end, t.offset - end, {}, 4 * target);
    cutter.region(t.offset, t.size, {t.dtype, t.shape.empty() ? 0 : t.shape.back(), t.big_endian},
                  piece_size(t, target));
    end = t.offset + t.size;
  }
  cutter.region(end, file_size - end, {}, 4 * target);
  return cutter.take();
}

Ours::Ours(std::string name, std::vector<Unit> units, Level level, ByteView base)
    : Codec(std::move(name)),
      units_(std::move(units)),
      level_(level),
      base_(base),
      blocks_(units_.size()) {
  uint64_t room = 0;
  for (const Unit& unit : units_) room += unit.size + 64;
  coded_.resize(room);  // touches every page
}

ByteView Ours::base(const Unit& unit) const {
  return base_.empty() ? base_ : base_.subspan(unit.offset, unit.size);
}

uint64_t Ours::encode(ByteView raw) {
  coded_.clear();
  for (size_t i = 0; i < units_.size(); ++i) {
    const Unit& unit = units_[i];
    const uint64_t start = coded_.size();
    lossless::encode(raw.subspan(unit.offset, unit.size), unit.content, level_, base(unit), coded_);
    const uint64_t size = coded_.size() - start;
    blocks_[i] = {start, size, hash64(ByteView(coded_).subspan(start, size))};
  }
  return coded_.size() + kOverhead * units_.size();
}

void Ours::decode(MutableByteView raw) {
  for (size_t i = 0; i < units_.size(); ++i) {
    const ByteView block = ByteView(coded_).subspan(blocks_[i].start, blocks_[i].size);
    if (hash64(block) != blocks_[i].hash)
      fail(ErrorKind::kData, "block {}: checksum does not match", i);
    lossless::decode(block, base(units_[i]), raw.subspan(units_[i].offset, units_[i].size));
  }
}

uint64_t Ours::coded(DType dtype) const {
  uint64_t sum = 0;
  for (size_t i = 0; i < units_.size(); ++i) {
    if (units_[i].content.dtype == dtype) sum += blocks_[i].size + kOverhead;
  }
  return sum;
}

}  // namespace pith::bench
