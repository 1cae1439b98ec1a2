#include "panel_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "code_rows.h"
#include "pith/base/error.h"

namespace pith::form {
namespace {

// Columns whose scales are made floats at a time, and vectors whose totals are kept: both stay in
// the first-level cache.
constexpr uint64_t kSpanBlocks = 32, kMostVectors = 64;
constexpr size_t kTableSize = 16;

uint64_t round_up_to_block(uint64_t n) { return panel_blocks(n) * kBlockCols; }

// The least factor that makes bytes of all levels, or 0.
float integer_factor(std::span<const float> levels) {
  for (const float factor : {1.0f, 2.0f}) {
    const bool all = std::ranges::all_of(levels, [&](float l) {
      return std::fabs(l * factor) <= 127 && l * factor == std::round(l * factor);
    });
    if (all) return factor;
  }
  return 0;
}

}  // namespace

// Floats that kernels read and write, in whole cache lines; on the stack if they are few.
class PanelMatrix::Floats {
 public:
  float* room(uint64_t n) {
    if (n <= few_.size()) return few_.data();
    many_.resize(n + kLine);
    return aligned(many_.data());
  }

 private:
  static constexpr size_t kLine = 64 / sizeof(float);
  static float* aligned(float* p) {
    return p + (-(reinterpret_cast<uintptr_t>(p) / sizeof(float)) & (kLine - 1));
  }

