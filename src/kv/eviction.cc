// Which tokens of a cache stay: policies over the heads of all layers.
#include <algorithm>
#include <numeric>

#include "pith/base/parallel.h"
#include "pith/kv/cache.h"
#include "pith/select/scores.h"
#include "pith/select/shares.h"

namespace pith::kv {
namespace {

using form::Matrix;
using form::MatrixView;
using select::Selection;

// What Ada-KV looks at.
constexpr uint64_t kLatest = 32;

}  // namespace

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
  return std::max({keep->latest(), other.latest(), by_attention ? kLatest : 0});
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

void Cache::select_all(uint64_t read, uint64_t leaving, uint64_t plain, int threads) {
  for (size_t h = 0; h < records_.size(); ++h) records_[h].lengthen(past_[h].kept() + plain);
  label_heads();
  const std::vector<uint64_t> budgets = this->budgets(read, plain, threads);
  const std::vector<uint64_t> layers = layers_of_heads();
  std::vector<Selection> selections(past_.size());
  parallel_for(threads, past_.size(), [&](size_t head) {
    const select::Policy& policy =
        !moving_.empty() && moving_[head] ? *options_->budget->moving : *options_->keep;
    Matrix keys;
    if (policy.needs_vectors()) keys = all_keys(head, plain);
    const select::Items items{.count = past_[head].kept() + plain,
                              .vectors = keys.values.empty() ? MatrixView{} : keys.view(),
                              .attention = records_.empty() ? nullptr : &records_[head],
                              .layer = layers[head],
                              .layers = first_.size() - 1};
    const bool full = budgets.empty() || items.count > budgets[head];
    selections[head] =
        full ? policy.select(items, budgets.empty() ? std::nullopt : std::optional(budgets[head]),
                             plain - leaving)
             : select::everything(items.count);
  });
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

std::vector<uint64_t> Cache::budgets(uint64_t read, uint64_t plain, int threads) {
  if (!options_->budget) return {};
  const Budget& b = *options_->budget;
  const uint64_t heads = past_.size(), each = options_->least(b.of(read));
  std::vector<uint64_t> sizes(heads);
  for (size_t h = 0; h < heads; ++h) sizes[h] = past_[h].kept() + plain;
  // No head can have less than what stays in any case.
  const select::ShareOptions options{.least = options_->least(0), .step = 8};
  if (b.shares == Budget::Shares::kFalling)
    return select::shares_falling(sizes, each * heads, b.ratio, options);
  if (b.shares == Budget::Shares::kEntropy) {
    std::vector<double> entropies(heads);
    parallel_for(threads, heads, [&](size_t h) {
      entropies[h] = select::matrix_entropy(all_keys(h, plain).view());
    });
    return select::shares_by_weight(entropies, sizes, each * heads, options);
  }
  if (b.shares == Budget::Shares::kClasses) {
    std::vector<double> weights(heads);
    for (size_t h = 0; h < heads; ++h) weights[h] = moving_[h] ? 1 : b.ratio;
    return select::shares_by_weight(weights, sizes, each * heads, options);
  }
  std::vector<uint64_t> out(heads, each);
  if (b.shares != Budget::Shares::kAttention) return out;
  for (uint64_t l = 0; l + 1 < first_.size(); ++l) {
    std::vector<std::vector<float>> scores;
    for (uint64_t h = first_[l]; h < first_[l + 1]; ++h)
      scores.push_back(records_[h].latest(kLatest));
    const std::vector<uint64_t> of = select::shares_by_score(scores, each * scores.size(), options);
    std::ranges::copy(of, out.begin() + static_cast<std::ptrdiff_t>(first_[l]));
  }
  return out;
}

Matrix Cache::all_keys(uint64_t head, uint64_t plain) {
  Past::Rows rows = past_[head].kept_rows(head_size_);
  copy_rows(head, 0, plain, rows);
  Matrix keys;
  keys.shape = {rows.keys.size() / head_size_, head_size_};
  keys.values = std::move(rows.keys);
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
