// A model whose matrices are sums of directions, each times a gate, and what a text's loss says of
// every gate: how many directions each matrix is worth (Dobi-SVD, Wang et al. 2025, arXiv
// 2502.02723).
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "pith/budget/soft_positions.h"
#include "pith/weights/calibration_text.h"

namespace pith::weights {

class GatedModel {
 public:
  // Finds the directions in which the outputs of each of these matrices vary on the text, the
  // strongest first: W = sum of v_k (v_kᵀ W). Those that are not of layers have none. Keeps twice
  // the model's floats at most. Model and text outlive it.
  GatedModel(const model::LanguageModel& model, const CalibrationText& text,
             std::span<const std::string> names, int threads);

  uint64_t directions(size_t matrix) const { return matrices_[matrix].right.shape.rows; }

  using Gates = budget::Gates;                        // of each matrix's directions
  using Gradient = std::vector<std::vector<double>>;  // the same
  // The mean of -log p of the text's next tokens with these gates, over the windows first, first +
  // 1 …, which begin again after the last one, and its derivatives. Throws ErrorKind::kUsage unless
  // there is a gate for each direction, kData where the loss is no number.
  double loss(const Gates& gates, uint64_t first, uint64_t windows, Gradient& gradient) const;

 private:
  struct Directions {
    std::string name;
    form::Matrix left = {}, right = {};
  };
  form::FormPtr gated(const Directions& d, std::span<const float> gates) const;

  const model::LanguageModel& model_;
  const CalibrationText& text_;
  int threads_;
  std::vector<Directions> matrices_;
  std::map<std::string, size_t, std::less<>> places_;
};

}  // namespace pith::weights
