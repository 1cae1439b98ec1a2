#include <algorithm>
#include <cmath>

#include "broadcast.h"
#include "operation.h"

namespace pith::network {
namespace {

enum class Reduce : uint8_t { kMean, kSum, kMost, kLeast };

struct Reduction {
  Reduce reduce;
  std::vector<int64_t> axes;  // of the attribute; from opset 13 or 18 on they are an input
  bool keep = true, none_is_none = false;
};

// Sums in float64, in the order of elements.
std::vector<float> reduced(const Tensor& x, const Dims& kept, Reduce reduce) {
  const uint64_t count = elements(kept);
  const double start = reduce == Reduce::kMost    ? -HUGE_VAL
                       : reduce == Reduce::kLeast ? HUGE_VAL
                                                  : 0;
  std::vector<double> sums(count, start);
  const Pairing p(x.dims(), kept);
  p.for_rows([&](uint64_t at, uint64_t to, uint64_t) {
    for (uint64_t i = 0; i < p.n; ++i) {
      const double v = x.floats()[at + i * p.step_a];
      double& sum = sums[to + i * p.step_b];
      if (reduce == Reduce::kMost) {
        sum = std::max(sum, v);
      } else if (reduce == Reduce::kLeast) {
        sum = std::min(sum, v);
      } else {
        sum += v;
      }
    }
  });
  const double by =
      reduce == Reduce::kMean && count > 0 ? static_cast<double>(x.size() / count) : 1;
  std::vector<float> y(count);
  std::ranges::transform(sums, y.begin(), [by](double v) { return static_cast<float>(v / by); });
  return y;
}

std::vector<Tensor> run(const Reduction& r, const Step& s) {
  const Tensor& x = s.in(0);
  std::vector<int64_t> axes = r.axes;
  if (s.has(1)) axes.assign(s.in(1).integers().begin(), s.in(1).integers().end());
  if (axes.empty() && r.none_is_none) return {x};
  std::vector<bool> gone(x.rank(), axes.empty());
  for (const int64_t a : axes) gone[axis_of(a, x.rank())] = true;
  Dims kept, dims;
  for (size_t k = 0; k < x.rank(); ++k) {
    kept.push_back(gone[k] ? 1 : x.dim(k));
    if (!gone[k] || r.keep) dims.push_back(kept.back());
  }
  if (x.size() == 0) fail(ErrorKind::kData, "there is nothing to reduce");
  return only(std::move(dims), reduced(x, kept, r.reduce));
}

template <Reduce kReduce>
Operation make(const Making& m) {
  const Reduction r{kReduce, m.attributes.integers("axes"), m.attributes.flag("keepdims", true),
                    m.attributes.flag("noop_with_empty_axes", false)};
  return [r](const Step& s) { return run(r, s); };
}

}  // namespace

void add_reductions(OperatorTable& table) {
  table["ReduceMean"] = make<Reduce::kMean>;
  table["ReduceSum"] = make<Reduce::kSum>;
  table["ReduceMax"] = make<Reduce::kMost>;
  table["ReduceMin"] = make<Reduce::kLeast>;
}

}  // namespace pith::network
