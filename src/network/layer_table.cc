#include "layer_table.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/network/fitted_layers.h"

namespace pith::network {
namespace {

// Of second moments at a time.
constexpr uint64_t kMostBytes = uint64_t{1} << 30;
// Vectors of a layer that its second moments are made from: so many for each of its inputs, and at
// least so many.
constexpr uint64_t kForEachInput = 8, kVectors = 8192;

}  // namespace

form::FormPtr exact(form::MatrixView weights) {
  static const form::Expression floats = form::parse("dense(f32)");
  return form::encode(floats, weights);
}

double squares(form::MatrixView matrix) {
  double sum = 0;
  for (uint64_t i = 0; i < matrix.shape.size(); ++i) {
    sum += static_cast<double>(matrix.data[i]) * matrix.data[i];
  }
  return sum;
}

double squared_error(form::MatrixView matrix, const form::Form& form) {
  const form::Matrix made = form::decode(form);
  double sum = 0;
  for (uint64_t i = 0; i < made.values.size(); ++i) {
    const double d = static_cast<double>(matrix.data[i]) - made.values[i];
    sum += d * d;
  }
  return sum;
}

Tried try_form(const LayerForm& candidate, const fit::Fitter& fitter, const fit::Task& task) {
  Tried tried;
  try {
    if (candidate.check) candidate.check(task.weights.shape);
    fit::Fitted fitted = fitter(task);
    tried.form = std::move(fitted.form);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kUsage) throw e.in(std::string(task.name));
    tried.refusal = e.what();
    tried.form = exact(task.weights);
    return tried;
  }
  tried.squared = squared_error(task.weights, *tried.form);
  tried.error = fit::error(task.inputs, task.weights, form::decode(*tried.form).view());
  return tried;
}

void visit_moments(const Network& network, const std::vector<Tensor>& inputs,
                   const std::vector<bool>& which, int threads,
                   const std::function<void(size_t layer, const fit::Metric& metric)>& visit) {
  const size_t layers = network.layers().size();
  if (inputs.empty()) {
    for (size_t i = 0; i < layers; ++i) {
      if (which[i]) visit(i, {});
    }
    return;
  }
  const std::vector<uint64_t> counts = input_counts(network, inputs, threads);
  const auto bytes = [&](size_t i) {
    const uint64_t cols = network.layers()[i].weight->shape().cols;
    return which[i] && counts[i] > 0 ? 8 * cols * cols : 0;
  };
  MomentOptions options;
  options.threads = threads;
  options.every = [&](size_t i) {
    const uint64_t cols = network.layers()[i].weight->shape().cols;
    return counts[i] / std::max(kVectors, kForEachInput * cols) + 1;
  };
  for (size_t first = 0; first < layers;) {
    size_t last = first;
    for (uint64_t taken = 0; last < layers; ++last) {
      taken += bytes(last);
      if (last > first && taken > kMostBytes) break;
    }
    options.which = [&](size_t i) { return i >= first && i < last && which[i]; };
    const std::vector<fit::Metric> seen = input_moments(network, inputs, options);
    for (size_t i = first; i < last; ++i) {
      if (which[i]) visit(i, seen[i]);
    }
    first = last;
  }
}

double output_error(std::span<const Tensor> outputs, std::span<const Tensor> wanted) {
  double sum = 0;
  int count = 0;
  for (size_t k = 0; k < wanted.size(); ++k) {
    if (!wanted[k].is_float()) continue;
    double error = 0, all = 0;
    for (uint64_t i = 0; i < wanted[k].size(); ++i) {
      const double y = wanted[k].floats()[i], d = outputs[k].floats()[i] - y;
      error += d * d;
      all += y * y;
    }
    sum += all > 0 ? error / all : error;
    ++count;
  }
  return count == 0 ? 0 : sum / count;
}

std::vector<Tensor> first_samples(const io::OnnxGraph& file, const std::vector<Tensor>& inputs,
                                  uint64_t most) {
  for (size_t k = 0; k < inputs.size(); ++k) {
    const auto& shape = file.inputs[k].shape;
    const bool open = !shape.empty() && !shape[0] && inputs[k].rank() == shape.size();
    if (!open || inputs[k].dim(0) != inputs[0].dim(0)) return inputs;
  }
  if (inputs.empty() || inputs[0].dim(0) <= most) return inputs;
  std::vector<Tensor> out;
  for (const Tensor& x : inputs) {
    Dims dims = x.dims();
    const uint64_t n = x.size() / dims[0] * most;
    dims[0] = most;
    if (x.is_float()) {
      out.emplace_back(std::move(dims),
                       std::vector<float>(x.floats().begin(),
                                          x.floats().begin() + static_cast<std::ptrdiff_t>(n)));
    } else {
      out.emplace_back(std::move(dims),
                       std::vector<int64_t>(x.integers().begin(),
                                            x.integers().begin() + static_cast<std::ptrdiff_t>(n)));
    }
  }
  return out;
}

}  // namespace pith::network
