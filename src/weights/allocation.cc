#include "pith/weights/allocation.h"

#include <algorithm>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::weights {
namespace {

double predicted(const Choosing& c, Proxy proxy, std::span<const size_t> chosen) {
  double sum = 0;
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] < c.problem.parts[i].candidates.size()) sum += c.loss(proxy, i, chosen[i]);
  }
  return sum;
}

void add(budget::ProxyRecord& record, const Choosing& c, std::span<const size_t> chosen,
         uint64_t windows) {
  const double measured = c.divergence(chosen, windows, 0);
  for (const Proxy p : kProxies) record.add(name(p), predicted(c, p, chosen), measured);
}

}  // namespace

std::string_view name(Proxy proxy) {
  switch (proxy) {
    case Proxy::kDivergence:
      return "expected divergence";
    case Proxy::kTrace:
      return "trace of the curvature";
    case Proxy::kOutputs:
      return "squared error of outputs";
    case Proxy::kSquared:
      return "squared error";
    case Proxy::kCapacity:
      break;
  }
  return "error on Gaussian data";
}

ProxyRecords record_proxies(const Choosing& c, uint64_t windows, size_t choices, uint64_t seed) {
  if (!c.divergence) {
    fail(ErrorKind::kUsage, "proxies are held against forms that are kept, on a text");
  }
  ProxyRecords out;
  const std::vector<budget::Part>& parts = c.problem.parts;
  uint64_t done = 0, total = choices;
  std::vector<size_t> as_it_was;
  for (const budget::Part& part : parts) {
    as_it_was.push_back(part.candidates.size());
    total += part.candidates.size();
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    std::vector<size_t> chosen = as_it_was;
    for (size_t j = 0; j < parts[i].candidates.size(); ++j) {
      report(c.progress, done++, total);
      chosen[i] = j;
      add(out.of_matrices, c, chosen, windows);
    }
  }
  for (size_t n = 0; n < choices; ++n) {
    report(c.progress, done++, total);
    std::vector<size_t> chosen;
    for (size_t i = 0; i < parts.size(); ++i) {
      const double drawn = random_unit(seed, n * parts.size() + i);
      const size_t all = parts[i].candidates.size();
      chosen.push_back(std::min(static_cast<size_t>(drawn * static_cast<double>(all)), all - 1));
    }
    add(out.of_choices, c, chosen, windows);
  }
  return out;
}

}  // namespace pith::weights
