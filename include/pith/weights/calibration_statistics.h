// What calibration keeps of a model that has read a text: for each weight matrix how large its
// inputs are and how much an error of its outputs matters.
//
//   const CalibrationText text = …;
//   const CalibrationStatistics s = calibrate(model, text.windows, text.length);
//   write_statistics(s, "stats.pith", false);
//
//   const CalibrationStatistics s = read_statistics("stats.pith");
//   require_model(s, model, "stats.pith");
//
// All means are per token, and gradients those of the summed loss, so that with errors E of a
// weight the divergence to expect is half the sum of G_r E_r A E_rᵀ over its rows r, for a token
// (GradientPass, model/gradient.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/hash.h"
#include "pith/base/progress.h"
#include "pith/fit/metric.h"
#include "pith/model/language_model.h"
#include "pith/model/layer_runner.h"

namespace pith::weights {

// Of vectors of one size: the inputs of a weight, or the gradients at its outputs.
struct VectorStatistics {
  uint64_t count = 0;           // vectors that came by
  std::vector<double> squares;  // the mean of x_c^2
  std::vector<double> sizes;    // the mean of |x_c|
  // The means of x_r x_c for r <= c, row after row; empty unless it was asked for.
  std::vector<float> moments;

  uint64_t size() const { return squares.size(); }
  // Second moments where they are, else their diagonal; the squared error where nothing came by.
  fit::Metric metric() const;
};

struct TensorStatistics {
  // Weights with the same inputs share them. Null for an expert that no token chose.
  std::shared_ptr<const VectorStatistics> inputs;
  std::shared_ptr<const VectorStatistics> gradients;  // null: not asked for, too
};

struct CalibrationStatistics {
  Hash128 model, text;  // weights_hash(), ids_hash()
  uint64_t tokens = 0, window = 0;
  uint64_t gradient_tokens = 0;  // 0: without gradients
  uint64_t seed = 0;             // of their targets
  // By the name of the weight, as Hugging Face's files have it; the embedding is there as the head
  // if tied, else not at all.
  std::map<std::string, TensorStatistics, std::less<>> tensors;
  // Gradients at what was looked up of the embedding, with moments, and how often each token was;
  // null and empty without gradients.
  std::shared_ptr<const VectorStatistics> lookups;
  std::vector<uint64_t> token_counts;
  // Of the residual stream before each layer and behind the last: bits of one value in steps of a
  // sixteenth of the root mean square. Where it is high, errors of a layer depend on those before
  // it (Q-VLM, arXiv 2410.08119).
  std::vector<double> entropies;
  // Of each layer's query heads, on some of the windows.
  std::vector<std::vector<model::HeadAttention>> attention;

  // Null where there is nothing of that name.
  const TensorStatistics* find(std::string_view name) const;
};

struct CalibrationOptions {
  // Tokens, in whole windows but at least one, that inputs and entropies are taken of.
  uint64_t input_tokens = UINT64_MAX;
  // Tokens, in whole windows but at least one, that gradients are made for; 0: none.
  uint64_t gradient_tokens = 4096;
  uint64_t seed = 1;  // of the targets that are drawn
  // Keep E[x xᵀ], which takes 2 n^2 bytes for each n inputs of a layer: refused beforehand where
  // memory is short.
  bool input_moments = false;
  // Keep E[g gᵀ] of all but the head; the same for outputs, and 8 n^2 more meanwhile.
  bool gradient_moments = false;
  int threads = 0;  // 0: as many as there are; the result is the same
  Progress progress = {};
};

// windows: ids of whole windows of `window` tokens, one after the other. Reads all of them layer by
// layer, and some again for gradients. Throws ErrorKind::kUsage for parts of windows or no tokens,
// kData, with the tensor, where activations or gradients are not finite, kLimit where memory is
// short.
CalibrationStatistics calibrate(const model::LanguageModel& model, std::span<const int32_t> windows,
                                uint64_t window, const CalibrationOptions& options = {});

// A .pith archive with one file of tensors, which other programs can take out (pith decompress).
// Appears under its name only when it is complete; the same statistics give the same bytes.
void write_statistics(const CalibrationStatistics& statistics, const std::filesystem::path& path,
                      bool overwrite);
// Throws ErrorKind::kData for an archive that holds no statistics, or such as cannot be: sizes that
// do not fit each other, numbers that are none.
CalibrationStatistics read_statistics(const std::filesystem::path& path);

// Throws ErrorKind::kUsage, naming both, where the model's weights are not those that were
// calibrated.
void require_model(const CalibrationStatistics& statistics, const model::LanguageModel& model,
                   std::string_view where);

// Of all weights with their names; reads them all. The same weights in the same forms have the same
// hash, whichever file they come from.
Hash128 weights_hash(const model::LanguageModel& model);
Hash128 ids_hash(std::span<const int32_t> windows, uint64_t window);

}  // namespace pith::weights