  alignas(64) std::array<float, 2 * kSpanBlocks * kPanelRows> few_;
  std::vector<float> many_;
};

PanelMatrix::PanelMatrix(Shape shape, int bits, std::vector<float> levels, uint64_t group,
                         PanelCodes codes, GroupFloats scales, GroupFloats zeros)
    : shape_(shape),
      bits_(bits),
      levels_(std::move(levels)),
      group_(group),
      codes_(std::move(codes)),
      scales_(std::move(scales)),
      zeros_(std::move(zeros)) {
  // Groups of whole rows end where blocks do.
  if (group_ >= shape.cols) group_ = std::max<uint64_t>(1, panel_blocks(shape.cols)) * kBlockCols;
  set_levels();
}

void PanelMatrix::set_levels() {
  spaced_ = true;
  for (size_t i = 0; i < levels_.size(); ++i) {
    const auto level = static_cast<float>(static_cast<double>(i) + levels_[0]);
    spaced_ = spaced_ && levels_[i] == level && levels_[0] == std::round(levels_[0]);
  }
  CodeLevels& k = kernel_levels_;
  if (spaced_) {
    k.middle = static_cast<int32_t>(-levels_[0]);
  } else if (levels_.size() <= kTableSize) {
    k.table = true;
    const float factor = integer_factor(levels_);
    const float most =
        std::fabs(*std::ranges::max_element(levels_, {}, [](float l) { return std::fabs(l); }));
    k.wide = factor == 0;
    k.middle = k.wide ? 32768 : 128;
    k.unit = k.wide ? most / 32767 : 1 / factor;
    for (size_t i = 0; i < levels_.size(); ++i) {
      const auto level = static_cast<int32_t>(std::lround(levels_[i] / k.unit)) + k.middle;
      k.low[i] = static_cast<uint8_t>(level);
      k.high[i] = static_cast<uint8_t>(level >> 8);
    }
  }
  bytes_ = reads_bytes(bits_, k.table) && group_ <= kBlockCols && shape_.cols % kBlockCols == 0 &&
           scales_.has_bytes() && (zeros_.empty() || zeros_.has_bytes());
  constexpr int32_t kMostMiddle = 128;
  adds_rows_ = spaced_ && !codes_.is_coded() && group_ % (kBlockCols / 2) == 0 && k.middle >= 0 &&
               k.middle <= kMostMiddle;
  multiplies_ = (spaced_ || k.table) && (group_ == kBlockCols / 2 || group_ % kBlockCols == 0);
}

void PanelMatrix::codes(uint64_t row, uint8_t* out) const {
  std::vector<uint8_t> scratch, chunks(panel_blocks(shape_.cols) * kChunks * kChunk);
  unpack_panel(codes_.whole(row / kPanelRows, scratch), chunks.data());
  for (uint64_t c = 0; c < shape_.cols; ++c) out[c] = chunks[chunk_index(row % kPanelRows, c)];
}

std::array<float, 2> PanelMatrix::scale_and_zero(uint64_t row, uint64_t col) const {
  Floats floats;
  float* const group = floats.room(round_up_to_block(1) * kPanelRows);
  const auto value = [&](const GroupFloats& from) {
    if (from.empty()) return 0.0f;
    from.expand(row / kPanelRows, col / group_, 1, group);
    return group[row % kPanelRows];
  };
  return {value(scales_), value(zeros_)};
}

KernelScales PanelMatrix::values(const GroupFloats& floats, uint64_t panel, uint64_t first_block,
                                 uint64_t last_block, Floats& groups, float* room) const {
  if (bytes_) {
    const uint64_t each = kBlockCols / group_;
    return floats.bytes(panel, first_block * each, (last_block - first_block) * each, room);
  }
  expand(floats, panel, first_block, last_block, groups, room);
  KernelScales values;
  values.floats = room;
  return values;
}

void PanelMatrix::expand(const GroupFloats& floats, uint64_t panel, uint64_t first_block,
                         uint64_t last_block, Floats& groups, float* out) const {
  const uint64_t most = (shape_.cols + group_ - 1) / group_;
  if (group_ <= kBlockCols) {
    const uint64_t each = kBlockCols / group_, first = first_block * each,
                   last = std::min(last_block * each, most);
    floats.expand(panel, first, last - first, out);
    std::fill(out + (last - first) * kPanelRows,
              out + (last_block - first_block) * each * kPanelRows, 0.0f);
    return;
  }
  const uint64_t first = first_block * kBlockCols / group_,
                 last = std::min((last_block * kBlockCols - 1) / group_ + 1, most);
  float* const some = groups.room(round_up_to_block(last - first) * kPanelRows);
  floats.expand(panel, first, last - first, some);
  for (uint64_t b = first_block; b < last_block; ++b, out += kPanelRows) {
    std::copy_n(some + (b * kBlockCols / group_ - first) * kPanelRows, kPanelRows, out);
  }
}

void PanelMatrix::multiply(const QuantizedVectors& x, uint64_t first, uint64_t last, float* out,
                           uint64_t stride) const {
  if (first == last || x.batch == 0) return;
  const uint64_t blocks = panel_blocks(shape_.cols);
  const bool halves = group_ < kBlockCols;
  const QuantizedVectors::Sums& sums = halves ? x.half_sums : x.block_sums;
  // Kept by the thread: their sizes hardly change.
  thread_local std::vector<int32_t> bias;
  thread_local std::vector<uint8_t> padded;
  bias.resize(sums.values.size());
  bias_of(sums, kernel_levels_.middle, bias.data());
  Floats scale_floats, zero_floats, total_floats, groups;
  float* const scales = scale_floats.room(2 * kSpanBlocks * kPanelRows);
  float* const zeros = zero_floats.room(2 * kSpanBlocks * kPanelRows);
  float* const totals = total_floats.room(kMostVectors * kPanelRows);

  PanelProduct p;
  p.levels = &kernel_levels_;
  p.halves = halves;
  p.x = &x;
  p.bias = bias.data();
  p.totals = totals;
  for (uint64_t index = first / kPanelRows; index * kPanelRows < last; ++index) {
    p.panel = codes_.whole(index, padded);
    const uint64_t row = index * kPanelRows, from = std::max(first, row),
                   to = std::min(last, row + kPanelRows);
    for (p.first_vector = 0; p.first_vector < x.batch; p.first_vector = p.last_vector) {
      p.last_vector = std::min(p.first_vector + kMostVectors, x.batch);
      std::fill_n(totals, (p.last_vector - p.first_vector) * kPanelRows, 0.0f);
      for (p.first_block = 0; p.first_block < blocks; p.first_block = p.last_block) {
        p.last_block = std::min(p.first_block + kSpanBlocks, blocks);
        p.scales = values(scales_, index, p.first_block, p.last_block, groups, scales);
        if (!zeros_.empty()) {
          p.zeros = values(zeros_, index, p.first_block, p.last_block, groups, zeros);
        }
        multiply_panel(p);
      }
      for (uint64_t v = p.first_vector; v < p.last_vector; ++v) {
        const float* total = totals + (v - p.first_vector) * kPanelRows;
        for (uint64_t r = from; r < to; ++r) out[v * stride + r - first] = total[r - row];
      }
    }
  }
}

bool PanelMatrix::add_rows(const RowSums& sums) const {
  if (!adds_rows_) return false;
  if (shape_.cols == 0) return true;
  thread_local std::vector<uint8_t> padded;
  const uint64_t groups = (shape_.cols + group_ - 1) / group_;
  CodeRows rows;
  rows.cols = shape_.cols;
  rows.middle = kernel_levels_.middle;
  rows.bits = bits_;
  rows.group = group_;
  // What is expanded is rounded up to blocks.
  const uint64_t room = (kCodeRows * groups + kBlockCols * kPanelRows);
  Floats scale_floats, zero_floats;
  float* const scales = scale_floats.room(room);
  float* const zeros = zeros_.empty() ? nullptr : zero_floats.room(room);
  rows.scales = scales;
  rows.zeros = zeros;
  for (uint64_t first = 0; first < shape_.rows; first += kCodeRows) {
    rows.rows = std::min(kCodeRows, shape_.rows - first);
    for (uint64_t p = 0; p < panels_of(rows.rows); ++p) {
      rows.panels[p] = codes_.whole(first / kPanelRows + p, padded).codes;
    }
    const uint64_t panel = first / kPanelRows, count = panels_of(rows.rows);
    scales_.expand_panels(panel, count, groups, scales);
    if (zeros) zeros_.expand_panels(panel, count, groups, zeros);
    if (!add_code_rows(rows, sums.from_row(first))) return false;
  }
  return true;
}

void PanelMatrix::fetch() const {
  fetch_bytes(codes_.bytes().bytes);
  scales_.fetch();
  zeros_.fetch();
}

void PanelMatrix::columns(uint64_t index, uint64_t first, uint64_t n, float* out) const {
  if (n == 0) return;
  const uint64_t first_block = first / kBlockCols, last_block = (first + n - 1) / kBlockCols + 1;
  const uint64_t begin = first_block * kBlockCols, end = last_block * kBlockCols;
  const uint64_t first_group = begin / group_, groups = (end - 1) / group_ + 1 - first_group;
  // Beyond the last group there are columns that only fill up the block.
  const uint64_t there = std::min(groups, (shape_.cols + group_ - 1) / group_ - first_group);
  Floats scale_floats, zero_floats, all;
  const auto expanded = [&](const GroupFloats& from, Floats& floats) {
    float* const to = floats.room(round_up_to_block(groups) * kPanelRows);
    from.expand(index, first_group, there, to);
    std::fill(to + there * kPanelRows, to + groups * kPanelRows, 0.0f);
    return to;
  };
  float* const scales = expanded(scales_, scale_floats);
  float* const zeros = zeros_.empty() ? nullptr : expanded(zeros_, zero_floats);
  float* const to = begin == first ? out : all.room((end - begin) * kPanelRows);
  if (spaced_ && group_ % 4 == 0) {
    std::vector<uint8_t> padded;
    PanelColumns p;
    p.panel = codes_.whole(index, padded);
    p.middle = kernel_levels_.middle;
    p.first_block = first_block;
    p.last_block = last_block;
    p.scales = scales;
    p.zeros = zeros;
    p.group = group_;
    decode_columns(p, to);
  } else {
    std::vector<uint8_t> scratch;
    Panel p = codes_.whole(index, scratch);
    p.codes += first_block * p.rows * 4 * static_cast<uint64_t>(p.bits);
    p.cols = end - begin;
    std::vector<uint8_t> chunks(p.cols / 4 * kChunk);
    unpack_panel(p, chunks.data());
    for (uint64_t c = 0; c < p.cols; ++c) {
      const uint64_t group = ((begin + c) / group_ - first_group) * kPanelRows;
      for (uint64_t r = 0; r < kPanelRows; ++r) {
        const float v = scales[group + r] * levels_[chunks[chunk_index(r, c)]];
        to[c * kPanelRows + r] = zeros ? v + zeros[group + r] : v;
      }
    }
  }
  if (to != out) std::copy_n(to + (first - begin) * kPanelRows, n * kPanelRows, out);
}

void PanelMatrix::decode(uint64_t first, uint64_t last, float* out) const {
  if (shape_.cols == 0) return;
  constexpr uint64_t kSpan = kSpanBlocks * kBlockCols;
  std::vector<float> panel(std::min(kSpan, panel_blocks(shape_.cols) * kBlockCols) * kPanelRows);
  for (uint64_t index = first / kPanelRows; index * kPanelRows < last; ++index) {
    const uint64_t row = index * kPanelRows, from = std::max(first, row),
                   to = std::min(last, row + kPanelRows);
    for (uint64_t at = 0; at < shape_.cols; at += kSpan) {
      const uint64_t n = std::min(kSpan, shape_.cols - at);
      columns(index, at, n, panel.data());
      for (uint64_t r = from; r < to; ++r) {
        float* to_row = out + (r - first) * shape_.cols + at;
        for (uint64_t c = 0; c < n; ++c) to_row[c] = panel[c * kPanelRows + r - row];
      }
    }
  }
}

}  // namespace pith::form
