// Networks that are trained, pruned and trained on, by choices that a survey of pruning sets
// against each other (Cheng et al. 2024): each alone, all else equal. Test-only.
//
//   PruningHarness<CharacterTask> harness({}, seed);
//   double loss = harness.loss({.iterative = true}, 0.8);   // of what 80% was taken out of
#pragma once

#include <functional>
#include <span>
#include <utility>

#include "pith/base/random.h"
#include "pith/fit/masks.h"
#include "pith/weights/compress_model.h"
#include "testing_cnn.h"
#include "testing_lm.h"

namespace pith::recipe::testing {

// Of a convolution's or hidden layer's output all weights that make it or read it.
struct PrunedUnit {
  std::vector<std::pair<size_t, size_t>> elements;  // parameter and element
};
using UnitLayers = std::vector<std::vector<PrunedUnit>>;

// The next character of a text, from the eight before.
struct CharacterTask {
  using Model = TinyLm<float>;
  static constexpr size_t kContext = 8, kHidden = 48, kBatch = 32;
  static constexpr int kTraining = 2000, kRetraining = 1000;
  static constexpr double kRate = 4e-3;
  static constexpr const char* kName = "language model";

  static const Corpus& corpus() {
    static const Corpus c(as_bytes(weights::default_calibration_text()));
    return c;
  }
  static Model fresh(uint32_t seed) {
    return Model({corpus().characters, kContext, 8, kHidden}, seed);
  }
  static void learn(Model& m, uint64_t batch) {
    for (uint64_t b = 0; b < kBatch; ++b) {
      const uint64_t bits = random_bits(1, batch * kBatch + b) >> 20;
      m.loss(corpus().text, kContext + bits % (corpus().held_out - kContext), true, 1.0f / kBatch);
    }
  }
  static double loss(Model& m) {
    double sum = 0;
    size_t count = 0;
    for (size_t at = corpus().held_out; at < corpus().text.size(); at += 7, ++count) {
      sum += static_cast<double>(m.loss(corpus().text, at, false));
    }
    return sum / static_cast<double>(count);
  }
  static std::vector<size_t> pruned() { return {1, 3}; }  // what makes and what reads the hidden
  static UnitLayers units(const Model& m) {
    UnitLayers out(1, std::vector<PrunedUnit>(kHidden));
    const Parameter<float>&makes = m.parameters[1], &reads = m.parameters[3];
    for (size_t u = 0; u < kHidden; ++u) {
      for (size_t i = 0; i < makes.rows; ++i) out[0][u].elements.push_back({1, i * kHidden + u});
      for (size_t i = 0; i < reads.cols; ++i) out[0][u].elements.push_back({3, u * reads.cols + i});
    }
    return out;
  }
};

// Classes of drawings.
struct DrawingTask {
  using Model = TinyCnn;
  static constexpr size_t kBatch = 32;
  static constexpr int kTraining = 1200, kRetraining = 600;
  static constexpr double kRate = 4e-3;
  static constexpr const char* kName = "convolutions";

  static Model fresh(uint32_t seed) { return Model(seed); }
  static void learn(Model& m, uint64_t batch) {
    m.run(noisy_drawings(batch % (1 << 15) * kBatch, kBatch), true);
  }
  static double loss(Model& m) {
    static const auto held_out = noisy_drawings(1 << 20, 2000);
    return m.run(held_out, false).loss;
  }
  static std::vector<size_t> pruned() { return {0, 2, 4}; }
  static UnitLayers units(const Model& m) {
    UnitLayers out(2);
    for (size_t l = 0; l < 2; ++l) {
      const size_t channels = m.parameters[2 * l].rows;
      for (size_t c = 0; c < channels; ++c) {
        PrunedUnit unit;
        const Parameter<float>&makes = m.parameters[2 * l], &reads = m.parameters[2 * l + 2];
        for (size_t i = 0; i < makes.cols; ++i)
          unit.elements.push_back({2 * l, c * makes.cols + i});
        for (size_t i = c; i < reads.w.size(); i += channels)
          unit.elements.push_back({2 * l + 2, i});
        out[l].push_back(std::move(unit));
      }
    }
    return out;
  }
};

// One of each pair of the survey; as they stand: the smallest weights of a trained network,
// wherever they are, go at once and for good, and what is left is trained on.
struct PruningTrial {
  bool structured = false;   // whole units
  bool iterative = false;    // in eight steps over the first half of that training
  bool data_driven = false;  // by size and gradients
  bool dynamic = false;      // what went may come back while the rest is trained
  bool initialized =
      false;             // chosen before training, and then trained as long as the others in all
  bool scratch = false;  // other weights in the places that were found, trained as long in all
};

template <class Task>
class PruningHarness {
 public:
  using Model = typename Task::Model;

  explicit PruningHarness(uint32_t seed)
      : seed_(seed), initial_(Task::fresh(seed)), trained_(initial_) {
    Schedule all{.steps = Task::kTraining, .end = Task::kTraining};
    train(trained_, {}, all, false);
  }

