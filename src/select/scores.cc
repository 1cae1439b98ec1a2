#include "pith/select/scores.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "geometry.h"
#include "pith/base/error.h"
#include "pith/form/arguments.h"
#include "pith/form/named.h"
#include "pith/math/eigen.h"
#include "score_names.h"

namespace pith::select {
namespace {

using form::Arguments;
using form::Expression;
using form::MatrixView;
using Scores = std::vector<float>;

Error missing(const Expression& e, std::string_view what) {
  return e.place().error(ErrorKind::kUsage,
                         fmt::format("{}: the items have no {}", e.name(), what));
}

MatrixView vectors_of(const Expression& e, const Items& items) {
  if (items.vectors.data == nullptr && items.count > 0) throw missing(e, "vectors");
  return items.vectors;
}

Scores attention(const Expression& e, const Items& items) {
  const AttentionCall call = attention_call(e);
  if (items.attention == nullptr) throw missing(e, "record of attention");
  if (items.attention->items() != items.count) {
    fail(ErrorKind::kUsage, "attention: a record of {} items beside {}", items.attention->items(),
         items.count);
  }
  if (call.latest > 0) return items.attention->latest(call.latest);
  return call.mean ? items.attention->mean() : items.attention->total();
}

Scores norm(const Expression& e, const Items& items) {
  Scores out = lengths(vectors_of(e, items));
  for (float& v : out) v = -v;
  return out;
}

Scores relevance(const Expression& e, const Items& items) {
  const MatrixView vectors = vectors_of(e, items);
  if (items.queries.data == nullptr || items.queries.shape.cols != vectors.shape.cols)
    throw missing(e, "queries of their width");
  const form::Matrix units = unit_rows(vectors), queries = unit_rows(items.queries);
  Scores out(items.count, -1);
  for (uint64_t i = 0; i < items.count; ++i) {
    for (uint64_t q = 0; q < queries.shape.rows; ++q)
      out[i] = std::max(out[i], dot(units.view().row(i), queries.view().row(q)));
  }
  return out;
}

Scores unlikeness(const Expression& e, const Items& items) {
  const form::Matrix units = unit_rows(vectors_of(e, items));
  Scores out(items.count, 1);
  for (uint64_t i = 0; i < items.count; ++i) {
    for (uint64_t j = i + 1; j < items.count; ++j)
      out[i] = std::min(out[i], 1 - dot(units.view().row(i), units.view().row(j)));
  }
  return out;
}

Scores diversity(const Expression& e, const Items& items) {
  const form::Matrix units = unit_rows(vectors_of(e, items));
  std::vector<float> mean(units.shape.cols);
  for (uint64_t i = 0; i < items.count; ++i) {
    for (size_t c = 0; c < mean.size(); ++c)
      mean[c] += units.view().row(i)[c] / static_cast<float>(items.count);
  }
  Scores out(items.count);
  for (uint64_t i = 0; i < items.count; ++i) out[i] = 1 - dot(units.view().row(i), mean);
  return out;
}

Scores recency(const Expression&, const Items& items) {
  Scores out(items.count);
  for (uint64_t i = 0; i < items.count; ++i) out[i] = static_cast<float>(i);
  return out;
}

struct Named {
  std::string_view name;
  Scores (*score)(const Expression&, const Items&);
};
constexpr std::array kScores = {Named{"attention", attention}, Named{"norm", norm},
                                Named{"relevance", relevance}, Named{"unlikeness", unlikeness},
                                Named{"diversity", diversity}, Named{"recency", recency}};

// From 0 for the least to 1 for the largest.
Scores in_units(Scores scores) {
  if (scores.empty()) return scores;
  const auto [least, most] = std::ranges::minmax(scores);
  const float range = most - least;
  for (float& v : scores) v = range > 0 ? (v - least) / range : 0;
  return scores;
}

bool is_compound(const Expression& e) {
  return e.kind() == Expression::Kind::kSum || e.kind() == Expression::Kind::kProduct;
}

const Named& named(const Expression& e) {
  const Named* found = e.is_call() ? form::find_named(kScores, e.name()) : nullptr;
  if (!found) {
    throw e.place().error(ErrorKind::kUsage, fmt::format("no score is called `{}`; there are {}",
                                                         e.name(), form::names_of(kScores)));
  }
  return *found;
}

bool uses(const Expression& e, std::initializer_list<std::string_view> names) {
  return (e.is_call() && std::ranges::find(names, e.name()) != names.end()) ||
         std::ranges::any_of(e.operands(), [&](const Expression& o) { return uses(o, names); });
}

}  // namespace

AttentionCall attention_call(const Expression& e) {
  const Arguments args(e, {"by", "latest"});
  constexpr std::array<std::string_view, 2> kBy = {"total", "mean"};
  const bool mean = args.choice("by", kBy, 0) == 1;
  const auto latest = static_cast<uint64_t>(args.integer("latest", 1, kMostLatest, 0));
  if (latest > 0 && mean) throw args.wrong("latest", "left out beside `mean`");
  return {mean, latest};
}

void check_score(const Expression& e) {
  if (is_compound(e)) {
    for (const Expression& part : e.operands()) check_score(part);
    return;
  }
  if (named(e).name == "attention") {
    attention_call(e);
  } else {
    Arguments(e, {});
  }
}

uint64_t latest_of(const Expression& e) {
  uint64_t most = 0;
  for (const Expression& part : e.operands()) most = std::max(most, latest_of(part));
  return e.is_call() && e.name() == "attention" ? attention_call(e).latest : most;
}

bool uses_attention(const Expression& e) { return uses(e, {"attention"}); }
bool uses_all_attention(const Expression& e) {
  return (e.is_call() && e.name() == "attention" && attention_call(e).latest == 0) ||
         std::ranges::any_of(e.operands(), uses_all_attention);
}
bool uses_vectors(const Expression& e) {
  return uses(e, {"norm", "relevance", "unlikeness", "diversity"});
}
bool uses_queries(const Expression& e) { return uses(e, {"relevance"}); }

std::vector<float> score(const Expression& e, const Items& items) {
  if (items.vectors.data != nullptr && items.vectors.shape.rows != items.count)
    fail(ErrorKind::kUsage, "{} vectors of {} items", items.vectors.shape.rows, items.count);
  if (!is_compound(e)) return named(e).score(e, items);
  const bool sum = e.kind() == Expression::Kind::kSum;
  Scores out(items.count, sum ? 0.0f : 1.0f);
  for (const Expression& part : e.operands()) {
    const Scores more = in_units(score(part, items));
    for (size_t i = 0; i < out.size(); ++i) out[i] = sum ? out[i] + more[i] : out[i] * more[i];
  }
  return out;
}

double matrix_entropy(MatrixView vectors, uint64_t k) {
  require_finite(vectors);
  const auto [rows, width] = vectors.shape;
  if (rows == 0 || width == 0) return 0;
  return matrix_entropy_of_moments(math::gram(vectors.data, rows, width, width), width, rows, k);
}

double matrix_entropy_of_moments(std::span<const float> moments, uint64_t width, uint64_t count,
                                 uint64_t k) {
  const uint64_t n = std::min(count, width);
  if (n == 0) return 0;
  std::vector<float> values = math::symmetric_eigen(moments.data(), width).values;
  values.resize(n);
  double trace = 0;
  for (float& v : values) trace += v = std::max(v, 0.0f);
  if (!(trace > 0)) return 0;
  if (k == 0) {
    // The value farthest below the line from the first to the last.
    double deepest = -1;
    for (uint64_t i = 0; i < n; ++i) {
      const double line = values[0] + (double{values[n - 1]} - values[0]) * static_cast<double>(i) /
                                          static_cast<double>(std::max<uint64_t>(1, n - 1));
      if (line - values[i] > deepest) {
        deepest = line - values[i];
        k = i + 1;
      }
    }
  }
  double entropy = 0;
  for (uint64_t i = 0; i < std::min(k, n); ++i) {
    const double p = values[i] / trace;
    if (p > 0) entropy -= p * std::log(p);
  }
  return entropy;
}

}  // namespace pith::select
