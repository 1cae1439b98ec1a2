// Which tokens of a cache stay: policies over the heads of all layers.
#include <algorithm>
#include <numeric>

#include "pith/base/parallel.h"
#include "pith/kv/cache.h"
#include "pith/select/shares.h"

namespace pith::kv {

using form::Matrix;
using form::MatrixView;
using select::Selection;

bool CacheOptions::needs_attention() const {
  return keep && (keep->needs_attention() || labels_heads() ||
                  (budget && (budget->shares == Budget::Shares::kAttention ||
                              (budget->moving && budget->moving->needs_attention()))));
}

uint64_t CacheOptions::latest_queries() const {
  if (!keep) return 0;
  const bool by_attention =
      labels_heads() || (budget && budget->shares == Budget::Shares::kAttention);
  const select::Policy& other = budget && budget->moving ? *budget->moving : *keep;
  if (keep->needs_all_attention() || other.needs_all_attention()) return 0;
  return std::max({keep->latest(), other.latest(), by_attention ? Budget::kLatest : 0});
}

bool CacheOptions::labels_heads() const {
  return budget && budget->shares == Budget::Shares::kClasses && budget->heads.empty();
}

std::vector<double> Cache::variances() const {
  std::vector<double> out;
  for (const select::AttentionRecord& r : records_) out.push_back(r.variance());
  return out;
}

void Cache::label_heads() {
  if (!options_->budget || !options_->budget->moving || !moving_.empty()) return;
  const Budget& b = *options_->budget;
  if (b.heads.empty()) {
    moving_ = select::largest(variances(), b.part);
  } else {
    for (const char c : b.heads) moving_.push_back(c == '1');
  }
}

Selection Cache::selection(uint64_t begin, uint64_t end, uint64_t layer, uint64_t leaving,
                           uint64_t plain, std::optional<uint64_t> budget) {
  const uint64_t count = past_[begin].kept() + plain;
  if (budget && count <= *budget) return select::everything(count);
  const select::Policy& policy =
      !moving_.empty() && moving_[begin] ? *options_->budget->moving : *options_->keep;
  Matrix keys;
  if (policy.needs_vectors()) keys = all_keys(begin, end, plain);
  std::optional<select::AttentionRecord> all;
  if (!records_.empty() && end - begin > 1)
    all = select::AttentionRecord::together(std::span(records_).subspan(begin, end - begin));
  return policy.select({.count = count,
                        .vectors = keys.values.empty() ? MatrixView{} : keys.view(),
                        .attention = all                ? &*all
                                     : records_.empty() ? nullptr
                                                        : &records_[begin],
                        .layer = layer,
                        .layers = first_.size() - 1},
                       budget, plain - leaving);
}

void Cache::select_all(uint64_t read, uint64_t leaving, uint64_t plain, int threads) {
  for (size_t h = 0; h < records_.size(); ++h) records_[h].lengthen(past_[h].kept() + plain);
  label_heads();
  const std::vector<uint64_t> budgets = this->budgets(read, leaving, plain, threads);
  std::vector<Selection> selections(past_.size());
  const auto budget = [&](uint64_t head) {
    return budgets.empty() ? std::nullopt : std::optional(budgets[head]);
  };
  if (options_->together) {
    parallel_for(threads, first_.size() - 1, [&](size_t l) {
      const uint64_t begin = first_[l], end = first_[l + 1];
      if (begin == end) return;
      std::optional<uint64_t> least = budget(begin);
      for (uint64_t h = begin + 1; h < end; ++h) least = std::min(least, budget(h));
      std::fill(selections.begin() + static_cast<std::ptrdiff_t>(begin),
                selections.begin() + static_cast<std::ptrdiff_t>(end),
                selection(begin, end, l, leaving, plain, least));
    });
  } else {
    const std::vector<uint64_t> layers = layers_of_heads();
    parallel_for(threads, past_.size(), [&](size_t h) {
      selections[h] = selection(h, h + 1, layers[h], leaving, plain, budget(h));
    });
  }
  if (options_->positions == Positions::kCache) turn_all(leaving, plain, selections, threads);
  parallel_for(threads, past_.size(), [&](size_t head) {
    const Selection& s = selections[head];
    s.shares.empty() ? keep_selected(head, leaving, s) : merge(head, leaving, plain, s);
    if (!records_.empty()) records_[head].keep(s);
  });
}

std::vector<uint64_t> Cache::layers_of_heads() const {
  std::vector<uint64_t> layers;
  for (uint64_t l = 0; l + 1 < first_.size(); ++l) layers.resize(first_[l + 1], l);
  return layers;
}

Matrix Cache::all_keys(uint64_t begin, uint64_t end, uint64_t plain) {
  Matrix keys({past_[begin].kept() + plain, (end - begin) * head_size_});
  for (uint64_t head = begin; head < end; ++head) {
    Past::Rows rows = past_[head].kept_rows(head_size_);
    copy_rows(head, 0, plain, rows);
    for (uint64_t t = 0; t < keys.shape.rows; ++t)
      std::copy_n(rows.keys.data() + t * head_size_, head_size_,
                  keys.row(t).data() + (head - begin) * head_size_);
  }
  return keys;
}

void Cache::keep_selected(uint64_t head, uint64_t leaving, const Selection& s) {
  Past& past = past_[head];
  const uint64_t before = past.kept();
  Past::Rows kept, stay;
  if (!s.rests.empty()) kept = past.kept_rows(head_size_);
  for (const Selection::Rest& r : s.rests) {
    Past::Rows rest;
    for (const uint32_t i : r.items) {
      if (i >= before) {
        copy_rows(head, i - before, 1, rest);
      } else {
        const auto at = static_cast<std::ptrdiff_t>(i * head_size_);
        const auto size = static_cast<std::ptrdiff_t>(head_size_);
        rest.keys.insert(rest.keys.end(), kept.keys.begin() + at, kept.keys.begin() + at + size);
        rest.values.insert(rest.values.end(), kept.values.begin() + at,
                           kept.values.begin() + at + size);
      }
    }
    past.add_rest(*options_, r.form, rest, head_size_);
  }
  const auto old = std::ranges::lower_bound(s.kept, static_cast<uint32_t>(before));
  for (auto i = old; i != s.kept.end() && *i < before + leaving; ++i)
    copy_rows(head, *i - before, 1, stay);
  past.keep(*options_, {s.kept.begin(), old}, head_size_);
  past.add(*options_, stay.keys.data(), stay.values.data(), stay.keys.size() / head_size_,
           head_size_);
}

void Cache::merge(uint64_t head, uint64_t leaving, uint64_t plain, const Selection& s) {
  Past& past = past_[head];
  Past::Rows rows = past.kept_rows(head_size_);
  copy_rows(head, 0, plain, rows);
  const form::Shape shape{s.count, head_size_};
  const Matrix keys = select::kept_rows(s, {rows.keys.data(), shape});
  const Matrix values = select::kept_rows(s, {rows.values.data(), shape});
  // The last of them lie as they are, and stay so.
  const uint64_t window = plain - leaving, away = s.kept.size() - window;
  past.keep(*options_, {}, head_size_);
  past.add(*options_, keys.values.data(), values.values.data(), away, head_size_);
  for (uint64_t i = 0; i < window; ++i)
    write_row(head, leaving + i, keys.view().row(away + i).data(),
              values.view().row(away + i).data());
}

void Cache::turn_all(uint64_t leaving, uint64_t plain, const std::vector<Selection>& selections,
                     int threads) {
  // Of the past, old and new, the last token stands just before base().
  const uint64_t window = plain - leaving;
  uint64_t most = 0;
  for (const Selection& s : selections) most = std::max<uint64_t>(most, s.kept.size() - window);
  const auto at = [](uint64_t v) { return static_cast<int64_t>(v); };
  parallel_for(threads, past_.size(), [&](size_t head) {
    const Selection& s = selections[head];
    const uint64_t kept = past_[head].kept(), away = s.kept.size() - window;
    std::vector<int64_t> by(kept + plain);
    for (size_t k = 0; k < s.kept.size(); ++k) {
      const int64_t was = at(turned_base_) - at(kept) + at(s.kept[k]);
      by[s.kept[k]] = at(most) - at(away) + at(k) - was;
    }
    past_[head].turn(*options_, {by.data(), kept}, turn_, head_size_);
    std::vector<float> row(head_size_);
    for (uint64_t i = 0; i < plain; ++i) {
      if (by[kept + i] == 0) continue;
      float* k = key(head, i);
      for (uint64_t c = 0; c < head_size_; ++c) row[c] = k[c * kKeyBlock];
      turn_(row.data(), by[kept + i]);
      for (uint64_t c = 0; c < head_size_; ++c) k[c * kKeyBlock] = row[c];
    }
  });
}

}  // namespace pith::kv
