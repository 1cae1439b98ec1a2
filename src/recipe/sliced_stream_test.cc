// SliceGPT (Ashkboos et al., 2024) beside modules with fewer units: the residual stream is turned
// to its principal axes, another turn before each layer, and only the first of them are left.
#include <gtest/gtest.h>

#include <cmath>

#include "../weights/linears.h"
#include "../weights/logit_divergence.h"
#include "../weights/testing_reference.h"
#include "pith/form/expression.h"
#include "pith/math/eigen.h"
#include "pith/math/matrix_product.h"
#include "pith/model/layer_runner.h"
#include "pith/recipe/registry.h"
#include "pith/weights/calibration_text.h"

namespace pith::recipe {
namespace {

using form::Matrix;
using form::MatrixView;
using weights::testing::reference;

constexpr uint64_t kWindow = 64;

Matrix product(MatrixView a, const Matrix& b) {
  Matrix out({a.shape.rows, b.shape.cols});
  math::matrix_product(math::row_major(a.data, a.shape.rows, a.shape.cols),
                       math::row_major(b.values.data(), b.shape.rows, b.shape.cols),
                       out.values.data(), b.shape.cols);
  return out;
}

// What a stream keeps of itself along the k principal axes of these rows, which are taken as long
// as each other: what the matrices read is behind a norm.
Matrix onto_axes(const Matrix& rows, uint64_t k) {
  const uint64_t n = rows.shape.cols;
  Matrix same = rows;
  for (uint64_t r = 0; r < rows.shape.rows; ++r) {
    double squares = 0;
    for (const float v : rows.view().row(r)) squares += double{v} * v;
    for (float& v : same.row(r)) v /= static_cast<float>(std::sqrt(squares + 1e-9));
  }
  const auto axes =
      math::symmetric_eigen(math::gram(same.values.data(), rows.shape.rows, n, n).data(), n);
  Matrix first({k, n}), turned({n, k});
  for (uint64_t i = 0; i < k * n; ++i) {
    first.values[i] = axes.vectors[i];
    turned.row(i % n)[i / n] = axes.vectors[i];
  }
  return product(turned.view(), first);
}

// Logits of windows with the stream cut to k axes, which are those of the calibrating windows.
class Sliced {
 public:
  Sliced(std::span<const int32_t> calibration, uint64_t k) : model_(reference().model) {
    const auto& w = model_.weights();
    model::LayerRunner runner(model_.config(), kWindow, 2);
    Matrix stream = model::embed(*w.embedding, calibration);
    for (uint32_t l = 0; l < model_.config().layers; ++l) {
      cuts_.push_back(onto_axes(stream, k));
      model::DecoderLayer layer = w.layers[l];
      // What attention adds is cut as well; the norms are those of what is left.
      layer.output.weight =
          form::encode(form::parse("dense(f32)"),
                       product(cuts_[l].view(), form::decode(*layer.output.weight)).view());
      layers_.push_back(std::move(layer));
      stream = product(stream.view(), cuts_[l]);
      runner.run(layers_[l], l, stream);
    }
    cuts_.push_back(onto_axes(stream, k));
  }
  Matrix logits(std::span<const int32_t> ids) const {
    const auto& w = model_.weights();
    model::LayerRunner runner(model_.config(), kWindow, 2);
    Matrix stream = model::embed(*w.embedding, ids), out;
    for (uint32_t l = 0; l < layers_.size(); ++l) {
      stream = product(stream.view(), cuts_[l]);
      runner.run(layers_[l], l, stream);
    }
    runner.head(w.norm, w.head, product(stream.view(), cuts_.back()).view(), out);
    return out;
  }

 private:
  const model::LanguageModel& model_;
  std::vector<Matrix> cuts_;
  std::vector<model::DecoderLayer> layers_;
};

Matrix logits_of(const model::LanguageModel& model, std::span<const int32_t> ids) {
  model::LayerRunner runner(model.config(), kWindow, 2);
  Matrix stream = model::embed(*model.weights().embedding, ids), out;
  for (uint32_t l = 0; l < model.config().layers; ++l)
    runner.run(model.weights().layers[l], l, stream);
  runner.head(model.weights().norm, model.weights().head, stream.view(), out);
  return out;
}

double divergence(const Matrix& was, const Matrix& is) {
  double sum = 0;
  for (uint64_t r = 0; r < was.shape.rows; ++r)
    sum += weights::logit_divergence(was.view().row(r), is.view().row(r));
  return sum / static_cast<double>(was.shape.rows);
}

double elements_of(const model::LanguageModel& model) {
  uint64_t all = model.weights().embedding->shape().size();
  for (const model::DecoderLayer& layer : model.weights().layers) {
    for (const model::Linear* l : weights::linears(layer)) all += l->weight->shape().size();
  }
  return static_cast<double>(all);
}

TEST(SlicedStreamQuality, ModulesWithFewerUnitsLoseLessThanAStreamOfFewerAxes) {
  const model::LanguageModel& model = reference().model;
  const weights::CalibrationText text = weights::calibration_text(
      model, weights::default_calibration_text(), {.tokens = 2048, .window = kWindow});
  const std::span<const int32_t> unseen(text.held_out.data(), 8 * kWindow);
  const Matrix was = logits_of(model, unseen);
  // All axes: nothing is lost.
  const double width = model.config().width;
  EXPECT_LT(divergence(was, Sliced(text.windows, static_cast<uint64_t>(width)).logits(unseen)),
            1e-4);

  Plan plan;
  apply(find_recipe("modegpt"), {{"units", "25%"}}, plan);
  const auto source = model::open_weights(reference().folder);
  const model::LanguageModel smaller = model::make_model(model::ReducedWeights(
      *source, plan.reduce({.source = *source, .model = model, .text = text, .threads = 2})));
  // As many weights: of every matrix the part that reads or writes the stream, and for each layer
  // what turns one stream to the next.
  const double turns = model.config().layers + 1.0, each = elements_of(model) / width,
               all = elements_of(smaller);
  const auto k =
      static_cast<uint64_t>((std::sqrt(each * each + 4 * turns * all) - each) / (2 * turns));
  const double cut = divergence(was, Sliced(text.windows, k).logits(unseen)),
               fewer = divergence(was, logits_of(smaller, unseen));
  RecordProperty("axes", std::to_string(k));
  RecordProperty("sliced", std::to_string(cut));
  RecordProperty("modules", std::to_string(fewer));
  EXPECT_GT(cut, fewer) << k << " axes";
}

}  // namespace
}  // namespace pith::recipe
