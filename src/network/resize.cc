// Images made larger or smaller: each output between the inputs around its place.
#include <algorithm>
#include <cmath>

#include "operation.h"
#include "pith/base/parallel.h"

namespace pith::network {
namespace {

struct Resizing {
  bool linear = false;
  std::string place, nearest;
};

// For an output of one dimension: the inputs around it, and how much the second counts.
struct Tap {
  uint64_t first = 0, second = 0;
  float share = 0;
};

// In float32, as others compute it: floor(8 / 1.6) depends on that.
float place_of(const Resizing& r, uint64_t out, float scale, uint64_t from, uint64_t to) {
  const auto at = static_cast<float>(out);
  if (r.place == "asymmetric") return at / scale;
  if (r.place == "align_corners") {
    return to == 1 ? 0 : at * static_cast<float>(from - 1) / static_cast<float>(to - 1);
  }
  if (r.place == "pytorch_half_pixel" && to == 1) return 0;
  return (at + 0.5F) / scale - 0.5F;
}

double rounded(const std::string& how, double x) {
  if (how == "floor") return std::floor(x);
  if (how == "ceil") return std::ceil(x);
  return how == "round_prefer_ceil" ? std::floor(x + 0.5) : std::ceil(x - 0.5);
}

std::vector<Tap> taps_of(const Resizing& r, uint64_t from, uint64_t to, double scale) {
  if (from == 0 && to > 0) fail(ErrorKind::kData, "an image without elements");
  std::vector<Tap> taps(to);
  const auto most = static_cast<double>(from) - 1;
  for (uint64_t k = 0; k < to; ++k) {
    double x = place_of(r, k, static_cast<float>(scale), from, to);
    if (!r.linear) x = rounded(r.nearest, x);
    x = std::clamp(x, 0.0, most);
    const auto first = static_cast<uint64_t>(x);
    taps[k] = {first, std::min(first + 1, from - 1), static_cast<float>(x - std::floor(x))};
  }
  return taps;
}

struct Sizes {
  Dims dims;
  std::vector<double> scales;
};

// From the input of scales, or of sizes; up to opset 10 there is no input of regions before them.
Sizes sizes_of(const Step& s, size_t scales_at) {
  const Tensor& x = s.in(0);
  Sizes out{x.dims(), std::vector<double>(x.rank(), 1)};
  const bool by_scales = s.has(scales_at) && s.in(scales_at).size() > 0;
  const Tensor& given = s.in(by_scales ? scales_at : scales_at + 1);
  if (given.size() != x.rank())
    fail(ErrorKind::kData, "{} sizes for {} dimensions", given.size(), x.rank());
  for (size_t k = 0; k < x.rank(); ++k) {
    const auto n = static_cast<double>(x.dim(k));
    double to;
    if (by_scales) {
      out.scales[k] = given.floats()[k];
      to = std::floor(n * out.scales[k]);
    } else {
      to = static_cast<double>(given.integers()[k]);
      out.scales[k] = n > 0 ? to / n : 1;
    }
    if (!(to >= 0 && to <= static_cast<double>(kMostElements)))
      fail(ErrorKind::kData, "a size of {}", to);
    if (k + 2 < x.rank() && to != n)
      fail(ErrorKind::kData, "dimension {} changes: only the last two can", k);
    out.dims[k] = static_cast<uint64_t>(to);
  }
  elements(out.dims);
  return out;
}

std::vector<Tensor> resized(const Resizing& r, const Step& s, size_t scales_at) {
  const Tensor& x = s.in(0);
  const size_t rank = x.rank();
  if (rank < 2) fail(ErrorKind::kData, "an image of {} dimensions", rank);
  const Sizes to = sizes_of(s, scales_at);
  const uint64_t in_rows = x.dim(rank - 2), in_cols = x.dim(rank - 1);
  const std::vector<Tap> rows = taps_of(r, in_rows, to.dims[rank - 2], to.scales[rank - 2]);
  const std::vector<Tap> cols = taps_of(r, in_cols, to.dims[rank - 1], to.scales[rank - 1]);
  std::vector<float> y(elements(to.dims));
  const uint64_t plane = rows.size() * cols.size();
  parallel_for(s.options.threads, plane == 0 ? 0 : y.size() / plane, [&](size_t k) {
    const float* from = x.floats().data() + k * in_rows * in_cols;
    float* out = y.data() + k * plane;
    for (const Tap& v : rows) {
      const float *above = from + v.first * in_cols, *below = from + v.second * in_cols;
      for (const Tap& h : cols) {
        const float top = above[h.first] + h.share * (above[h.second] - above[h.first]);
        const float bottom = below[h.first] + h.share * (below[h.second] - below[h.first]);
        *out++ = top + v.share * (bottom - top);
      }
    }
  });
  return only(to.dims, std::move(y));
}

Operation make_resize(const Making& m) {
  Resizing r;
  const std::string mode = m.attributes.text("mode", "nearest");
  r.linear = mode == "linear";
  r.place = m.attributes.text("coordinate_transformation_mode",
                              m.graph.opset < 11 ? "asymmetric" : "half_pixel");
  r.nearest =
      m.attributes.text("nearest_mode", m.graph.opset < 11 ? "floor" : "round_prefer_floor");
  for (const char* key : {"cubic_coeff_a", "extrapolation_value", "exclude_outside"})
    m.attributes.ignore(key);
  if (!r.linear && mode != "nearest") fail(ErrorKind::kUsage, "its mode {} is not supported", mode);
  if (r.place == "tf_crop_and_resize")
    fail(ErrorKind::kUsage, "its mode {} is not supported", r.place);
  return [r, at = m.graph.opset < 11 ? size_t{1} : size_t{2}](const Step& s) {
    return resized(r, s, at);
  };
}

}  // namespace

void add_resizing(OperatorTable& table) { table["Resize"] = make_resize; }

}  // namespace pith::network
