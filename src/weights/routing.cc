#include "pith/weights/routing.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>

#include "changed_inputs.h"
#include "pith/base/error.h"
#include "pith/model/layer_runner.h"

namespace pith::weights {
namespace {

using model::ExpertThresholds;
using model::RoutedRows;

// Sums over the groups of rows that go through a layer.
class LayerSums {
 public:
  explicit LayerSums(uint32_t experts) : counts_(experts), weights_(experts) {}

  void add(const RoutedRows& rows) {
    std::vector<std::vector<float>> of_rows(rows.importance.size());
    for (const model::ExpertChoice& c : rows.choices) {
      ++counts_[c.expert];
      weights_[c.expert] += c.weight;
      of_rows[c.row].push_back(c.weight);
    }
    for (std::vector<float>& weights : of_rows) {
      std::ranges::sort(weights, std::greater<>());
      for (size_t k = 1; k < weights.size(); ++k) {
        out_.ratios.push_back(weights[0] > 0 ? weights[k] / weights[0] : 1);
      }
    }
    out_.importance.insert(out_.importance.end(), rows.importance.begin(), rows.importance.end());
  }

  LayerRouting finish() && {
    const auto tokens = static_cast<double>(out_.importance.size());
    for (size_t e = 0; e < counts_.size(); ++e) {
      const auto count = static_cast<double>(counts_[e]);
      out_.experts.push_back(
          {tokens > 0 ? count / tokens : 0, count > 0 ? weights_[e] / count : 0});
    }
    return std::move(out_);
  }

 private:
  std::vector<uint64_t> counts_;
  std::vector<double> weights_;
  LayerRouting out_;
};

// The least value that has `share` of all below it; past the last: above all.
float quantile(std::vector<float> values, double share) {
  std::ranges::sort(values);
  const auto at = static_cast<size_t>(std::round(share * static_cast<double>(values.size())));
  return at < values.size() ? values[at] : std::nextafter(values.back(), INFINITY);
}

void check_share(double share) {
  if (share >= 0 && share <= 1) return;
  fail(ErrorKind::kUsage, "{} of the tokens or experts is no share of them", share);
}

}  // namespace

RoutingStudy study_routing(const model::LanguageModel& model, const CalibrationText& text,
                           uint64_t windows, int threads) {
  const uint64_t count = std::min(windows, text.count());
  if (count == 0) fail(ErrorKind::kUsage, "there is no text to study how tokens are routed");
  model::DecoderConfig config = model.config();
  config.expert_thresholds.clear();
  model::LayerRunner runner(config, text.length, threads);
  const model::DecoderWeights& w = model.weights();
  form::Matrix stream =
      model::embed(*w.embedding, std::span(text.windows).first(count * text.length));
  RoutingStudy out;
  for (uint32_t l = 0; l < config.layers; ++l) {
    LayerSums sums(config.has_experts(l) ? config.experts : 0);
    runner.observe_routing([&](const RoutedRows& rows) { sums.add(rows); });
    runner.run(w.layers[l], l, stream);
    out.push_back(std::move(sums).finish());
    model.release();
  }
  return out;
}

std::vector<ExpertThresholds> thresholds(const RoutingStudy& study, const LeaveOut& what) {
  check_share(what.share);
  check_share(what.kept_whole);
  std::vector<ExpertThresholds> out;
  for (const LayerRouting& layer : study) {
    ExpertThresholds& t = out.emplace_back();
    if (layer.ratios.empty() || what.share == 0) continue;
    t.ratio = std::min(quantile(layer.ratios, what.share), 1.0F);
    if (what.kept_whole > 0) t.importance = quantile(layer.importance, 1 - what.kept_whole);
  }
  return out;
}

double experts_per_token(const RoutingStudy& study,
                         const std::vector<ExpertThresholds>& thresholds) {
  double visits = 0, tokens = 0;
  for (size_t l = 0; l < study.size(); ++l) {
    const LayerRouting& layer = study[l];
    if (layer.experts.empty() || layer.importance.empty()) continue;
    const ExpertThresholds t = l < thresholds.size() ? thresholds[l] : ExpertThresholds();
    const size_t here = layer.importance.size(), others = layer.ratios.size() / here;
    for (size_t row = 0; row < here; ++row) {
      const bool whole = layer.importance[row] >= t.importance;
      const auto ratios = std::span(layer.ratios).subspan(row * others, others);
      visits += 1 + static_cast<double>(std::ranges::count_if(
                        ratios, [&](float v) { return whole || !(v < t.ratio); }));
    }
    tokens += static_cast<double>(here);
  }
  return tokens > 0 ? visits / tokens : 0;
}

std::vector<archive::Input> with_thresholds(std::vector<archive::Input> inputs,
                                            const std::vector<ExpertThresholds>& thresholds) {
  return with_config(std::move(inputs), [&](ByteView was) -> Bytes {
    auto json = nlohmann::ordered_json::parse(was.begin(), was.end());
    auto ratio = nlohmann::ordered_json::array(), importance = ratio;
    for (const ExpertThresholds& t : thresholds) {
      ratio.push_back(t.ratio);
      importance.push_back(std::isfinite(t.importance) ? nlohmann::ordered_json(t.importance)
                                                       : nlohmann::ordered_json(nullptr));
    }
    json["expert_thresholds"] = {{"ratio", std::move(ratio)},
                                 {"importance", std::move(importance)}};
    const std::string text = json.dump(1) + "\n";
    return {text.begin(), text.end()};
  });
}

}  // namespace pith::weights
