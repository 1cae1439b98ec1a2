// What attention loses with one axis of its keys or values, measured on text.
#include <algorithm>
#include <cmath>

#include "attention_trace.h"
#include "kept_heads.h"
#include "pith/base/error.h"

namespace pith::model {
namespace {

using form::Matrix;

// [token][axis] of far tokens, in units of the numbers themselves; keys are given before their
// rotation.
Matrix coordinates(const kv::Span& span, Matrix rows) {
  for (uint64_t t = 0; t < rows.shape.rows; ++t) {
    for (uint64_t c = 0; c < rows.shape.cols; ++c) rows.row(t)[c] -= span.mean[c];
  }
  Matrix axes({span.count(), span.channels()});
  axes.values = span.axes;
  return times_transposed(rows, axes);
}

Matrix far_rows(const TracedHead& head, const Matrix& all) {
  return cut(all, head.far_begin, head.far_end - head.far_begin, 0, all.shape.cols);
}

// Adds, for each axis of the values, the squared change of the stream over its own square.
void add_values(const TracedHead& head, const kv::Span& span, std::vector<double>& harm) {
  const Matrix along = coordinates(span, far_rows(head, head.values));
  const Matrix far =
      cut(head.weights, 0, head.weights.shape.rows, head.far_begin, along.shape.rows);
  const Matrix lost = times(far, along);  // [query][axis]
  Matrix axes({span.count(), span.channels()});
  axes.values = span.back();
  const Matrix moved = times_transposed(head.output, axes);  // [width][axis]
  for (uint64_t a = 0; a < span.count(); ++a) {
    double lengths = 0, sums = 0;
    for (uint64_t r = 0; r < lost.shape.rows; ++r)
      sums += std::pow(double{lost.values[r * span.count() + a]}, 2);
    for (uint64_t w = 0; w < moved.shape.rows; ++w)
      lengths += std::pow(double{moved.values[w * span.count() + a]}, 2);
    harm[a] += sums * lengths / head.unit;
  }
}

// The same of the keys, whose axis turns with the position.
void add_keys(const TracedHead& head, const kv::Span& span, const kv::Rotator& rotator,
              std::vector<double>& harm) {
  const uint64_t size = head.keys.shape.cols;
  Matrix plain = head.keys;
  rotator.undo(plain.values.data());
  const Matrix along = coordinates(span, far_rows(head, plain));
  const Matrix before = times(head.weights, head.values);
  for (uint64_t a = 0; a < span.count(); ++a) {
    Matrix turned({head.keys.shape.rows, size});
    for (uint64_t t = 0; t < turned.shape.rows; ++t)
      std::copy_n(span.back().data() + a * size, size, turned.row(t).data());
    rotator.redo(turned.values.data());
    const Matrix products = times_transposed(head.queries, far_rows(head, turned));
    Matrix changed = head.scores;
    for (uint64_t r = 0; r < changed.shape.rows; ++r) {
      for (uint64_t t = 0; t < along.shape.rows; ++t)
        changed.row(r)[head.far_begin + t] -=
            products.view().row(r)[t] * along.values[t * span.count() + a];
    }
    softmax(changed);
    Matrix after = times(changed, head.values);
    for (size_t i = 0; i < after.values.size(); ++i) after.values[i] -= before.values[i];
    harm[a] += squares(times_transposed(after, head.output)) / head.unit;
  }
}

}  // namespace

kv::Profile ordered_by_harm(const LanguageModel& model, kv::Profile profile,
                            std::span<const int32_t> ids, const HarmOptions& options, int threads) {
  profile.check(kept_heads(model.config()), model.config().head_size);
  if (!profile.of_single_heads())
    fail(ErrorKind::kUsage, "axes are measured one head at a time: a profile of heads is needed");
  std::vector<size_t> keys(profile.spans.size()), values(profile.spans.size());
  std::vector<std::vector<double>> harm;
  for (size_t s = 0; s < profile.spans.size(); ++s) {
    (profile.spans[s].values ? values : keys)[profile.spans[s].first] = s;
    harm.emplace_back(profile.spans[s].count());
  }
  const kv::Rotator rotator(profile.rotation, profile.head_size, 0, options.context);
  trace_heads(model, ids, options, threads, [&](const TracedHead& head) {
    const size_t k = keys[head.index], v = values[head.index];
    add_keys(head, profile.spans[k], rotator, harm[k]);
    add_values(head, profile.spans[v], harm[v]);
  });
  std::vector<std::vector<float>> importance;
  for (const std::vector<double>& h : harm) importance.emplace_back(h.begin(), h.end());
  return kv::ordered_by(std::move(profile), std::move(importance));
}

}  // namespace pith::model
