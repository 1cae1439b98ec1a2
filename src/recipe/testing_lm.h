// A small real language model for tests of checkpoints: the embeddings of the last characters, a
// tanh layer and a softmax (Bengio et al. 2003), trained with Adam on the project's licence.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "pith/base/file.h"
#include "pith/io/layout.h"
#include "pith/io/write.h"

namespace pith::recipe::testing {

// A matrix with its gradient and Adam's moments; a vector has one row.
template <class Real>
struct Parameter {
  std::string name;
  size_t rows, cols;
  std::vector<Real> w, gradient, exp_avg, exp_avg_sq;

  Parameter(std::string n, size_t r, size_t c, double scale, std::mt19937& random)
      : name(std::move(n)),
        rows(r),
        cols(c),
        w(r * c),
        gradient(r * c, 0),
        exp_avg(r * c, 0),
        exp_avg_sq(r * c, 0) {
    std::normal_distribution<double> normal(0, scale);
    for (Real& x : w) x = static_cast<Real>(normal(random));
  }
};

// The steps-th step of Adam, from 1 on; clears the gradients.
template <class Real>
void adam(std::vector<Parameter<Real>>& parameters, int steps, double rate) {
  const auto b1 = static_cast<Real>(0.9), b2 = static_cast<Real>(0.999);
  const auto unbias1 = static_cast<Real>(1 / (1 - std::pow(0.9, steps)));
  const auto unbias2 = static_cast<Real>(1 / (1 - std::pow(0.999, steps)));
  for (Parameter<Real>& p : parameters) {
    for (size_t i = 0; i < p.w.size(); ++i) {
      const Real g = p.gradient[i];
      p.exp_avg[i] = b1 * p.exp_avg[i] + (1 - b1) * g;
      p.exp_avg_sq[i] = b2 * p.exp_avg_sq[i] + (1 - b2) * g * g;
      p.w[i] -= static_cast<Real>(rate) * p.exp_avg[i] * unbias1 /
                (std::sqrt(p.exp_avg_sq[i] * unbias2) + static_cast<Real>(1e-8));
      p.gradient[i] = 0;
    }
  }
}

struct Shape {
  size_t characters, context, width, hidden;
};

template <class Real>
class TinyLm {
 public:
  TinyLm(const Shape& shape, uint32_t seed) : shape_(shape) {
    std::mt19937 random(seed);
    const size_t in = shape.context * shape.width;
    const auto scale = [](size_t n) { return 1 / std::sqrt(static_cast<double>(n)); };
    parameters.emplace_back("embedding", shape.characters, shape.width, 0.5, random);
    parameters.emplace_back("hidden.weight", in, shape.hidden, scale(in), random);
    parameters.emplace_back("hidden.bias", 1, shape.hidden, 0, random);
    parameters.emplace_back("output.weight", shape.hidden, shape.characters, scale(shape.hidden),
                            random);
    parameters.emplace_back("output.bias", 1, shape.characters, 0, random);
  }

  // -log P(text[at]) given the characters before; with `learn`, adds its gradient times `weight`.
  Real loss(const std::vector<uint8_t>& text, size_t at, bool learn, Real weight = 1) {
    forward(text, at);
    const Real loss = -std::log(probability_[text[at]]);
    if (learn) backward(text, at, weight);
    return loss;
  }

  // One step of Adam; clears the gradients.
  void step(double rate) { adam(parameters, ++steps, rate); }

  std::vector<Parameter<Real>> parameters;
  int steps = 0;

 private:
  void forward(const std::vector<uint8_t>& text, size_t at) {
    const auto& [embedding, w1, b1, w2, b2] = split();
    input_.clear();
    for (size_t k = 0; k < shape_.context; ++k) {
      const Real* e = &embedding.w[text[at - 1 - k] * shape_.width];
      input_.insert(input_.end(), e, e + shape_.width);
    }
    hidden_ = b1.w;
    for (size_t i = 0; i < input_.size(); ++i) add(input_[i], &w1.w[i * w1.cols], hidden_);
    for (Real& h : hidden_) h = std::tanh(h);
    probability_ = b2.w;
    for (size_t i = 0; i < hidden_.size(); ++i) add(hidden_[i], &w2.w[i * w2.cols], probability_);
    const Real top = *std::ranges::max_element(probability_);
    Real sum = 0;
    for (Real& p : probability_) sum += p = std::exp(p - top);
    for (Real& p : probability_) p /= sum;
  }

