// SliceGPT (Ashkboos et al., 2024) beside modules with fewer units: the residual stream is turned
// to its principal axes, another turn before each layer, and only the first of them are left.
#include <gtest/gtest.h>

#include <cmath>

#include "../weights/logit_divergence.h"
#include "../weights/testing_reference.h"
#include "pith/form/expression.h"
#include "pith/math/eigen.h"
#include "pith/math/matrix_product.h"
#include "pith/model/layer_runner.h"
#include "pith/recipe/registry.h"
#include "pith/weights/calibration_text.h"
#include "pith/weights/units_left.h"

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

// Onto what the stream is cut before each layer and the head, and the layers that go with it.
struct Sliced {
  std::vector<Matrix> cuts;
  std::vector<model::DecoderLayer> layers;
};

// To k axes, which are those of the calibrating windows.
Sliced sliced(std::span<const int32_t> calibration, uint64_t k) {
  const model::LanguageModel& model = reference().model;
  Sliced out{.cuts = {}, .layers = model.weights().layers};
  model::LayerRunner runner(model.config(), kWindow, 2);
  Matrix stream = model::embed(*model.weights().embedding, calibration);
  for (uint32_t l = 0; l < out.layers.size(); ++l) {
    out.cuts.push_back(onto_axes(stream, k));
    // What attention adds is cut as well; the norms are those of what is left.
    form::FormPtr& added = out.layers[l].output.weight;
    added = form::encode(form::parse("dense(f32)"),
                         product(out.cuts[l].view(), form::decode(*added)).view());
    stream = product(stream.view(), out.cuts[l]);
    runner.run(out.layers[l], l, stream);
  }
  out.cuts.push_back(onto_axes(stream, k));
  return out;
}

// Of windows; without a cut those of the model as it is.
Matrix logits_of(const model::LanguageModel& model, std::span<const int32_t> ids,
                 const Sliced* cut = nullptr) {
  const model::DecoderWeights& w = model.weights();
  model::LayerRunner runner(model.config(), kWindow, 2);
  Matrix stream = model::embed(*w.embedding, ids), out;
  for (uint32_t l = 0; l < w.layers.size(); ++l) {
    if (cut) stream = product(stream.view(), cut->cuts[l]);
    runner.run(cut ? cut->layers[l] : w.layers[l], l, stream);
  }
  if (cut) stream = product(stream.view(), cut->cuts.back());
  runner.head(w.norm, w.head, stream.view(), out);
  return out;
}

double divergence(const Matrix& was, const Matrix& is) {
  double sum = 0;
  for (uint64_t r = 0; r < was.shape.rows; ++r)
    sum += weights::logit_divergence(was.view().row(r), is.view().row(r));
  return sum / static_cast<double>(was.shape.rows);
}

double elements_of(const model::LanguageModel& model) {
  const model::DecoderConfig& c = model.config();
  return static_cast<double>(model.weights().embedding->shape().size() +
                             weights::elements(c, weights::all_units(c)));
}

TEST(SlicedStreamQuality, ModulesWithFewerUnitsLoseLessThanAStreamOfFewerAxes) {
  const model::LanguageModel& model = reference().model;
  const weights::CalibrationText text = weights::calibration_text(
      model, weights::default_calibration_text(), {.tokens = 2048, .window = kWindow});
  const std::span<const int32_t> unseen(text.held_out.data(), 8 * kWindow);
  const Matrix was = logits_of(model, unseen);
  const auto lost = [&](uint64_t axes) {
    const Sliced cut = sliced(text.windows, axes);
    return divergence(was, logits_of(model, unseen, &cut));
  };
  const uint64_t width = model.config().width;
  EXPECT_LT(lost(width), 1e-4) << "all axes: nothing is lost";

  Plan plan;
  apply(find_recipe("modegpt"), {{"units", "25%"}}, plan);
  const auto source = model::open_weights(reference().folder);
  const model::LanguageModel smaller = model::make_model(model::ReducedWeights(
      *source, plan.reduce({.source = *source, .model = model, .text = text, .threads = 2})));
  // As many weights: of every matrix the part that reads or writes the stream, and for each layer
  // what turns one stream to the next.
  const double turns = model.config().layers + 1.0,
               each = elements_of(model) / static_cast<double>(width), all = elements_of(smaller);
  const auto k =
      static_cast<uint64_t>((std::sqrt(each * each + 4 * turns * all) - each) / (2 * turns));
  const double cut = lost(k), fewer = divergence(was, logits_of(smaller, unseen));
  RecordProperty("axes", std::to_string(k));
  RecordProperty("sliced", std::to_string(cut));
  RecordProperty("modules", std::to_string(fewer));
  EXPECT_GT(cut, fewer) << k << " axes";
}

}  // namespace
}  // namespace pith::recipe
