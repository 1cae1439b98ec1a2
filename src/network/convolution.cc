// Convolutions: the patches of an image times a form, or channel by channel where there are groups.
#include <algorithm>

#include "pith/base/parallel.h"
#include "pith/math/matrix_product.h"
#include "window.h"

namespace pith::network {
namespace {

// Positions of windows that are multiplied at a time.
constexpr uint64_t kBlock = 2 * form::kMostBatch;

struct Convolution {
  size_t layer;
  Window window;
};

struct Image {
  const float* data;
  ImageDims dims;
  const Window& window;
  uint64_t out_rows, out_cols;
};

// The patch of each position first <= p < last, in the order (channel, row, column) of the window.
void gather_patches(const Image& image, uint64_t first, uint64_t last, float* out) {
  const auto& [v, h] = image.window.at;
  const auto rows = static_cast<int64_t>(image.dims.rows),
             cols = static_cast<int64_t>(image.dims.cols);
  for (uint64_t p = first; p < last; ++p) {
    const int64_t top = static_cast<int64_t>(p / image.out_cols) * v.stride - v.before;
    const int64_t left = static_cast<int64_t>(p % image.out_cols) * h.stride - h.before;
    for (uint64_t c = 0; c < image.dims.channels; ++c) {
      const float* plane = image.data + c * image.dims.rows * image.dims.cols;
      for (int64_t i = 0; i < v.kernel; ++i) {
        const int64_t y = top + i * v.dilation;
        const bool inside = y >= 0 && y < rows;
        for (int64_t j = 0; j < h.kernel; ++j) {
          const int64_t x = left + j * h.dilation;
          *out++ = inside && x >= 0 && x < cols ? plane[y * cols + x] : 0;
        }
      }
    }
  }
}

void add_bias(const Layer& layer, uint64_t channel, uint64_t n, float* row) {
  if (layer.bias.empty()) return;
  for (uint64_t i = 0; i < n; ++i) row[i] += layer.bias[channel];
}

std::vector<Tensor> by_patches(const Tensor& x, const Window& window, const Layer& layer,
                               size_t number, const RunOptions& options) {
  const ImageDims d = image_dims(x, window);
  const auto rows = static_cast<uint64_t>(window.at[0].positions(static_cast<int64_t>(d.rows)));
  const auto cols = static_cast<uint64_t>(window.at[1].positions(static_cast<int64_t>(d.cols)));
  const uint64_t positions = rows * cols, outputs = layer.weight->shape().rows;
  const uint64_t length = layer.weight->shape().cols;
  const Dims dims = dims_like(x, outputs, rows, cols);
  std::vector<float> y(elements(dims));
  const uint64_t blocks = (positions + kBlock - 1) / kBlock;
  const std::span<const float> values = x.floats();
  const int threads = options.inputs ? 1 : options.threads;
  parallel_for(threads, d.count * blocks, [&](size_t k) {
    const uint64_t n = k / blocks, first = k % blocks * kBlock;
    const uint64_t last = std::min(first + kBlock, positions);
    const Image image{values.data() + n * d.channels * d.rows * d.cols, d, window, rows, cols};
    form::Matrix patches({last - first, length}), made;
    gather_patches(image, first, last, patches.values.data());
    if (options.inputs) options.inputs(number, patches.view());
    form::apply(*layer.weight, patches.view(), made, 1);
    for (uint64_t c = 0; c < outputs; ++c) {
      float* to = y.data() + (n * outputs + c) * positions;
      for (uint64_t p = first; p < last; ++p) to[p] = made.values[(p - first) * outputs + c];
      add_bias(layer, c, last - first, to + first);
    }
  });
  return only(dims, std::move(y));
}

// Positions whose element `at` steps into the window lies in the image.
std::pair<int64_t, int64_t> inside(const Span1& s, int64_t at, int64_t n, int64_t positions) {
  const int64_t shift = at * s.dilation - s.before;
  const int64_t first = shift >= 0 ? 0 : (-shift + s.stride - 1) / s.stride;
  const int64_t last = n > shift ? (n - shift - 1) / s.stride + 1 : 0;
  return {std::min(first, positions), std::min(last, positions)};
}

// out += the plane under one kernel.
void convolve_plane(const float* plane, const Image& image, const float* kernel, float* out) {
  const auto& [v, h] = image.window.at;
  const auto cols = static_cast<int64_t>(image.dims.cols);
  const auto out_rows = static_cast<int64_t>(image.out_rows),
             out_cols = static_cast<int64_t>(image.out_cols);
  for (int64_t i = 0; i < v.kernel; ++i) {
    const auto [top, bottom] = inside(v, i, static_cast<int64_t>(image.dims.rows), out_rows);
    for (int64_t j = 0; j < h.kernel; ++j) {
      const auto [left, right] = inside(h, j, cols, out_cols);
      const float w = kernel[i * h.kernel + j];
      for (int64_t r = top; r < bottom; ++r) {
        const float* from =
            plane + (r * v.stride - v.before + i * v.dilation) * cols + j * h.dilation - h.before;
        float* to = out + r * out_cols;
        for (int64_t c = left; c < right; ++c) to[c] += w * from[c * h.stride];
      }
    }
  }
}

std::vector<Tensor> by_groups(const Tensor& x, const Window& window, const Layer& layer,
                              int threads) {
  const ImageDims d = image_dims(x, window);
  const auto rows = static_cast<uint64_t>(window.at[0].positions(static_cast<int64_t>(d.rows)));
  const auto cols = static_cast<uint64_t>(window.at[1].positions(static_cast<int64_t>(d.cols)));
  const uint64_t outputs = layer.decoded.shape.rows, inputs = d.channels / layer.groups;
  const auto kernel = static_cast<uint64_t>(window.at[0].kernel * window.at[1].kernel);
  const Dims dims = dims_like(x, outputs, rows, cols);
  std::vector<float> y(elements(dims));
  const std::span<const float> values = x.floats();
  parallel_for(threads, d.count * outputs, [&](size_t k) {
    const uint64_t n = k / outputs, c = k % outputs, group = c / (outputs / layer.groups);
    const Image image{values.data() + (n * d.channels + group * inputs) * d.rows * d.cols, d,
                      window, rows, cols};
    float* to = y.data() + k * rows * cols;
    for (uint64_t i = 0; i < inputs; ++i) {
      convolve_plane(image.data + i * d.rows * d.cols, image,
                     layer.decoded.values.data() + c * layer.decoded.shape.cols + i * kernel, to);
    }
    add_bias(layer, c, rows * cols, to);
  });
  return only(dims, std::move(y));
}

std::vector<Tensor> convolve(const Convolution& conv, const Step& s) {
  const Layer& layer = s.layers[conv.layer];
  const Tensor& x = s.in(0);
  const ImageDims d = image_dims(x, conv.window);
  const uint64_t kernel =
      static_cast<uint64_t>(conv.window.at[0].kernel * conv.window.at[1].kernel);
  if (d.channels * kernel != layer.weight->shape().cols * layer.groups) {
    fail(ErrorKind::kData, "{} channels, where its weight has {}", d.channels,
         layer.weight->shape().cols * layer.groups / kernel);
  }
  const Window window = conv.window.resolved(d.rows, d.cols);
  if (layer.groups == 1) return by_patches(x, window, layer, conv.layer, s.options);
  return by_groups(x, window, layer, s.options.threads);
}

const Tensor& constant_weight(const Making& m) {
  const Tensor* w = m.constant(1);
  if (!w) fail(ErrorKind::kUsage, "its weight is no constant");
  if (w->rank() != 3 && w->rank() != 4) {
    fail(ErrorKind::kUsage, "a weight of {} dimensions is not supported", w->rank());
  }
  for (const uint64_t d : w->dims()) {
    if (d == 0) fail(ErrorKind::kUsage, "its weight has no elements");
  }
  return *w;
}

std::vector<float> bias_of(const Making& m, uint64_t outputs) {
  if (m.node.inputs.size() < 3 || m.node.inputs[2].empty()) return {};
  const Tensor* b = m.constant(2);
  if (!b) fail(ErrorKind::kUsage, "its bias is no constant");
  if (b->size() != outputs)
    fail(ErrorKind::kUsage, "a bias of {} for {} outputs", b->size(), outputs);
  return {b->floats().begin(), b->floats().end()};
}

Operation make_convolution(const Making& m) {
  const Tensor& w = constant_weight(m);
  const std::vector<int64_t> kernel(w.dims().begin() + 2, w.dims().end());
  const Window window = window_of(m.attributes, kernel);
  const int64_t groups = m.attributes.integer("group", 1);
  if (groups < 1 || w.dim(0) % static_cast<uint64_t>(groups) != 0) {
    fail(ErrorKind::kUsage, "{} outputs in {} groups", w.dim(0), groups);
  }
  const Convolution conv{m.layers.size(), window};
  form::Matrix matrix({w.dim(0), w.size() / w.dim(0)});
  std::ranges::copy(w.floats(), matrix.values.begin());
  m.layers.push_back({m.node.inputs[1],
                      m.node.name,
                      form::encode(form::parse("dense(f32)"), matrix.view()),
                      static_cast<uint64_t>(groups),
                      bias_of(m, w.dim(0)),
                      {},
                      false});
  if (groups > 1) m.layers.back().decoded = std::move(matrix);
  return [conv](const Step& s) { return convolve(conv, s); };
}

struct Transposed {
  size_t layer;
  Window window;
  int64_t more_rows, more_cols;  // output_padding
  uint64_t channels;
};

// What each element of the image adds to the outputs under its window, all at once, then to these.
std::vector<Tensor> transposed(const Transposed& t, const Step& s) {
  const Layer& layer = s.layers[t.layer];
  const Tensor& x = s.in(0);
  const ImageDims d = image_dims(x, t.window);
  const auto& [v, h] = t.window.at;
  if (d.channels != layer.decoded.shape.cols)
    fail(ErrorKind::kData, "{} channels, where its weight has {}", d.channels,
         layer.decoded.shape.cols);
  const auto size = [](const Span1& w, uint64_t n, int64_t more) {
    const int64_t out = (static_cast<int64_t>(n) - 1) * w.stride + (w.kernel - 1) * w.dilation + 1 +
                        more - w.before - w.after;
    if (n == 0 || out <= 0) fail(ErrorKind::kData, "no output is left of {} elements", n);
    return out;
  };
  const int64_t rows = size(v, d.rows, t.more_rows), cols = size(h, d.cols, t.more_cols);
  const Dims dims =
      dims_like(x, t.channels, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols));
  std::vector<float> y(elements(dims));
  const uint64_t pixels = d.rows * d.cols, made_rows = layer.decoded.shape.rows;
  std::vector<float> made(elements(Dims{made_rows, pixels}));
  for (uint64_t n = 0; n < d.count; ++n) {
    math::matrix_product(
        math::row_major(layer.decoded.values.data(), made_rows, d.channels),
        math::row_major(x.floats().data() + n * d.channels * pixels, d.channels, pixels),
        made.data(), pixels, math::ProductInto::kReplace, s.options.threads);
    for (uint64_t m = 0; m < made_rows; ++m) {
      const auto window = static_cast<int64_t>(m) % (v.kernel * h.kernel);
      const uint64_t channel = m / static_cast<uint64_t>(v.kernel * h.kernel);
      float* plane = y.data() + (n * t.channels + channel) * static_cast<uint64_t>(rows * cols);
      const float* from = made.data() + m * pixels;
      for (int64_t r = 0; r < static_cast<int64_t>(d.rows); ++r) {
        const int64_t at_row = r * v.stride + window / h.kernel * v.dilation - v.before;
        for (int64_t c = 0; c < static_cast<int64_t>(d.cols); ++c, ++from) {
          const int64_t at_col = c * h.stride + window % h.kernel * h.dilation - h.before;
          if (at_row >= 0 && at_row < rows && at_col >= 0 && at_col < cols)
            plane[at_row * cols + at_col] += *from;
        }
      }
    }
    for (uint64_t c = 0; c < t.channels; ++c) {
      add_bias(layer, c, static_cast<uint64_t>(rows * cols),
               y.data() + (n * t.channels + c) * static_cast<uint64_t>(rows * cols));
    }
  }
  return only(dims, std::move(y));
}

// The weight is [inputs, outputs, rows, columns]: as a matrix it has a row for each output and
// element of the window.
Operation make_transposed(const Making& m) {
  const Tensor& w = constant_weight(m);
  const Window window = window_of(m.attributes, {w.dims().begin() + 2, w.dims().end()});
  if (m.attributes.integer("group", 1) != 1) fail(ErrorKind::kUsage, "groups are not supported");
  if (window.padding != Window::Auto::kNone)
    fail(ErrorKind::kUsage, "its 'auto_pad' is not supported");
  const std::vector<int64_t> more = m.attributes.integers("output_padding");
  for (const int64_t v : more) {
    if (v < 0 || v > 1 << 16) fail(ErrorKind::kUsage, "its 'output_padding' has {}", v);
  }
  if (!more.empty() && more.size() != w.rank() - 2)
    fail(ErrorKind::kUsage, "its 'output_padding' has {} numbers", more.size());
  const Transposed t{m.layers.size(), window, more.size() == 2 ? more[0] : 0,
                     more.empty() ? 0 : more.back(), w.dim(1)};
  const uint64_t inputs = w.dim(0), rows = w.size() / inputs;
  form::Matrix matrix({rows, inputs});
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < inputs; ++c) matrix.values[r * inputs + c] = w.floats()[c * rows + r];
  }
  m.layers.push_back({m.node.inputs[1],
                      m.node.name,
                      form::encode(form::parse("dense(f32)"), matrix.view()),
                      1,
                      bias_of(m, w.dim(1)),
                      {},
                      true});
  m.layers.back().decoded = std::move(matrix);
  return [t](const Step& s) { return transposed(t, s); };
}

}  // namespace

void add_convolutions(OperatorTable& table) {
  table["Conv"] = make_convolution;
  table["ConvTranspose"] = make_transposed;
}

}  // namespace pith::network
