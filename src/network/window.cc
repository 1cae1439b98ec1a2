#include "window.h"

#include <algorithm>

namespace pith::network {
namespace {

constexpr int64_t kMost = 1 << 16;  // of kernels, strides, dilations and padding

// One number for each dimension, in range; `otherwise` where the list is empty.
std::array<int64_t, 2> pair_of(const std::vector<int64_t>& list, size_t rank, int64_t otherwise,
                               int64_t least, std::string_view key) {
  if (list.empty()) return {otherwise, otherwise};
  if (list.size() != rank) fail(ErrorKind::kUsage, "its '{}' has not {} numbers", key, rank);
  for (const int64_t v : list) {
    if (v < least || v > kMost) fail(ErrorKind::kUsage, "its '{}' has {}", key, v);
  }
  return rank == 2 ? std::array{list[0], list[1]} : std::array{otherwise, list[0]};
}

Window::Auto padding_of(const std::string& text) {
  if (text == "NOTSET") return Window::Auto::kNone;
  if (text == "SAME_UPPER") return Window::Auto::kUpper;
  if (text == "SAME_LOWER") return Window::Auto::kLower;
  if (text == "VALID") return Window::Auto::kValid;
  fail(ErrorKind::kUsage, "its 'auto_pad' is {}", text);
}

}  // namespace

int64_t Span1::positions(int64_t n, bool more) const {
  const int64_t reach = (kernel - 1) * dilation + 1, room = n + before + after - reach;
  if (room < 0) fail(ErrorKind::kData, "a window of {} does not fit into {} elements", reach, n);
  int64_t count = (more ? room + stride - 1 : room) / stride + 1;
  // The last one must not begin in the padding behind.
  if (more && (count - 1) * stride >= n + before) --count;
  return count;
}

Window Window::resolved(uint64_t rows, uint64_t cols) const {
  Window out = *this;
  if (padding == Auto::kNone) return out;
  const std::array<int64_t, 2> sizes = {static_cast<int64_t>(rows), static_cast<int64_t>(cols)};
  for (size_t k = 0; k < 2; ++k) {
    Span1& s = out.at[k];
    s.before = s.after = 0;
    if (padding == Auto::kValid) continue;
    const int64_t positions = (sizes[k] + s.stride - 1) / s.stride;
    const int64_t all = std::max<int64_t>(
        0, (positions - 1) * s.stride + (s.kernel - 1) * s.dilation + 1 - sizes[k]);
    s.before = padding == Auto::kUpper ? all / 2 : all - all / 2;
    s.after = all - s.before;
  }
  return out;
}

Window window_of(Attributes& attributes, std::vector<int64_t> kernel) {
  const std::vector<int64_t> shape = attributes.integers("kernel_shape");
  if (kernel.empty()) kernel = shape;
  if (!shape.empty() && shape != kernel) {
    fail(ErrorKind::kUsage, "its 'kernel_shape' is not that of its weight");
  }
  const size_t rank = kernel.size();
  if (rank != 1 && rank != 2)
    fail(ErrorKind::kUsage, "windows of {} dimensions are not supported", rank);
  const auto size = pair_of(kernel, rank, 1, 1, "kernel_shape");
  const auto stride = pair_of(attributes.integers("strides"), rank, 1, 1, "strides");
  const auto dilation = pair_of(attributes.integers("dilations"), rank, 1, 1, "dilations");
  std::vector<int64_t> pads = attributes.integers("pads");
  if (pads.empty()) pads.assign(2 * rank, 0);
  if (pads.size() != 2 * rank) fail(ErrorKind::kUsage, "its 'pads' has not {} numbers", 2 * rank);
  const auto half = pads.begin() + static_cast<std::ptrdiff_t>(rank);
  const auto before = pair_of({pads.begin(), half}, rank, 0, 0, "pads");
  const auto after = pair_of({half, pads.end()}, rank, 0, 0, "pads");
  Window w;
  w.rank = rank;
  for (size_t k = 0; k < 2; ++k) w.at[k] = {size[k], stride[k], dilation[k], before[k], after[k]};
  w.padding = padding_of(attributes.text("auto_pad", "NOTSET"));
  return w;
}

ImageDims image_dims(const Tensor& x, const Window& window) {
  if (x.rank() != window.rank + 2) fail(ErrorKind::kData, "an image of {} dimensions", x.rank());
  ImageDims d{x.dim(0), x.dim(1), 1, x.dims().back()};
  if (x.rank() == 4) d.rows = x.dim(2);
  return d;
}

Dims dims_like(const Tensor& x, uint64_t channels, uint64_t rows, uint64_t cols) {
  if (x.rank() == 3) return {x.dim(0), channels, cols};
  return {x.dim(0), channels, rows, cols};
}

}  // namespace pith::network
