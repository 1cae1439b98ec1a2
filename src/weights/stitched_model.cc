#include "stitched_model.h"

#include <algorithm>

#include "linears.h"
#include "logit_divergence.h"
#include "pith/base/parallel.h"

namespace pith::weights {
namespace {

using form::FormPtr;
using form::Matrix;
using form::MatrixView;

// Floats are multiplied faster than codes are decoded for every few tokens. So many bytes of them
// are kept; what is beyond is decoded each time.
constexpr uint64_t kMostFloats = 1ull << 30;
// Rows of logits at a time.
constexpr uint64_t kRows = 256;

}  // namespace

StitchedModel::StitchedModel(const model::LanguageModel& model, const CalibrationText& text,
                             int threads)
    : model_(model),
      text_(text),
      threads_(thread_count(threads)),
      runner_(model.config(), text.length, threads_),
      last_(text.count()) {}

FormPtr StitchedModel::in_floats(const FormPtr& form) {
  const auto found = floats_.find(form.get());
  if (found != floats_.end()) return found->second;
  FormPtr floats = form::encode(form::parse("dense(f32)"), form::decode(*form).view());
  const uint64_t bytes = 4 * form->shape().size();
  if (float_bytes_ + bytes > kMostFloats) return floats;
  float_bytes_ += bytes;
  return floats_.emplace(form.get(), std::move(floats)).first->second;
}

model::DecoderLayer StitchedModel::layer(size_t index, const StitchedForms& forms) {
  model::DecoderLayer layer = model_.weights().layers[index];
  for (model::Linear* l : linears(layer)) {
    const FormPtr other = forms ? forms(l->name) : nullptr;
    l->weight = in_floats(other ? other : l->weight);
  }
  return layer;
}

std::vector<int32_t> StitchedModel::ids(uint64_t first, uint64_t windows) const {
  std::vector<int32_t> out;
  for (uint64_t w = first; w < first + windows; ++w) {
    const auto begin =
        text_.windows.begin() + static_cast<std::ptrdiff_t>(w % text_.count() * text_.length);
    out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(text_.length));
  }
  return out;
}

const Matrix& StitchedModel::last_stream(uint64_t window) {
  Matrix& stream = last_[window];
  if (stream.values.empty()) {
    stream = model::embed(*model_.weights().embedding, ids(window, 1));
    for (size_t l = 0; l < model_.weights().layers.size(); ++l) {
      runner_.run(layer(l, {}), static_cast<uint32_t>(l), stream);
    }
  }
  return stream;
}

double StitchedModel::divergence(const StitchedForms& forms, uint64_t first, uint64_t windows) {
  const model::DecoderWeights& w = model_.weights();
  const auto form_of = [&](std::string_view name, const FormPtr& own) {
    const FormPtr other = forms(name);
    return in_floats(other ? other : own);
  };
  Matrix stream =
      model::embed(*form_of("model.embed_tokens.weight", w.embedding), ids(first, windows));
  for (size_t l = 0; l < w.layers.size(); ++l) {
    runner_.run(layer(l, forms), static_cast<uint32_t>(l), stream);
  }
  model::Linear head = w.head, own_head = w.head;
  head.weight = form_of(w.head.name, w.head.weight);
  own_head.weight = in_floats(w.head.weight);
  double sum = 0;
  Matrix was, is;
  std::vector<double> of_rows;
  for (uint64_t at = 0; at < windows; ++at) {
    const Matrix& before = last_stream((first + at) % text_.count());
    for (uint64_t row = 0; row < text_.length; row += kRows) {
      const form::Shape shape = {std::min(kRows, text_.length - row), stream.shape.cols};
      runner_.head(w.norm, own_head, {before.view().row(row).data(), shape}, was);
      runner_.head(w.norm, head, {stream.view().row(at * text_.length + row).data(), shape}, is);
      of_rows.assign(shape.rows, 0);
      parallel_for(threads_, shape.rows, [&](size_t r) {
        of_rows[r] = logit_divergence(was.view().row(r), is.view().row(r));
      });
      for (const double d : of_rows) sum += d;
    }
  }
  return sum / static_cast<double>(windows * text_.length);
}

const Matrix& StitchedModel::stream_before(size_t layer_index, uint64_t windows) {
  const model::DecoderWeights& w = model_.weights();
  if (before_.empty() || before_[0].shape.rows < windows * text_.length) {
    before_.clear();
    before_.push_back(model::embed(*w.embedding, ids(0, windows)));
    for (size_t l = 0; l < w.layers.size(); ++l) {
      Matrix next = before_.back();
      runner_.run(layer(l, {}), static_cast<uint32_t>(l), next);
      before_.push_back(std::move(next));
    }
  }
  return before_[layer_index];
}

double StitchedModel::stream_error(const StitchedForms& forms, size_t first, size_t last,
                                   uint64_t windows) {
  const uint64_t rows = windows * text_.length;
  const Matrix& in = stream_before(first, windows);
  Matrix stream({rows, in.shape.cols});
  std::copy_n(in.values.begin(), stream.values.size(), stream.values.begin());
  for (size_t l = first; l < last; ++l) {
    runner_.run(layer(l, forms), static_cast<uint32_t>(l), stream);
  }
  const Matrix& was = stream_before(last, windows);
  double errors = 0, squares = 0;
  for (size_t i = 0; i < stream.values.size(); ++i) {
    const double off = double{stream.values[i]} - was.values[i];
    errors += off * off;
    squares += double{was.values[i]} * was.values[i];
  }
  return squares > 0 ? errors / squares : 0;
}

}  // namespace pith::weights
