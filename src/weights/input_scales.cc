#include "input_scales.h"

#include <algorithm>
#include <cmath>

#include "pith/weights/calibration_statistics.h"

namespace pith::weights {
namespace {

using model::DecoderLayer;
using model::Linear;

// Of channels that are all but dead, as a share of the mean square: their columns are not made
// smaller without bound.
constexpr double kLeast = 1e-6;

// Mean squares of what these read, each by the vectors that came by.
std::vector<double> mean_squares(std::span<const Linear* const> readers,
                                 const CalibrationStatistics& statistics, uint64_t width) {
  std::vector<double> sums(width);
  double count = 0;
  for (const Linear* reader : readers) {
    const TensorStatistics* seen = statistics.find(reader->name);
    if (!seen || !seen->inputs) continue;
    const auto n = static_cast<double>(seen->inputs->count);
    for (uint64_t c = 0; c < width; ++c) sums[c] += n * seen->inputs->squares[c];
    count += n;
  }
  for (double& s : sums) s = count > 0 ? s / count : 0;
  return sums;
}

std::vector<float> scales_of(const std::vector<double>& squares, double power) {
  const auto n = static_cast<double>(squares.size());
  double mean = 0, logarithms = 0;
  for (const double s : squares) mean += s / n;
  std::vector<float> out(squares.size(), 1.0F);
  if (!(mean > 0)) return out;
  const auto log_scale = [&](double s) { return power / 2 * std::log(std::max(s, kLeast * mean)); };
  for (const double s : squares) logarithms += log_scale(s) / n;
  for (size_t c = 0; c < out.size(); ++c) {
    out[c] = static_cast<float>(std::exp(log_scale(squares[c]) - logarithms));
  }
  return out;
}

std::vector<const Linear*> network_readers(const DecoderLayer& layer) {
  std::vector<const Linear*> all;
  if (layer.feed_forward) all.push_back(&layer.feed_forward->gate);
  if (layer.experts) {
    for (const model::FeedForward& expert : layer.experts->experts) all.push_back(&expert.gate);
    if (layer.experts->shared) all.push_back(&layer.experts->shared->gate);
  }
  return all;
}

}  // namespace

std::vector<std::vector<float>> input_scales(const model::LanguageModel& model,
                                             std::string_view text, const RotateOptions& options) {
  const CalibrationText windows = calibration_text(model, text, options.size);
  const CalibrationStatistics statistics = calibrate(
      model, windows.windows, windows.length,
      {.gradient_tokens = 0,
       .threads = options.threads,
       .progress = options.progress ? options.progress("calibrating for the scales") : Progress()});
  const uint64_t width = model.config().width;
  std::vector<std::vector<float>> all;
  for (const DecoderLayer& layer : model.weights().layers) {
    const Linear* q = &layer.q;
    for (const auto& readers : {std::vector<const Linear*>{q}, network_readers(layer)}) {
      all.push_back(scales_of(mean_squares(readers, statistics, width), options.smooth));
    }
  }
  return all;
}

}  // namespace pith::weights
