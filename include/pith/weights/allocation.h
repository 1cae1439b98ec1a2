// Which matrix gets which of the forms that all may get: what is known beforehand of every matrix
// in every form, and a function that chooses. Without one, the sum of expected divergences is made
// as small as limits allow.
//
//   options.allocation.choose = [](const Choosing& c) {
//     return budget::evolve(c.problem, c.goal.within, c.divergence).chosen;
//   };
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pith/base/progress.h"
#include "pith/budget/evolve.h"
#include "pith/budget/problem.h"
#include "pith/budget/proxy_record.h"
#include "pith/budget/soft_positions.h"
#include "pith/weights/routing.h"

namespace pith::weights {

// What a form in place of a matrix is said to cost, before the model has run with it. E is the
// error of the matrix, A and G the second moments of its inputs and of the gradients at its
// outputs.
enum class Proxy : uint8_t {
  kDivergence,  // half the sum over rows of G_rr E_r A E_rᵀ, in nats a token
  kTrace,       // |E|^2 times the mean of the curvature's diagonal, tr G tr A over the elements
                // (HAWQ-V3, Yao et al. 2021)
  kOutputs,   // the sum over rows of E_r A E_rᵀ, the squared error of the outputs; known only of
              // forms that are kept
  kSquared,   // |E|^2 (L-GreCo, Alimohammadi et al. 2023)
  kCapacity,  // elements times the form's squared error on Gaussian data (Panferov et al. 2025)
};
inline constexpr std::array kProxies = {Proxy::kDivergence, Proxy::kTrace, Proxy::kOutputs,
                                        Proxy::kSquared, Proxy::kCapacity};
std::string_view name(Proxy proxy);

// What whoever chooses may look at.
struct Choosing {
  // A part for each matrix, by its tensor's name. Candidates come in the order of the forms, those
  // left out that refuse the matrix; losses are by the allocation's proxy. Resources: "bytes" of
  // the matrices, "milliseconds" for a token.
  const budget::Problem& problem;
  budget::Goal goal;  // that follows from limits
  std::function<double(Proxy proxy, size_t part, size_t candidate)> loss;

  uint64_t windows = 0;  // of the calibration text
  // From here on only where forms are kept and there is a text.
  // Of the model with these forms from the model as it was, nats a token, over so many windows,
  // which ones by the round; a candidate past a part's last one leaves the matrix as it was.
  budget::TrueLoss divergence = {};
  // With the layers first … last - 1 in these forms and all else as it was: the squared error of
  // the residual stream behind them, as a share of its squares, over so many of the first windows.
  std::function<double(size_t first, size_t last, std::span<const size_t> chosen, uint64_t windows)>
      stream_error = {};
  // Of each part; none for embedding and head.
  std::vector<std::optional<size_t>> layers = {};
  // Of the residual stream before each layer and behind the last, as CalibrationStatistics.
  std::vector<double> entropies = {};
  // Of each part that is a matrix of an expert, which of its layer's; none for the shared one.
  std::vector<std::optional<size_t>> experts = {};

  // From here on only where there is a text.

  // Where its tokens go, of the model as it was.
  std::function<RoutingStudy()> routing = {};
  // Each part's matrix as the sum of the directions in which its outputs vary on the text, the
  // strongest first: their number, 0 of embedding and head, and the loss of the text's next tokens,
  // in nats a token, if each is multiplied by a gate, with its derivatives; over so many windows,
  // which ones by the round. Directions are found when it is first asked.
  std::function<uint64_t(size_t part)> directions = {};
  std::function<double(const budget::Gates& gates, uint64_t windows, uint64_t round,
                       std::vector<std::vector<double>>& gradient)>
      gated_loss = {};

  int threads = 0;
  Progress progress = {};
  // What a user should know of the choice; the last one counts.
  std::function<void(std::string_view)> note = [](std::string_view) {};
};

// A candidate for each part, within the goal's limits.
using Choose = std::function<std::vector<size_t>(const Choosing&)>;

struct Allocation {
  Proxy proxy = Proxy::kDivergence;
  // Every matrix is fitted in every form beforehand, all of it and with inputs as they were, and
  // all of these forms stay in memory: what is chosen of them is the result, of a single form too.
  // Else they are tried on some rows, and what was chosen is fitted layer by layer.
  bool keep = false;
  Choose choose = {};      // null: budget::solve()
  bool has_limit = false;  // of its own: none needs to be given
};

// What each proxy says beside what the model really loses on so many windows: of single matrices in
// every form, the others as they were, and of all matrices in forms drawn at random. Needs kept
// forms and a text, else ErrorKind::kUsage.
struct ProxyRecords {
  budget::ProxyRecord of_matrices, of_choices;
};
ProxyRecords record_proxies(const Choosing& choosing, uint64_t windows, size_t choices,
                            uint64_t seed = 0);

}  // namespace pith::weights
