// Weights taken out of a small diffusion that draws what words ask for: of the encoder of words, of
// the denoiser, or of both, by size or by size and activation.
#include <algorithm>
#include <cmath>
#include <vector>

#include "../../src/network/testing_diffusion.h"
#include "bench.h"
#include "bench_data.h"
#include "bench_report.h"

namespace pith::bench {
namespace {

using fit::Score;
using network::Network;
using network::testing::Diffusion;

constexpr uint64_t kChosenWith = 1, kMeasuredWith = 2;  // seeds of drawings
constexpr Score kScores[] = {Score::kMagnitude, Score::kActivation};

const char* name_of(Score s) { return s == Score::kMagnitude ? "size" : "size and activation"; }

class Study {
 public:
  explicit Study(const Options& o)
      : diffusion_(reference_networks(), o.quick ? 200 : 2000),
        encoder_share_(static_cast<double>(layer_weights(diffusion_.words)) /
                       static_cast<double>(layer_weights(diffusion_.words) +
                                           layer_weights(diffusion_.denoiser))),
        whole_(diffusion_.quality(diffusion_.words, diffusion_.denoiser, kMeasuredWith)) {}

  double encoder_share() const { return encoder_share_; }
  const Diffusion::Quality& whole() const { return whole_; }
  Diffusion::Quality of(double encoder, double denoiser, Score by, uint64_t seed) const {
    return diffusion_.quality(diffusion_.pruned_words(encoder, by),
                              diffusion_.pruned_denoiser(denoiser, by), seed);
  }
  // What the denoiser loses where the encoder loses so much, and both together `total`.
  double rest(double encoder, double total) const {
    return (total - encoder_share_ * encoder) / (1 - encoder_share_);
  }

 private:
  Diffusion diffusion_;
  double encoder_share_;
  Diffusion::Quality whole_;
};

void show_parts(const Study& study, const Options& o, Report& report) {
  report.section("One part alone");
  Table table({"removed", "by", "encoder: distance", "as asked", "denoiser: distance", "as asked"});
  double last[2][2] = {};  // the largest share that at most doubles the distance
  for (int tenth = 1; tenth < 10; tenth += o.quick ? 3 : 1) {
    const double removed = tenth / 10.0;
    for (size_t s = 0; s < 2; ++s) {
      report.status(fmt::format("{}% by {}", 100 * removed, name_of(kScores[s])));
      const auto encoder = study.of(removed, 0, kScores[s], kMeasuredWith),
                 denoiser = study.of(0, removed, kScores[s], kMeasuredWith);
      table.add({number(100 * removed, 0), text(name_of(kScores[s])), number(encoder.distance, 2),
                 number(100 * encoder.asked, 1), number(denoiser.distance, 2),
                 number(100 * denoiser.asked, 1)});
      const double most = 2 * study.whole().distance;
      if (encoder.distance <= most) last[s][0] = removed;
      if (denoiser.distance <= most) last[s][1] = removed;
    }
  }
  report.table(table);
  for (size_t s = 0; s < 2; ++s) {
    report.note(
        fmt::format("by {}: the distance is at most doubled up to {:.0f}% of the encoder, "
                    "{:.0f}% of the denoiser",
                    name_of(kScores[s]), 100 * last[s][0], 100 * last[s][1]));
  }
}

void show_splits(const Study& study, const Options& o, Report& report) {
  report.section("Both: as much of each, and the best split, chosen with other noise");
  Table table({"removed", "by", "each: distance", "as asked", "encoder", "denoiser",
               "split: distance", "as asked"});
  for (const double total : {0.2, 0.3, 0.385, 0.5}) {
    for (const Score by : kScores) {
      report.status(fmt::format("{}% of both by {}", 100 * total, name_of(by)));
      double best = INFINITY, encoder = total;
      for (double e = 0; e < 0.96; e += o.quick ? 0.3 : 0.05) {
        const double d = study.rest(e, total);
        if (d < 0 || d > 0.95) continue;
        const double distance = study.of(e, d, by, kChosenWith).distance;
        if (distance < best) {
          best = distance;
          encoder = e;
        }
      }
      const auto even = study.of(total, total, by, kMeasuredWith),
                 split = study.of(encoder, study.rest(encoder, total), by, kMeasuredWith);
      table.add({number(100 * total, 1), text(name_of(by)), number(even.distance, 2),
                 number(100 * even.asked, 1), number(100 * encoder, 0),
                 number(100 * study.rest(encoder, total), 0), number(split.distance, 2),
                 number(100 * split.asked, 1)});
    }
  }
  report.table(table);
}

}  // namespace

void bench_diffusion(const Options& options) {
  Report report("diffusion", options.json);
  const Study study(options);
  report.note(fmt::format(
      "a diffusion of 49,920 weights, {:.0f}% of them in the encoder of words; distance: Fréchet's "
      "of a judge's features, from true drawings; as asked: percent that the judge takes for what "
      "was asked for. Nothing removed: {:.2f}, {:.1f}%",
      100 * study.encoder_share(), study.whole().distance, 100 * study.whole().asked));
  show_parts(study, options, report);
  show_splits(study, options, report);
  report.finish();
}

}  // namespace pith::bench
