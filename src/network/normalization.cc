#include <algorithm>
#include <cmath>

#include "operation.h"
#include "pith/base/parallel.h"

namespace pith::network {
namespace {

// y = scale (x - mean) / sqrt(variance + epsilon) + bias for each channel, the second dimension.
Operation batch_normalization(const Making& m) {
  const float epsilon = m.attributes.number("epsilon", 1e-5F);
  m.attributes.ignore("momentum");  // of training
  m.attributes.ignore("spatial");
  if (m.attributes.flag("training_mode", false)) fail(ErrorKind::kUsage, "it is to train");
  return [epsilon](const Step& s) {
    const Tensor& x = s.in(0);
    if (x.rank() < 2) fail(ErrorKind::kData, "a value without channels");
    const uint64_t channels = x.dim(1);
    for (size_t k = 1; k <= 4; ++k) {
      if (s.in(k).floats().size() != channels) {
        fail(ErrorKind::kData, "{} numbers for {} channels", s.in(k).size(), channels);
      }
    }
    std::vector<float> y(x.floats().begin(), x.floats().end());
    const uint64_t planes = x.dim(0) * channels, n = planes == 0 ? 0 : x.size() / planes;
    for (uint64_t k = 0; k < planes; ++k) {
      const uint64_t c = k % channels;
      const float scale = s.in(1).floats()[c] / std::sqrt(s.in(4).floats()[c] + epsilon);
      const float mean = s.in(3).floats()[c], bias = s.in(2).floats()[c];
      for (float& v : std::span(y).subspan(k * n, n)) v = (v - mean) * scale + bias;
    }
    return only(x.dims(), std::move(y));
  };
}

// Over the last dimensions, from `axis` on.
Operation layer_normalization(const Making& m) {
  const float epsilon = m.attributes.number("epsilon", 1e-5F);
  const int64_t from = m.attributes.integer("axis", -1);
  m.attributes.ignore("stash_type");  // of means, which are no output
  if (m.node.outputs.size() > 1) fail(ErrorKind::kUsage, "its second output is not supported");
  return [=](const Step& s) {
    const Tensor& x = s.in(0);
    uint64_t n = 1;
    for (size_t k = axis_of(from, x.rank()); k < x.rank(); ++k) n *= x.dim(k);
    const std::span<const float> scale = s.in(1).floats();
    const std::span<const float> bias = s.has(2) ? s.in(2).floats() : std::span<const float>();
    if (scale.size() != n || (s.has(2) && bias.size() != n)) {
      fail(ErrorKind::kData, "a scale or bias that has not the {} elements of a vector", n);
    }
    std::vector<float> y(x.floats().begin(), x.floats().end());
    for (uint64_t at = 0; at < y.size(); at += n) {
      const std::span<float> row = std::span(y).subspan(at, n);
      double sum = 0, squares = 0;
      for (const float v : row) sum += v;
      const double mean = sum / static_cast<double>(n);
      for (const float v : row) squares += (v - mean) * (v - mean);
      const double by = 1 / std::sqrt(squares / static_cast<double>(n) + epsilon);
      for (uint64_t i = 0; i < n; ++i) {
        row[i] = static_cast<float>((row[i] - mean) * by) * scale[i] + (bias.empty() ? 0 : bias[i]);
      }
    }
    return only(x.dims(), std::move(y));
  };
}

// In place, for n elements that are `step` apart.
void softmax(float* x, uint64_t n, uint64_t step) {
  float most = -HUGE_VALF, sum = 0;
  for (uint64_t i = 0; i < n; ++i) most = std::max(most, x[i * step]);
  for (uint64_t i = 0; i < n; ++i) sum += x[i * step] = std::exp(x[i * step] - most);
  for (uint64_t i = 0; i < n; ++i) x[i * step] /= sum;
}

// Up to opset 12 all dimensions from the axis on are one.
Operation make_softmax(const Making& m) {
  const bool joined = m.graph.opset < 13;
  const int64_t along = m.attributes.integer("axis", joined ? 1 : -1);
  return [=](const Step& s) {
    const Tensor& x = s.in(0);
    const size_t axis = axis_of(along, x.rank());
    uint64_t n = x.dim(axis), inner = 1;
    for (size_t k = axis + 1; k < x.rank(); ++k) (joined ? n : inner) *= x.dim(k);
    std::vector<float> y(x.floats().begin(), x.floats().end());
    const uint64_t vectors = n == 0 ? 0 : y.size() / n;
    const uint64_t some = 64;
    parallel_for(s.options.threads, (vectors + some - 1) / some, [&](size_t k) {
      for (uint64_t v = k * some; v < std::min((k + 1) * some, vectors); ++v) {
        softmax(y.data() + v / inner * inner * n + v % inner, n, inner);
      }
    });
    return only(x.dims(), std::move(y));
  };
}

}  // namespace

void add_normalizations(OperatorTable& table) {
  table["BatchNormalization"] = batch_normalization;
  table["LayerNormalization"] = layer_normalization;
  table["Softmax"] = make_softmax;
}

}  // namespace pith::network