  void backward(const std::vector<uint8_t>& text, size_t at, Real weight) {
    auto [embedding, w1, b1, w2, b2] = split();
    std::vector<Real> d = probability_;
    d[text[at]] -= 1;
    for (Real& x : d) x *= weight;
    add_to(d, b2.gradient.data());
    std::vector<Real> d_hidden(hidden_.size());
    for (size_t i = 0; i < hidden_.size(); ++i) {
      d_hidden[i] = (1 - hidden_[i] * hidden_[i]) * through(d, hidden_[i], w2, i);
    }
    add_to(d_hidden, b1.gradient.data());
    for (size_t i = 0; i < input_.size(); ++i) {
      const size_t row = text[at - 1 - i / shape_.width];
      embedding.gradient[row * shape_.width + i % shape_.width] +=
          through(d_hidden, input_[i], w1, i);
    }
  }

  // The gradient of row i of a matrix whose input was x, and what flows back through it.
  static Real through(const std::vector<Real>& d, Real x, Parameter<Real>& p, size_t i) {
    Real* gradient = &p.gradient[i * p.cols];
    const Real* w = &p.w[i * p.cols];
    Real back = 0;
    for (size_t k = 0; k < d.size(); ++k) {
      gradient[k] += x * d[k];
      back += w[k] * d[k];
    }
    return back;
  }
  static void add(Real x, const Real* row, std::vector<Real>& to) {
    for (size_t k = 0; k < to.size(); ++k) to[k] += x * row[k];
  }
  static void add_to(const std::vector<Real>& from, Real* to) {
    for (size_t k = 0; k < from.size(); ++k) to[k] += from[k];
  }

  struct Split {
    Parameter<Real>&embedding, &w1, &b1, &w2, &b2;
  };
  Split split() {
    return {parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]};
  }

  Shape shape_;
  std::vector<Real> input_, hidden_, probability_;
};

// A text as numbers of its characters.
struct Corpus {
  std::vector<uint8_t> text;
  size_t characters = 0;
  size_t held_out = 0;  // the text from here on is for measuring

  Corpus() : Corpus(license()) {}
  explicit Corpus(ByteView file) {
    std::map<uint8_t, uint8_t> numbers;
    for (const uint8_t c : file) numbers.emplace(c, 0);
    for (auto& [c, number] : numbers) number = static_cast<uint8_t>(characters++);
    for (const uint8_t c : file) text.push_back(numbers[c]);
    held_out = text.size() * 9 / 10;
  }

 private:
  static Bytes license() {
    return read_file(std::filesystem::path(__FILE__).parent_path() / "../../LICENSE");
  }
};

// The weights, both moments and the step counter as a safetensors file.
template <class Real>
Bytes save(const TinyLm<Real>& model) {
  std::vector<io::TensorInfo> tensors;
  std::vector<const std::vector<Real>*> data;
  for (const Parameter<Real>& p : model.parameters) {
    const std::vector<uint64_t> shape = {p.rows, p.cols};
    for (const auto& [name, values] :
         {std::pair{"model.", &p.w}, std::pair{"optimizer.exp_avg.", &p.exp_avg},
          std::pair{"optimizer.exp_avg_sq.", &p.exp_avg_sq}}) {
      tensors.push_back({name + p.name, DType::kF32, shape});
      data.push_back(values);
    }
  }
  const std::vector<Real> step = {static_cast<Real>(model.steps)};
  tensors.push_back({"optimizer.step", DType::kF32, {}});
  data.push_back(&step);
  const std::vector<size_t> order = io::safetensors_order(tensors);
  std::vector<io::TensorInfo> ordered;
  for (const size_t t : order) ordered.push_back(tensors[t]);
  Bytes file = io::safetensors_header(ordered);
  for (const size_t t : order) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(data[t]->data());
    file.insert(file.end(), bytes, bytes + 4 * data[t]->size());
  }
  return file;
}

inline void load(ByteView file, std::span<const io::TensorRegion> regions, TinyLm<float>& model) {
  const auto fill = [&](const std::string& name, float* out, size_t n) {
    const auto at = std::ranges::find(regions, name, &io::TensorRegion::name);
    if (at == regions.end() || at->size != 4 * n) fail(ErrorKind::kData, "no tensor {}", name);
    std::memcpy(out, file.data() + at->offset, at->size);
  };
  for (Parameter<float>& p : model.parameters) {
    fill("model." + p.name, p.w.data(), p.w.size());
    fill("optimizer.exp_avg." + p.name, p.exp_avg.data(), p.w.size());
    fill("optimizer.exp_avg_sq." + p.name, p.exp_avg_sq.data(), p.w.size());
  }
  float step = 0;
  fill("optimizer.step", &step, 1);
  model.steps = static_cast<int>(step);
}

}  // namespace pith::recipe::testing
