#include "pith/budget/proxy_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

// From 1; equal values share the mean of their ranks.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double mean = (static_cast<double>(i + end) + 1) / 2;
    for (; i < end; ++i) ranks[order[i]] = mean;
  }
  return ranks;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const auto n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? std::clamp(ab / std::sqrt(aa * bb), -1.0, 1.0) : 0;
}

int sign(double a, double b) { return (a > b) - (a < b); }

double kendall(const std::vector<double>& a, const std::vector<double>& b) {
  double agree = 0, pairs_a = 0, pairs_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const int order_a = sign(a[i], a[j]), order_b = sign(b[i], b[j]);
      agree += order_a * order_b;
      pairs_a += order_a != 0;
      pairs_b += order_b != 0;
    }
  }
  return pairs_a > 0 && pairs_b > 0 ? agree / std::sqrt(pairs_a * pairs_b) : 0;
}

// Scaled by the greatest prediction, so that no square overflows or vanishes.
double slope(const std::vector<double>& predicted, const std::vector<double>& measured) {
  double greatest = 0;
  for (const double p : predicted) greatest = std::max(greatest, std::abs(p));
  if (greatest == 0) return 0;
  double products = 0, squares = 0;
  for (size_t i = 0; i < predicted.size(); ++i) {
    const double p = predicted[i] / greatest;
    products += p * measured[i];
    squares += p * p;
  }
  return products / squares / greatest;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

void ProxyRecord::add(std::string_view proxy, double predicted, double measured) {
  if (!std::isfinite(predicted) || !std::isfinite(measured)) {
    fail(ErrorKind::kData, "proxy '{}': predicted {}, measured {}, both must be finite", proxy,
         predicted, measured);
  }
  auto found = std::find_if(proxies_.begin(), proxies_.end(),
                            [&](const Pairs& pairs) { return pairs.proxy == proxy; });
  if (found == proxies_.end()) found = proxies_.insert(found, Pairs{std::string(proxy), {}, {}});
  found->predicted.push_back(predicted);
  found->measured.push_back(measured);
}

void ProxyRecord::add(const ProxyRecord& other) {
  const std::vector<Pairs> added = other.proxies_;  // it may be this record itself
  for (const Pairs& pairs : added) {
    for (size_t i = 0; i < pairs.predicted.size(); ++i) {
      add(pairs.proxy, pairs.predicted[i], pairs.measured[i]);
    }
  }
}

ProxyQuality ProxyRecord::quality(const Pairs& pairs) {
  return {pairs.proxy, pairs.predicted.size(),
          correlation(ranks(pairs.predicted), ranks(pairs.measured)),
          kendall(pairs.predicted, pairs.measured), slope(pairs.predicted, pairs.measured)};
}

std::vector<ProxyQuality> ProxyRecord::qualities() const {
  std::vector<ProxyQuality> all;
  for (const Pairs& pairs : proxies_) all.push_back(quality(pairs));
  std::stable_sort(all.begin(), all.end(), [](const ProxyQuality& a, const ProxyQuality& b) {
    return a.spearman != b.spearman ? a.spearman > b.spearman : a.kendall > b.kendall;
  });
  return all;
}

std::string ProxyRecord::table() const {
  const std::vector<ProxyQuality> all = qualities();
  if (all.empty()) return {};
  size_t width = 5;
  for (const ProxyQuality& q : all) width = std::max(width, q.proxy.size());
  std::string text = fmt::format("{:<{}}  {:>6}  {:>8}  {:>8}  {:>10}\n", "proxy", width, "pairs",
                                 "spearman", "kendall", "slope");
  for (const ProxyQuality& q : all) {
    text += fmt::format("{:<{}}  {:>6}  {:>8.3f}  {:>8.3f}  {:>10.4g}\n", q.proxy, width, q.pairs,
                        q.spearman, q.kendall, q.slope);
  }
  return text;
}

std::string ProxyRecord::json() const {
  const std::vector<ProxyQuality> all = qualities();
  std::string text = fmt::format("{{\"best\": {}, \"proxies\": [",
                                 all.empty() ? "null" : quoted(all.front().proxy));
  for (size_t i = 0; i < all.size(); ++i) {
    const ProxyQuality& q = all[i];
    const auto pairs = std::find_if(proxies_.begin(), proxies_.end(),
                                    [&](const Pairs& p) { return p.proxy == q.proxy; });
    text += fmt::format(
        "{}{{\"proxy\": {}, \"pairs\": {}, \"spearman\": {}, \"kendall\": {}, \"slope\": {}, "
        "\"predicted\": [{}], \"measured\": [{}]}}",
        i == 0 ? "" : ", ", quoted(q.proxy), q.pairs, q.spearman, q.kendall, q.slope,
        fmt::join(pairs->predicted, ", "), fmt::join(pairs->measured, ", "));
  }
  return text + "]}";
}

}  // namespace pith::budget
