#include "pith/audit/size_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace pith::audit {
namespace {

double comparable(double loss) {
  return std::isnan(loss) ? std::numeric_limits<double>::infinity() : loss;
}

std::vector<size_t> by_size(std::span<const SizedFile> files, std::string_view method) {
  std::vector<size_t> places;
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].method == method) places.push_back(i);
  }
  std::ranges::stable_sort(
      places, {}, [&](size_t i) { return std::tuple(files[i].bits, comparable(files[i].loss)); });
  return places;
}

}  // namespace

std::optional<size_t> best_within(std::span<const SizedFile> files, std::string_view method,
                                  double bits) {
  const std::vector<size_t> places = by_size(files, method);
  if (places.empty()) return {};
  size_t best = places.front();
  for (const size_t i : places) {
    if (files[i].bits > bits) break;
    if (comparable(files[i].loss) < comparable(files[best].loss)) best = i;
  }
  return best;
}

std::vector<size_t> frontier(std::span<const SizedFile> files, std::string_view method) {
  std::vector<size_t> kept;
  for (const size_t i : by_size(files, method)) {
    if (kept.empty() || comparable(files[i].loss) < comparable(files[kept.back()].loss)) {
      kept.push_back(i);
    }
  }
  return kept;
}

std::optional<double> loss_at(std::span<const SizedFile> files, std::string_view method,
                              double bits) {
  const std::vector<size_t> places = frontier(files, method);
  for (size_t k = 0; k < places.size(); ++k) {
    const SizedFile& above = files[places[k]];
    if (above.bits == bits) return above.loss;
    if (above.bits < bits) continue;
    if (k == 0) return {};
    const SizedFile& below = files[places[k - 1]];
    if (!(below.loss > 0) || !(above.loss > 0)) return {};
    const double t = (bits - below.bits) / (above.bits - below.bits);
    return std::exp((1 - t) * std::log(below.loss) + t * std::log(above.loss));
  }
  return {};
}

}  // namespace pith::audit
