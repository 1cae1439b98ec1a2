#include "pith/audit/harm.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "series.h"

namespace pith::audit {
namespace {

double rise(const ScoredToken& t) { return t.model.loss - t.reference.loss; }
bool flipped(const ScoredToken& t) { return t.model.best != t.reference.best; }

// Of the tokens with these places.
GroupHarm harm_of(std::string name, std::span<const ScoredToken> tokens,
                  std::span<const size_t> places, const HarmOptions& o) {
  GroupHarm out{.name = std::move(name), .tokens = places.size()};
  if (places.empty()) return out;
  std::vector<double> rises;
  for (const size_t i : places) {
    const ScoredToken& t = tokens[i];
    rises.push_back(rise(t));
    out.reference_loss += t.reference.loss;
    out.divergence += t.divergence;
    out.risen += rises.back() > o.risen ? 1 : 0;
    out.flips += flipped(t) ? 1 : 0;
  }
  const auto n = static_cast<double>(places.size());
  out.rise = mean(rises);
  for (double* sum : {&out.reference_loss, &out.divergence, &out.risen, &out.flips}) *sum /= n;
  const auto worst = std::clamp<size_t>(static_cast<size_t>(o.worst * n), 1, rises.size());
  std::ranges::sort(rises, std::greater<>());
  out.worst_rise = mean(std::span(rises).first(worst));
  return out;
}

template <class Value>
Measured measured(std::span<const ScoredToken> tokens, const Value& value) {
  Series series;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && tokens[i].window != tokens[i - 1].window) series.end_window();
    series.add(value(tokens[i]));
  }
  series.end_window();
  return series.measured();
}

Confidence confidence(std::span<const ScoredToken> tokens, Prediction ScoredToken::*of,
                      uint64_t bins) {
  struct Bin {
    double confident = 0, right = 0;
  };
  std::vector<Bin> all(bins);
  Confidence out;
  for (const ScoredToken& t : tokens) {
    const Prediction& p = t.*of;
    const double at = std::clamp(p.confidence, 0.0, 1.0) * static_cast<double>(bins);
    Bin& bin = all[std::min(static_cast<uint64_t>(at), bins - 1)];
    const double right = p.best == t.token ? 1 : 0;
    bin.confident += p.confidence;
    bin.right += right;
    out.right += right;
  }
  const auto n = static_cast<double>(tokens.size());
  for (const Bin& bin : all) out.error += std::abs(bin.confident - bin.right) / n;
  out.right /= n;
  return out;
}

double mean_reference_loss(std::span<const ScoredToken> tokens, bool of_flipped) {
  std::vector<double> losses;
  for (const ScoredToken& t : tokens) {
    if (flipped(t) == of_flipped) losses.push_back(t.reference.loss);
  }
  return mean(losses);
}

}  // namespace

Harm find_harm(std::span<const ScoredToken> tokens, std::span<const Grouping> groupings,
               const HarmOptions& o) {
  if (tokens.empty()) fail(ErrorKind::kUsage, "no tokens were scored");
  if (!(o.risen >= 0) || !(o.worst > 0 && o.worst <= 1) || o.bins == 0 || o.bins > 100'000) {
    fail(ErrorKind::kUsage,
         "an audit takes a rise of at least 0, a share of worst tokens above 0 and at most 1, and "
         "1 to 100000 bins");
  }
  std::vector<size_t> places(tokens.size());
  for (size_t i = 0; i < places.size(); ++i) places[i] = i;
  Harm out;
  out.all = harm_of("all", tokens, places, o);
  out.risen = measured(tokens, [&](const ScoredToken& t) { return rise(t) > o.risen ? 1.0 : 0.0; });
  out.flips = measured(tokens, [](const ScoredToken& t) { return flipped(t) ? 1.0 : 0.0; });
  for (const Grouping& grouping : groupings) {
    std::vector<std::vector<size_t>> members(grouping.groups.size());
    for (const size_t i : places) {
      const size_t group = grouping.group(tokens[i].token);
      if (group >= members.size()) {
        fail(ErrorKind::kUsage, "token {} is in group {} of {}, which has {}", tokens[i].token,
             group, grouping.name, members.size());
      }
      members[group].push_back(i);
    }
    Harm::Groups& groups = out.groupings.emplace_back();
    groups.name = grouping.name;
    for (size_t g = 0; g < members.size(); ++g) {
      if (members[g].empty()) continue;
      groups.groups.push_back(harm_of(grouping.groups[g], tokens, members[g], o));
    }
  }
  out.confidence = confidence(tokens, &ScoredToken::model, o.bins);
  out.reference_confidence = confidence(tokens, &ScoredToken::reference, o.bins);
  out.reference_loss_of_flips = mean_reference_loss(tokens, true);
  out.reference_loss_of_others = mean_reference_loss(tokens, false);
  return out;
}

}  // namespace pith::audit