  double whole() const {
    Model m = trained_;
    return Task::loss(m);
  }
  // On what was not trained with, in nats.
  double loss(const PruningTrial& trial, double sparsity) const {
    Model m = trial.initialized ? initial_ : trained_;
    const bool anew = trial.initialized || trial.scratch;
    Schedule schedule{.end = Task::kRetraining + (anew ? Task::kTraining : 0)};
    const int shots = trial.iterative ? 8 : 1;
    for (int shot = 1; shot <= shots; ++shot) {
      const double left = std::pow(1 - sparsity, static_cast<double>(shot) / shots);
      const Masks masks = chosen(m, left, trial);
      if (trial.scratch) m = Task::fresh(seed_ + 1000);
      if (!trial.dynamic) mask(m, masks);
      schedule.steps = shot < shots ? schedule.end / (2 * shots) : schedule.end - schedule.at;
      const std::function<Masks(const Model&)> again = [&](const Model& now) {
        return chosen(now, left, trial);
      };
      train(m, masks, schedule, trial.dynamic, again);
    }
    return Task::loss(m);
  }
  // What is left of the weights that may go.
  double left(const PruningTrial& trial, double sparsity) const {
    return share_left(chosen(trained_, 1 - sparsity, trial));
  }

 private:
  using Masks = std::vector<std::vector<uint8_t>>;  // of each parameter; empty: all of it stays

  struct Schedule {
    int steps = 0;  // of one call
    int at = 0, end = 0;
  };
  // The rate falls to zero towards the end.
  void train(Model& m, Masks masks, Schedule& schedule, bool dynamic,
             const std::function<Masks(const Model&)>& again = {}) const {
    for (int s = 0; s < schedule.steps; ++s, ++schedule.at) {
      std::vector<std::vector<float>> dense;
      if (dynamic) {  // gradients are those of what is left, and all weights follow them
        if (s % 25 == 24) masks = again(m);
        for (const Parameter<float>& p : m.parameters) dense.push_back(p.w);
        mask(m, masks);
      }
      Task::learn(m, (uint64_t{seed_} << 13) + static_cast<uint64_t>(schedule.at));
      for (size_t p = 0; p < dense.size(); ++p) m.parameters[p].w = std::move(dense[p]);
      const double left = 1 - static_cast<double>(schedule.at) / schedule.end;
      adam(m.parameters, ++m.steps, Task::kRate * left);
      if (!dynamic) mask(m, masks);
    }
    mask(m, masks);
  }

  static void mask(Model& m, const Masks& masks) {
    for (size_t p = 0; p < masks.size(); ++p) {
      for (size_t i = 0; i < masks[p].size(); ++i) m.parameters[p].w[i] *= masks[p][i];
    }
  }

  std::vector<std::vector<float>> scores(Model m, bool data_driven) const {
    std::vector<std::vector<float>> out(m.parameters.size());
    for (const size_t p : Task::pruned()) {
      for (const float w : m.parameters[p].w) out[p].push_back(w * w);
    }
    if (!data_driven) return out;
    std::vector<std::vector<float>> squares(out.size());
    for (uint64_t batch = 0; batch < 32; ++batch) {
      for (Parameter<float>& p : m.parameters) std::ranges::fill(p.gradient, 0.0f);
      Task::learn(m, (uint64_t{seed_} << 13) + batch);
      for (const size_t p : Task::pruned()) {
        const std::vector<float>& g = m.parameters[p].gradient;
        squares[p].resize(g.size());
        for (size_t i = 0; i < g.size(); ++i) squares[p][i] += g[i] * g[i];
      }
    }
    for (const size_t p : Task::pruned()) {
      for (size_t i = 0; i < out[p].size(); ++i) out[p][i] *= squares[p][i];
    }
    return out;
  }

  // As many of each matrix's elements whether units go or single ones.
  Masks chosen(const Model& m, double left, const PruningTrial& trial) const {
    const auto scored = scores(m, trial.data_driven);
    Masks masks = without_units(m, scored, left);
    if (trial.structured) return masks;
    for (const size_t p : Task::pruned()) masks[p] = best(scored[p], share_left({masks[p]}));
    return masks;
  }
  // The same share of the units of each layer, so that at most this share of all weights is left.
  Masks without_units(const Model& m, const std::vector<std::vector<float>>& scored,
                      double left) const {
    const UnitLayers units = Task::units(m);
    Masks masks(m.parameters.size());
    for (double share = 1; share > 0; share -= 0.01) {
      for (const size_t p : Task::pruned()) masks[p].assign(scored[p].size(), 1);
      for (const std::vector<PrunedUnit>& layer : units) {
        std::vector<float> sums;
        for (const PrunedUnit& u : layer) {
          sums.push_back(0);
          for (const auto& [p, i] : u.elements) sums.back() += scored[p][i];
        }
        const std::vector<uint8_t> stays = best(sums, share);
        for (size_t u = 0; u < layer.size(); ++u) {
          for (const auto& [p, i] : layer[u].elements) masks[p][i] &= stays[u];
        }
      }
      if (share_left(masks) <= left) break;
    }
    return masks;
  }
  static std::vector<uint8_t> best(std::span<const float> of, double share) {
    return fit::kept({.share = share}, {1, of.size()}, of);
  }
  static double share_left(const Masks& masks) {
    double left = 0, all = 0;
    for (const std::vector<uint8_t>& mask : masks) {
      all += static_cast<double>(mask.size());
      left += static_cast<double>(std::ranges::count(mask, 1));
    }
    return left / all;
  }

  uint32_t seed_;
  Model initial_, trained_;
};

struct Spread {
  double mean = 0, deviation = 0;  // of one seed, from the sample
};
inline Spread spread(std::span<const double> values) {
  Spread out;
  const auto n = static_cast<double>(values.size());
  for (const double v : values) out.mean += v / n;
  for (const double v : values) out.deviation += (v - out.mean) * (v - out.mean) / (n - 1);
  out.deviation = std::sqrt(out.deviation);
  return out;
}

}  // namespace pith::recipe::testing
