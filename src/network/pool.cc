#include <algorithm>
#include <cmath>

#include "pith/base/parallel.h"
#include "window.h"

namespace pith::network {
namespace {

struct Pool {
  Window window;
  bool most = false;        // the largest, else the mean
  bool more = false;        // ceil_mode
  bool count_pads = false;  // padding counts as zeros in means
};

// The elements of one dimension that a window covers: first, first + dilation, … < last.
struct Covered {
  int64_t first = 0, last = 0;
  int64_t with_pads = 0;  // how many, those in the padding included
};

std::vector<Covered> covered(const Span1& s, int64_t n, bool more) {
  std::vector<Covered> out(static_cast<size_t>(s.positions(n, more)));
  for (size_t p = 0; p < out.size(); ++p) {
    const int64_t begin = static_cast<int64_t>(p) * s.stride - s.before;
    const int64_t end = begin + (s.kernel - 1) * s.dilation + 1;
    const int64_t skipped = begin < 0 ? (-begin + s.dilation - 1) / s.dilation : 0;
    out[p].first = begin + skipped * s.dilation;
    out[p].last = std::min(end, n);
    const int64_t room = std::min(end, n + s.after) - begin;
    out[p].with_pads = (room + s.dilation - 1) / s.dilation;
  }
  return out;
}

float pooled(const Pool& pool, const float* plane, int64_t cols, const Covered& v,
             const Covered& h) {
  const int64_t down = pool.window.at[0].dilation, right = pool.window.at[1].dilation;
  float sum = 0, most = -HUGE_VALF;
  int64_t count = 0;
  for (int64_t y = v.first; y < v.last; y += down) {
    for (int64_t x = h.first; x < h.last; x += right) {
      const float value = plane[y * cols + x];
      sum += value;
      most = std::max(most, value);
      ++count;
    }
  }
  if (pool.most) return most;
  if (pool.count_pads) count = v.with_pads * h.with_pads;
  return count == 0 ? 0 : sum / static_cast<float>(count);
}

std::vector<Tensor> run(const Pool& pool, const Step& s) {
  const Tensor& x = s.in(0);
  const ImageDims d = image_dims(x, pool.window);
  const Window window = pool.window.resolved(d.rows, d.cols);
  const std::vector<Covered> rows = covered(window.at[0], static_cast<int64_t>(d.rows), pool.more);
  const std::vector<Covered> cols = covered(window.at[1], static_cast<int64_t>(d.cols), pool.more);
  const Dims dims = dims_like(x, d.channels, rows.size(), cols.size());
  std::vector<float> y(elements(dims));
  const std::span<const float> values = x.floats();
  parallel_for(s.options.threads, d.count * d.channels, [&](size_t k) {
    const float* plane = values.data() + k * d.rows * d.cols;
    float* to = y.data() + k * rows.size() * cols.size();
    for (const Covered& v : rows) {
      for (const Covered& h : cols) *to++ = pooled(pool, plane, static_cast<int64_t>(d.cols), v, h);
    }
  });
  return only(dims, std::move(y));
}

Operation make_pool(const Making& m, bool most) {
  if (m.node.outputs.size() > 1) fail(ErrorKind::kUsage, "its second output is not supported");
  Pool pool{window_of(m.attributes, {}), most, m.attributes.flag("ceil_mode", false)};
  if (!most) pool.count_pads = m.attributes.flag("count_include_pad", false);
  if (most) m.attributes.ignore("storage_order");  // of the second output
  return [pool](const Step& s) { return run(pool, s); };
}

std::vector<Tensor> global(const Step& s, bool most) {
  const Tensor& x = s.in(0);
  if (x.rank() < 3) fail(ErrorKind::kData, "an image of {} dimensions", x.rank());
  Dims dims(x.rank(), 1);
  dims[0] = x.dim(0);
  dims[1] = x.dim(1);
  std::vector<float> y(elements(dims));
  const uint64_t n = y.empty() ? 0 : x.size() / y.size();
  if (n == 0 && !y.empty()) fail(ErrorKind::kData, "an image without elements");
  for (size_t k = 0; k < y.size(); ++k) {
    const std::span<const float> plane = x.floats().subspan(k * n, n);
    double sum = 0;
    for (const float v : plane) sum += v;
    y[k] =
        most ? *std::ranges::max_element(plane) : static_cast<float>(sum / static_cast<double>(n));
  }
  return only(dims, std::move(y));
}

}  // namespace

void add_pools(OperatorTable& t) {
  t["MaxPool"] = [](const Making& m) { return make_pool(m, true); };
  t["AveragePool"] = [](const Making& m) { return make_pool(m, false); };
  t["GlobalAveragePool"] = [](const Making&) -> Operation {
    return [](const Step& s) { return global(s, false); };
  };
  t["GlobalMaxPool"] = [](const Making&) -> Operation {
    return [](const Step& s) { return global(s, true); };
  };
}

}  // namespace pith::network
