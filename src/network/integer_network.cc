#include "pith/network/integer_network.h"

#include <algorithm>
#include <cmath>

#include "integer_steps.h"
#include "pith/base/parallel.h"

namespace pith::network {
namespace {

using Kind = IntegerStep::Kind;

// Where the channel of an element stands: element i is of channel i / inner % channels.
struct Channels {
  uint64_t count = 1, inner = 1;
};
Channels channels_of(const Dims& dims) {
  Channels c;
  if (dims.size() > 1) c.count = dims[1];
  for (size_t k = 2; k < dims.size(); ++k) c.inner *= dims[k];
  return c;
}

const Dyadic& of_channel(const std::vector<Dyadic>& by, uint64_t channel) {
  return by.size() == 1 ? by[0] : by[channel];
}

IntegerTensor rescale(const IntegerStep& s, const IntegerTensor& x) {
  IntegerTensor y = x;
  const Channels c = channels_of(x.dims);
  for (uint64_t i = 0; i < y.values.size(); ++i) {
    const Dyadic& by = of_channel(s.by, i / c.inner % c.count);
    y.values[i] = held(rescaled(x.values[i], by), s.low, s.high);
  }
  return y;
}

IntegerTensor add(const IntegerStep& s, const IntegerTensor& a, const IntegerTensor& b) {
  if (a.dims != b.dims) fail(ErrorKind::kData, "branches of different shapes");
  IntegerTensor y = a;
  const Channels c = channels_of(a.dims);
  const auto branch = [](int32_t x, const Dyadic& by) {
    return held(rescaled(x, by), -kMostBranch, kMostBranch);
  };
  for (uint64_t i = 0; i < y.values.size(); ++i) {
    const uint64_t channel = i / c.inner % c.count;
    const int32_t sum = branch(a.values[i], of_channel(s.by, channel)) +
                        branch(b.values[i], of_channel(s.other_by, channel));
    y.values[i] = held(sum, s.low, s.high);
  }
  return y;
}

struct Geometry {
  int64_t channels, rows, cols, out_rows, out_cols;
};

// One patch in the order of the weights; codes of at most 8 bits, with or without a sign.
void gather(const IntegerStep& s, const Geometry& g, const int32_t* image, int64_t row, int64_t col,
            int16_t* out) {
  const auto& [v, h] = s.window.at;
  for (int64_t c = 0; c < g.channels; ++c) {
    for (int64_t i = 0; i < v.kernel; ++i) {
      const int64_t y = row * v.stride - v.before + i * v.dilation;
      for (int64_t j = 0; j < h.kernel; ++j) {
        const int64_t x = col * h.stride - h.before + j * h.dilation;
        const bool inside = y >= 0 && y < g.rows && x >= 0 && x < g.cols;
        *out++ = inside ? static_cast<int16_t>(image[(c * g.rows + y) * g.cols + x]) : int16_t{0};
      }
    }
  }
}

IntegerTensor convolve(const IntegerStep& s, const IntegerTensor& x, int threads) {
  if (x.dims.size() != s.window.rank + 2)
    fail(ErrorKind::kData, "an image of {} dimensions", x.dims.size());
  const bool plane = x.dims.size() == 4;
  const uint64_t rows = plane ? x.dims[2] : 1, cols = x.dims.back();
  Geometry g{static_cast<int64_t>(x.dims[1]), static_cast<int64_t>(rows),
             static_cast<int64_t>(cols), 0, 0};
  IntegerStep here;
  here.window = s.window.resolved(rows, cols);
  g.out_rows = here.window.at[0].positions(g.rows);
  g.out_cols = here.window.at[1].positions(g.cols);
  const auto positions = static_cast<uint64_t>(g.out_rows * g.out_cols);
  const uint64_t outputs = s.weights.shape.rows, length = s.weights.shape.cols;
  const uint64_t patch = length * s.groups;
  if (patch != x.dims[1] * static_cast<uint64_t>(s.window.at[0].kernel * s.window.at[1].kernel)) {
    fail(ErrorKind::kData, "{} channels, where its weight has others", x.dims[1]);
  }
  IntegerTensor y{x.dims, {}};
  y.dims[1] = outputs;
  if (plane) y.dims[2] = static_cast<uint64_t>(g.out_rows);
  y.dims.back() = static_cast<uint64_t>(g.out_cols);
  y.values.resize(elements(y.dims));
  parallel_for(threads, x.dims[0], [&](size_t n) {
    std::vector<int16_t> values(patch);
    for (uint64_t p = 0; p < positions; ++p) {
      gather(here, g, x.values.data() + n * x.dims[1] * rows * cols,
             static_cast<int64_t>(p) / g.out_cols, static_cast<int64_t>(p) % g.out_cols,
             values.data());
      for (uint64_t c = 0; c < outputs; ++c) {
        const uint64_t group = c / (outputs / s.groups);
        y.values[(n * outputs + c) * positions + p] =
            s.bias[c] +
            dot(values.data() + group * length, s.weights.codes.data() + c * length, length);
      }
    }
  });
  return y;
}

IntegerTensor multiply(const IntegerStep& s, const IntegerTensor& x) {
  const uint64_t outputs = s.weights.shape.rows, length = s.weights.shape.cols;
  if (x.dims.size() != 2 || x.dims[1] != length)
    fail(ErrorKind::kData, "vectors of another length than its weight's");
  IntegerTensor y{{x.dims[0], outputs}, std::vector<int32_t>(x.dims[0] * outputs)};
  std::vector<int16_t> vector(length);
  for (uint64_t n = 0; n < x.dims[0]; ++n) {
    for (uint64_t i = 0; i < length; ++i)
      vector[i] = static_cast<int16_t>(x.values[n * length + i]);
    for (uint64_t c = 0; c < outputs; ++c) {
      y.values[n * outputs + c] =
          s.bias[c] + dot(vector.data(), s.weights.codes.data() + c * length, length);
    }
  }
  return y;
}

IntegerTensor relu(const IntegerTensor& x) {
  IntegerTensor y = x;
  for (int32_t& v : y.values) v = std::max(v, 0);
  return y;
}

IntegerTensor max_pool(const IntegerStep& s, const IntegerTensor& x) {
  if (x.dims.size() != s.window.rank + 2)
    fail(ErrorKind::kData, "an image of {} dimensions", x.dims.size());
  const bool plane = x.dims.size() == 4;
  const auto rows = static_cast<int64_t>(plane ? x.dims[2] : 1),
             cols = static_cast<int64_t>(x.dims.back());
  const Window w = s.window.resolved(static_cast<uint64_t>(rows), static_cast<uint64_t>(cols));
  const auto& [v, h] = w.at;
  const int64_t out_rows = v.positions(rows), out_cols = h.positions(cols);
  IntegerTensor y{x.dims, {}};
  if (plane) y.dims[2] = static_cast<uint64_t>(out_rows);
  y.dims.back() = static_cast<uint64_t>(out_cols);
  y.values.resize(elements(y.dims));
  int32_t* out = y.values.data();
  for (uint64_t k = 0; k < x.dims[0] * x.dims[1]; ++k) {
    const int32_t* from = x.values.data() + static_cast<int64_t>(k) * rows * cols;
    for (int64_t r = 0; r < out_rows; ++r) {
      for (int64_t c = 0; c < out_cols; ++c) {
        int32_t most = INT32_MIN;
        for (int64_t i = 0; i < v.kernel; ++i) {
          for (int64_t j = 0; j < h.kernel; ++j) {
            const int64_t at_row = r * v.stride - v.before + i * v.dilation;
            const int64_t at_col = c * h.stride - h.before + j * h.dilation;
            if (at_row < 0 || at_row >= rows || at_col < 0 || at_col >= cols) continue;
            most = std::max(most, from[at_row * cols + at_col]);
          }
        }
        *out++ = most;
      }
    }
  }
  return y;
}

IntegerTensor sum(const IntegerStep& s, const IntegerTensor& x) {
  const Channels c = channels_of(x.dims);
  if (c.inner != s.count)
    fail(ErrorKind::kData, "images of another size than those that were seen");
  IntegerTensor y{Dims(x.dims.size(), 1), std::vector<int32_t>(x.values.size() / c.inner, 0)};
  y.dims[0] = x.dims[0];
  y.dims[1] = x.dims[1];
  for (uint64_t i = 0; i < x.values.size(); ++i) y.values[i / c.inner] += x.values[i];
  return y;
}

IntegerTensor run_step(const IntegerStep& s, const std::vector<IntegerTensor>& values,
                       int threads) {
  const IntegerTensor& x = values[s.in];
  switch (s.kind) {
    case Kind::kRescale:
      return rescale(s, x);
    case Kind::kConvolution:
      return convolve(s, x, threads);
    case Kind::kProduct:
      return multiply(s, x);
    case Kind::kRelu:
      return relu(x);
    case Kind::kMaxPool:
      return max_pool(s, x);
    case Kind::kSum:
      return sum(s, x);
    case Kind::kAdd:
      return add(s, x, values[s.other]);
    case Kind::kFlatten:
      return {{x.dims[0], x.dims[0] == 0 ? 0 : x.values.size() / x.dims[0]}, x.values};
  }
  fail(ErrorKind::kUsage, "no such step");
}

}  // namespace

IntegerTensor IntegerNetwork::run(const IntegerTensor& input, int threads) const {
  if (input.dims.empty() || elements(input.dims) != input.values.size()) {
    fail(ErrorKind::kUsage, "an input whose elements do not fill its shape");
  }
  for (const int32_t v : input.values) {
    if (v < steps_->input.low || v > steps_->input.high) {
      fail(ErrorKind::kData, "the code {} is not within {} and {}", v, steps_->input.low,
           steps_->input.high);
    }
  }
  // Values that no later step takes are let go.
  std::vector<size_t> last(steps_->values, 0);
  for (size_t i = 0; i < steps_->steps.size(); ++i) {
    last[steps_->steps[i].in] = last[steps_->steps[i].other] = i;
  }
  std::vector<IntegerTensor> values(steps_->values);
  values[0] = input;
  for (size_t i = 0; i < steps_->steps.size(); ++i) {
    const IntegerStep& s = steps_->steps[i];
    try {
      values[s.out] = run_step(s, values, threads);
    } catch (const Error& e) {
      throw e.in(described(s.node));
    }
    for (const size_t k : {s.in, s.other}) {
      if (last[k] == i && k != steps_->output) values[k] = {};
    }
  }
  return std::move(values[steps_->output]);
}

IntegerTensor IntegerNetwork::quantized(const Tensor& input) const {
  const ActivationSamples::Codes& c = steps_->input;
  IntegerTensor out{input.dims(), {}};
  for (const float v : input.floats()) {
    const double q = std::floor(v / c.scale + 0.5);
    if (std::isnan(q)) fail(ErrorKind::kData, "an input that is no number");
    out.values.push_back(static_cast<int32_t>(
        std::clamp(q, static_cast<double>(c.low), static_cast<double>(c.high))));
  }
  return out;
}

Tensor IntegerNetwork::dequantized(const IntegerTensor& output) const {
  std::vector<float> values(output.values.size());
  std::ranges::transform(output.values, values.begin(),
                         [&](int32_t v) { return static_cast<float>(v * steps_->output_scale); });
  return {output.dims, std::move(values)};
}

}  // namespace pith::network
