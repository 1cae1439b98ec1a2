#include "context_mix_expect.h"

#include "pith/entropy/binary_coder.h"

namespace pith::lossless::cm {
namespace {

constexpr int64_t kLeast = 16;  // added to every spread: the line's resolution
constexpr uint64_t kColumnStart = 8, kColumnMemory = 208, kChunkMemory = 1000;

constexpr int32_t kMaxSpread = 48 * 16;

// The mean after one more observation, the step being 1 / (seen + 1.5).
int64_t toward(int64_t mean, int64_t x, uint64_t seen) {
  return mean + (((x - mean) * int64_t(entropy::AdaptiveBit::kStep[seen])) >> 16);
}

}  // namespace

Expectation::Expectation(uint64_t row, int64_t typical)
    : columns_(size_t(row)), chunk_spread_(typical), near_(typical) {}

Expected Expectation::next(int64_t base_point) const {
  Expected e;
  const int32_t chunk = log16(uint64_t(chunk_spread_ + kLeast));
  e.spread = chunk;
  e.mean = chunk_mean_;
  if (!columns_.empty()) {
    const Column& c = columns_[at_column_];
    const int64_t prior = chunk_spread_ * 16 + 4 * kLeast;
    e.column = log16(uint64_t(column_spread() + kLeast)) - chunk;
    e.row = log16(uint64_t(row_sum_ + prior)) - log16(uint64_t(row_expected_ + prior));
    e.spread = std::clamp(e.spread + e.column + e.row, 0, kMaxSpread);
    e.mean = c.mean;
    e.lean = int32_t(std::clamp<int64_t>(c.mean * 8 / (column_spread() + kLeast), -8, 7));
  }
  e.mean += base_point;
  e.near = log16(uint64_t(near_ + kLeast)) - chunk;
  return e;
}

void Expectation::follow(const Expected& e, int64_t point) {
  const int64_t residual = point - e.mean, size = residual < 0 ? -residual : residual;
  const int64_t column = columns_.empty() ? 0 : column_spread();
  chunk_spread_ = toward(chunk_spread_, size, std::min<uint64_t>(seen_ + 2, kChunkMemory));
  near_ += (size - near_) / 6;
  if (columns_.empty()) {
    chunk_mean_ =
        toward(chunk_mean_, residual + chunk_mean_, std::min<uint64_t>(seen_ + 32, kChunkMemory));
  }
  ++seen_;
  if (columns_.empty()) return;
  Column& c = columns_[at_column_];
  row_sum_ += size;
  row_expected_ += column;
  if ((row_sum_ | row_expected_) >> 58 != 0) row_sum_ /= 2, row_expected_ /= 2;
  const uint64_t n = std::min(at_row_ + kColumnStart, kColumnMemory);
  c.spread = toward(column, size, n);
  c.mean = toward(c.mean, c.mean + residual, n);
  if (++at_column_ == columns_.size()) {
    at_column_ = 0;
    ++at_row_;
    row_sum_ = row_expected_ = 0;
  }
}

}  // namespace pith::lossless::cm
