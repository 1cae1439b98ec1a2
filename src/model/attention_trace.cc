#include "attention_trace.h"

#include <algorithm>
#include <cmath>

#include "layer_pass.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/kv/cache.h"
#include "pith/math/matrix_product.h"
#include "pith/model/layer_runner.h"

namespace pith::model {

using form::Matrix;
using math::row_major;

Matrix cut(const Matrix& m, uint64_t first_row, uint64_t count, uint64_t begin, uint64_t cols) {
  Matrix out({count, cols});
  for (uint64_t r = 0; r < count; ++r)
    std::copy_n(m.view().row(first_row + r).data() + begin, cols, out.row(r).data());
  return out;
}

Matrix times_transposed(const Matrix& a, const Matrix& b) {
  Matrix out({a.shape.rows, b.shape.rows});
  math::matrix_product(row_major(a.values.data(), a.shape.rows, a.shape.cols),
                       row_major(b.values.data(), b.shape.rows, b.shape.cols).transposed(),
                       out.values.data(), out.shape.cols);
  return out;
}

Matrix times(const Matrix& a, const Matrix& b) {
  Matrix out({a.shape.rows, b.shape.cols});
  math::matrix_product(row_major(a.values.data(), a.shape.rows, a.shape.cols),
                       row_major(b.values.data(), b.shape.rows, b.shape.cols), out.values.data(),
                       out.shape.cols);
  return out;
}

void softmax(Matrix& scores) {
  const uint64_t rows = scores.shape.rows, tokens = scores.shape.cols;
  for (uint64_t r = 0; r < rows; ++r) {
    float* s = scores.row(r).data();
    const uint64_t seen = tokens - rows + r + 1;
    const float most = *std::max_element(s, s + seen);
    float sum = 0;
    for (uint64_t t = 0; t < seen; ++t) sum += s[t] = std::exp(s[t] - most);
    for (uint64_t t = 0; t < tokens; ++t) s[t] = t < seen ? s[t] / sum : 0;
  }
}

double squares(const Matrix& m) {
  double sum = 0;
  for (const float f : m.values) sum += static_cast<double>(f) * f;
  return sum;
}

namespace {

void check(uint64_t ids, const HarmOptions& o) {
  if (o.queries == 0 || o.texts == 0 || o.first + o.near + o.queries >= o.context)
    fail(ErrorKind::kUsage, "a text of {} tokens has none far behind {} queries", o.context,
         o.queries);
  if (ids < o.context)
    fail(ErrorKind::kUsage, "a text of {} tokens, where {} are read", ids, o.context);
}

class Tracer {
 public:
  Tracer(const LanguageModel& model, const HarmOptions& options, int threads,
         const std::function<void(const TracedHead&)>& each)
      : model_(model),
        c_(model.config()),
        o_(options),
        threads_(thread_count(threads)),
        each_(each),
        runner_(c_, o_.context, threads_),
        cache_({c_.kv_heads}, c_.head_size, o_.context),
        pass_(c_, o_.context, threads_) {}

  void read(std::span<const int32_t> ids) {
    Matrix stream = embed(*model_.weights().embedding, ids);
    uint64_t first = 0;
    for (uint32_t l = 0; l < c_.layers; ++l) {
      const DecoderLayer& layer = model_.weights().layers[l];
      if (layer.has_attention()) {
        LayerTrace trace;
        pass_.place({.texts = 1, .first = 0, .count = o_.context});
        pass_.trace(layer, l, stream.view(), cache_, 0, trace);
        show(layer, l, trace, first);
      }
      first += c_.sizes(l).kv_heads;
      runner_.run(layer, l, stream);
    }
  }

 private:
  void show(const DecoderLayer& layer, uint32_t index, const LayerTrace& trace, uint64_t first) {
    const LayerSizes sizes = c_.sizes(index);
    const uint64_t size = c_.head_size, group = sizes.heads / sizes.kv_heads;
    const uint64_t behind = o_.context - o_.queries;
    const double unit = squares(cut(trace.middle, behind, o_.queries, 0, c_.width));
    const Matrix output = form::decode(*layer.output.weight);
    parallel_for(threads_, sizes.kv_heads, [&](size_t h) {
      TracedHead head;
      head.index = first + h;
      head.far_begin = o_.first;
      head.far_end = behind - o_.near;
      head.keys = cut(trace.k, 0, o_.context, h * size, size);
      head.values = cut(trace.v, 0, o_.context, h * size, size);
      head.unit = unit;
      for (uint64_t q = h * group; q < (h + 1) * group; ++q) {
        head.queries = cut(trace.q, behind, o_.queries, q * size, size);
        head.output = cut(output, 0, c_.width, q * size, size);
        head.scores = times_transposed(head.queries, head.keys);
        head.weights = head.scores;
        softmax(head.weights);
        each_(head);
      }
    });
  }

  const LanguageModel& model_;
  const DecoderConfig& c_;
  HarmOptions o_;
  int threads_;
  const std::function<void(const TracedHead&)>& each_;
  LayerRunner runner_;
  kv::Cache cache_;
  LayerPass pass_;
};

}  // namespace

void trace_heads(const LanguageModel& model, std::span<const int32_t> ids,
                 const HarmOptions& options, int threads,
                 const std::function<void(const TracedHead&)>& each) {
  check(ids.size(), options);
  Tracer tracer(model, options, threads, each);
  const uint64_t texts = std::min(options.texts, ids.size() / options.context);
  for (uint64_t t = 0; t < texts; ++t)
    tracer.read(ids.subspan(t * options.context, options.context));
}

}  // namespace pith::model
