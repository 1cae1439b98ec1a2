#include "pith/weights/removal_meter.h"

#include <algorithm>

#include "logit_divergence.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/model/layer_runner.h"

namespace pith::weights {
namespace {

using form::Matrix;
using form::MatrixView;
using model::ReducedLayer;
using model::Reduction;

// Rows whose logits are compared at a time.
constexpr uint64_t kLogitRows = 128;

std::span<const int32_t> first_windows(const CalibrationText& text, uint64_t windows) {
  if (windows == 0 || text.count() == 0) {
    fail(ErrorKind::kUsage, "removals are measured on at least one window of a text");
  }
  return std::span(text.windows).first(std::min(windows, text.count()) * text.length);
}

bool same(const ReducedLayer& a, const ReducedLayer& b) {
  return a.heads == b.heads && a.units == b.units && a.output.values == b.output.values &&
         a.down.values == b.down.values;
}

}  // namespace

RemovalMeter::RemovalMeter(const model::WeightSource& source, const model::LanguageModel& model,
                           const CalibrationText& text, uint64_t windows, int threads)
    : source_(source),
      model_(model),
      length_(text.length),
      ids_(first_windows(text, windows)),
      threads_(thread_count(threads)) {
  begin_with({std::vector<ReducedLayer>(model.config().layers)});
  whole_ = streams_.back();
}

void RemovalMeter::begin_with(const Reduction& reduction) {
  std::vector<Matrix> streams;
  Matrix last = run(reduction, 0, model::embed(*model_.weights().embedding, ids_), &streams);
  streams.push_back(std::move(last));
  streams_ = std::move(streams);
  begun_ = reduction;
}

Matrix RemovalMeter::run(const Reduction& reduction, uint32_t first, Matrix stream,
                         std::vector<Matrix>* kept) const {
  const model::ReducedWeights weights(source_, reduction);
  const model::LanguageModel left = model::make_model(weights, {.tokenizer = false});
  model::LayerRunner runner(left.config(), length_, threads_);
  for (uint32_t l = first; l < left.config().layers; ++l) {
    if (kept) kept->push_back(stream);
    runner.run(left.weights().layers[l], l, stream);
  }
  return stream;
}

uint32_t RemovalMeter::first_change(const Reduction& reduction) const {
  uint32_t l = 0;
  while (l < begun_.layers.size() && same(begun_.layers[l], reduction.layers[l])) ++l;
  return l;
}

double RemovalMeter::divergence(const Reduction& reduction) const {
  const model::DecoderWeights& w = model_.weights();
  if (reduction.layers.size() != begun_.layers.size()) {
    fail(ErrorKind::kUsage, "a reduction of {} layers for a model of {}", reduction.layers.size(),
         begun_.layers.size());
  }
  const uint32_t first = first_change(reduction);
  const Matrix stream = run(reduction, first, streams_[first], nullptr);
  model::LayerRunner runner(model_.config(), length_, threads_);
  Matrix was, is;
  std::vector<double> rows(stream.shape.rows);
  for (uint64_t at = 0; at < rows.size(); at += kLogitRows) {
    const uint64_t n = std::min<uint64_t>(kLogitRows, rows.size() - at);
    const uint64_t width = stream.shape.cols;
    runner.head(w.norm, w.head, MatrixView{whole_.values.data() + at * width, {n, width}}, was);
    runner.head(w.norm, w.head, MatrixView{stream.values.data() + at * width, {n, width}}, is);
    parallel_for(threads_, n, [&](size_t r) {
      rows[at + r] = logit_divergence(was.view().row(r), is.view().row(r));
    });
  }
  double sum = 0;
  for (const double d : rows) sum += d;
  return sum / static_cast<double>(rows.size());
}

}  // namespace pith::weights
