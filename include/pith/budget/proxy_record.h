// How well cheap proxies predicted true losses: pairs of both, and what they say of each proxy.
//
//   ProxyRecord record;
//   record.add("hessian trace", predicted, measured);
//   fmt::print("{}", record.table());
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pith::budget {

struct ProxyQuality {
  std::string proxy;
  size_t pairs = 0;
  // Rank correlations in [-1, 1], ties as ties (Spearman with mean ranks, Kendall's tau-b). 0 where
  // either side does not vary.
  double spearman = 0, kendall = 0;
  // Of the line through nothing that is nearest to the measured losses: 1 where the proxy is a
  // prediction, 2 where it promises half of the true loss. 0 where all predictions are 0.
  double slope = 0;
};

class ProxyRecord {
 public:
  // Throws ErrorKind::kData for NaN and infinity.
  void add(std::string_view proxy, double predicted, double measured);
  // Everything of another record, as that of an earlier run.
  void add(const ProxyRecord& other);

  // Of each proxy, the best first: by Spearman's coefficient, then Kendall's, then the order in
  // which they were first added. Takes time quadratic in a proxy's pairs.
  std::vector<ProxyQuality> qualities() const;

  // A line for each proxy; empty for an empty record.
  std::string table() const;
  // {"best": NAME, "proxies": [{"proxy": NAME, "pairs": N, "spearman": X, …, "predicted": […],
  // "measured": […]}, …]}; "best" is null for an empty record.
  std::string json() const;

 private:
  struct Pairs {
    std::string proxy;
    std::vector<double> predicted, measured;
  };
  static ProxyQuality quality(const Pairs& pairs);

  std::vector<Pairs> proxies_;
};

}  // namespace pith::budget
