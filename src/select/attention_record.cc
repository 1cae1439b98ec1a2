#include "pith/select/attention_record.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::select {
namespace {

form::MatrixView as_column(const std::vector<float>& v) { return {v.data(), {v.size(), 1}}; }

}  // namespace

AttentionRecord AttentionRecord::together(std::span<const AttentionRecord> records) {
  if (records.empty()) fail(ErrorKind::kUsage, "attention: no records");
  AttentionRecord out = records.front();
  const auto sum = [](std::vector<float>& to, const std::vector<float>& from) {
    for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
  };
  for (const AttentionRecord& r : records.subspan(1)) {
    const auto sizes = [](const std::vector<float>& row) { return row.size(); };
    if (r.seen_ != out.seen_ || !std::ranges::equal(r.rows_, out.rows_, {}, sizes, sizes))
      fail(ErrorKind::kUsage, "attention: records of other queries");
    sum(out.total_, r.total_);
    for (size_t q = 0; q < r.rows_.size(); ++q) sum(out.rows_[q], r.rows_[q]);
  }
  return out;
}

void AttentionRecord::add(std::span<const float> weights) {
  if (weights.size() < items()) {
    fail(ErrorKind::kUsage, "attention: {} weights for {} items", weights.size(), items());
  }
  if (!std::ranges::all_of(weights, [](float w) { return std::isfinite(w) && w >= 0; }))
    fail(ErrorKind::kUsage, "attention: a weight that is negative or not finite");
  total_.resize(weights.size());
  seen_.resize(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    total_[i] += weights[i];
    ++seen_[i];
  }
  ++queries_;
  if (recent_ == 0) return;
  if (rows_.size() == recent_) rows_.pop_front();
  rows_.emplace_back(weights.begin(), weights.end());
}

std::vector<float> AttentionRecord::mean() const {
  std::vector<float> out = total_;
  for (size_t i = 0; i < out.size(); ++i)
    out[i] /= static_cast<float>(std::max<uint64_t>(1, seen_[i]));
  return out;
}

std::vector<float> AttentionRecord::latest(uint64_t count) const {
  std::vector<float> out(items());
  for (size_t r = rows_.size() - std::min<uint64_t>(count, rows_.size()); r < rows_.size(); ++r) {
    for (size_t i = 0; i < rows_[r].size(); ++i) out[i] += rows_[r][i];
  }
  return out;
}

double AttentionRecord::variance() const {
  if (rows_.empty()) return 0;
  size_t seen = rows_.front().size();
  for (const std::vector<float>& row : rows_) seen = std::min(seen, row.size());
  std::vector<double> sums(seen), squares(seen);
  for (const std::vector<float>& row : rows_) {
    for (size_t i = 0; i < seen; ++i) {
      sums[i] += row[i];
      squares[i] += double{row[i]} * row[i];
    }
  }
  const auto n = static_cast<double>(rows_.size());
  double sum = 0;
  for (size_t i = 0; i < seen; ++i)
    sum += std::max(0.0, squares[i] / n - sums[i] / n * sums[i] / n);
  return sum;
}

void AttentionRecord::lengthen(uint64_t items) {
  if (items <= this->items()) return;
  total_.resize(items);
  seen_.resize(items);
}

void AttentionRecord::restart() {
  std::ranges::fill(total_, 0.0f);
  std::ranges::fill(seen_, uint64_t{0});
  rows_.clear();
  queries_ = 0;
}

void AttentionRecord::shorten(uint64_t items) {
  if (items >= this->items()) return;
  total_.resize(items);
  seen_.resize(items);
  for (std::vector<float>& row : rows_) row.resize(std::min<size_t>(row.size(), items));
}

void AttentionRecord::keep(const Selection& selection) {
  const auto kept = [&](std::vector<float>& v) {
    v.resize(items());  // what came after a query got nothing from it
    return kept_rows(selection, as_column(v)).values;
  };
  std::vector<uint64_t> seen(selection.kept.size());
  for (size_t k = 0; k < seen.size(); ++k) seen[k] = seen_.at(selection.kept[k]);
  for (std::vector<float>& row : rows_) row = kept(row);
  total_ = kept(total_);
  seen_ = std::move(seen);
}

}  // namespace pith::select
