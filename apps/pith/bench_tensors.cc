#include "bench_tensors.h"

#include <algorithm>
#include <filesystem>

#include "bench_data.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/base/float_elements.h"
#include "pith/io/layout.h"
#include "pith/model/gradient.h"
#include "pith/model/prompt.h"
#include "pith/model/session.h"

namespace pith::bench {
namespace {

using form::Matrix;
using form::MatrixView;

// Takes what fits.
class Taker {
 public:
  Taker(std::string kind, uint64_t side, uint64_t most)
      : out_{.kind = std::move(kind), .matrices = {}}, side_(side), left_(most) {}

  bool wants(form::Shape shape) const {
    return shape.rows % side_ == 0 && shape.cols % side_ == 0 && shape.size() > 0 &&
           shape.size() <= left_;
  }
  void take(Matrix m) {
    left_ -= m.shape.size();
    out_.matrices.push_back(std::move(m));
  }
  void take(Matrix m, const std::string& name) {
    take(std::move(m));
    out_.names.push_back(name);
  }
  Tensors done() { return std::move(out_); }

 private:
  Tensors out_;
  uint64_t side_, left_;
};

Matrix copied(MatrixView from) {
  Matrix m(from.shape);
  std::copy_n(from.data, from.shape.size(), m.values.data());
  return m;
}

// gradientsᵀ inputs.
Matrix at_weight(MatrixView inputs, MatrixView gradients) {
  Matrix m({gradients.shape.cols, inputs.shape.cols});
  for (uint64_t t = 0; t < inputs.shape.rows; ++t) {
    const auto x = inputs.row(t), g = gradients.row(t);
    for (uint64_t r = 0; r < g.size(); ++r) {
      const auto to = m.row(r);
      for (uint64_t c = 0; c < x.size(); ++c) to[c] += g[r] * x[c];
    }
  }
  return m;
}

// A row for each token, the heads of a layer side by side.
Matrix side_by_side(const kv::Arrays& arrays, const std::vector<float>& of, uint64_t first,
                    uint64_t heads) {
  Matrix m({arrays.tokens, heads * arrays.head_size});
  for (uint64_t h = 0; h < heads; ++h) {
    for (uint64_t t = 0; t < arrays.tokens; ++t) {
      const auto at = ((first + h) * arrays.tokens + t) * arrays.head_size;
      std::copy_n(of.data() + at, arrays.head_size, m.row(t).data() + h * arrays.head_size);
    }
  }
  return m;
}

}  // namespace

Tensors weights(uint64_t side) {
  const std::filesystem::path path = reference_model();
  const Bytes file = read_file(path);
  Taker taker("weights", side, UINT64_MAX);
  for (const io::TensorRegion& t : io::describe(file, path).layout.tensors) {
    const bool vocabulary = t.name.find("embed") != std::string::npos;
    if (t.shape.size() != 2 || t.dtype != DType::kBF16 || vocabulary) continue;
    if (!taker.wants({t.shape[0], t.shape[1]})) continue;
    Matrix m({t.shape[0], t.shape[1]});
    floats_from(ByteView(file).subspan(t.offset, t.size), t.dtype, false, m.values.data());
    taker.take(std::move(m), t.name);
  }
  return taker.done();
}

std::vector<Tensors> moved(const std::string& text, uint64_t tokens, uint64_t side, uint64_t most) {
  const model::LanguageModel model = model::load_model(reference_model().parent_path());
  std::vector<int32_t> ids = model::text_ids(model, text);
  if (ids.size() < tokens) fail(ErrorKind::kUsage, "the text has fewer than {} tokens", tokens);
  ids.resize(tokens);
  Taker activations("activations", side, most), cache("keys and values", side, most),
      gradients("gradients", side, most);
  model::Session session(model, tokens, 1);
  session.observe([&](auto, MatrixView inputs) {
    if (activations.wants(inputs.shape)) activations.take(copied(inputs));
  });
  session.feed(ids, model::Logits::kNone);
  const kv::Arrays arrays = session.keys_values(0, tokens);
  uint64_t first = 0;
  for (const uint64_t heads : arrays.heads) {
    const form::Shape shape{tokens, heads * arrays.head_size};
    for (const std::vector<float>* of : {&arrays.keys, &arrays.values}) {
      if (cache.wants(shape)) cache.take(side_by_side(arrays, *of, first, heads));
    }
    first += heads;
  }
  model::GradientPass pass(model, tokens, 1, model::next_token_loss());
  pass.run(ids, {.linear =
                     [&](auto, MatrixView inputs, MatrixView at_outputs) {
                       // Of the vocabulary few rows have any.
                       if (at_outputs.shape.cols != model.config().vocabulary &&
                           gradients.wants({at_outputs.shape.cols, inputs.shape.cols}))
                         gradients.take(at_weight(inputs, at_outputs));
                     },
                 .embedding = {}});
  return {activations.done(), cache.done(), gradients.done()};
}

}  // namespace pith::bench
