#include "pith/weights/tuned_codes.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "held_out.h"
#include "linears.h"
#include "logit_divergence.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/vector_fit.h"
#include "pith/math/matrix_product.h"
#include "pith/model/gradient.h"
#include "pith/model/layer_runner.h"

namespace pith::weights {
namespace {

using form::FormPtr;
using form::Matrix;
using form::MatrixView;

math::StridedMatrix ref(MatrixView m) {
  return math::row_major(m.data, m.shape.rows, m.shape.cols);
}

// The model as it was: its residual streams behind the last layer, and logits of some rows.
class Teacher {
 public:
  Teacher(const model::LanguageModel& model, const CalibrationText& text, int threads)
      : model_(model), length_(text.length), runner_(model.config(), text.length, threads) {
    stream_ = model::embed(*model.weights().embedding, text.windows);
    for (uint32_t l = 0; l < model.config().layers; ++l) {
      runner_.run(model.weights().layers[l], l, stream_);
    }
  }

  // The sum of divergences of logits for rows of these windows, from the row `first` on; they
  // become the gradients at them.
  double divergence(std::span<const uint64_t> windows, uint64_t first, Matrix& logits,
                    int threads) {
    const uint64_t rows = logits.shape.rows, width = stream_.shape.cols;
    Matrix wanted({rows, width});
    for (uint64_t r = 0; r < rows; ++r) {
      const uint64_t row = windows[(first + r) / length_] * length_ + (first + r) % length_;
      std::copy_n(stream_.view().row(row).data(), width, wanted.row(r).data());
    }
    const model::DecoderWeights& w = model_.weights();
    runner_.head(w.norm, w.head, wanted.view(), logits_);
    std::vector<double> of_rows(rows);
    parallel_for(threads, rows, [&](size_t r) {
      const std::span<const float> was = logits_.view().row(r);
      const std::span<float> is = logits.row(r);
      of_rows[r] = logit_divergence(was, is);
      const double all_was = log_sum(was), all_is = log_sum(is);
      for (size_t i = 0; i < is.size(); ++i) {
        is[i] = std::exp(static_cast<float>(is[i] - all_is)) -
                std::exp(static_cast<float>(was[i] - all_was));
      }
    });
    double sum = 0;
    for (const double d : of_rows) sum += d;
    return sum;
  }

 private:
  const model::LanguageModel& model_;
  uint64_t length_;
  model::LayerRunner runner_;
  Matrix stream_, logits_;
};

struct Tuned {
  fit::CodeSteps steps;
  Matrix gradient;
};
using TunedByName = std::map<std::string, Tuned, std::less<>>;

TunedByName tuned_of(const Refining& r, const TuningOptions& options) {
  TunedByName out;
  fit::CodeStepOptions codes = options.codes;
  codes.threads = r.threads;
  for (const model::DecoderLayer& layer : r.model.weights().layers) {
    for (const model::Linear* l : linears(layer)) {
      const auto found = r.forms.find(l->name);
      if (found == r.forms.end()) continue;
      if (!form::VectorFit::fits(found->second->expression())) continue;
      out.emplace(l->name,
                  Tuned{fit::CodeSteps(found->second, codes), Matrix(found->second->shape())});
    }
  }
  if (out.empty()) fail(ErrorKind::kUsage, "no matrix has codes of vectors that can be tuned");
  return out;
}

class Student {
 public:
  Student(const Refining& r, TunedByName& tuned) : refining_(r), tuned_(tuned) { forms_ = r.forms; }

  // Of the mean divergence of a token.
  void make_gradients(Teacher& teacher, std::span<const uint64_t> windows) {
    const int threads = thread_count(refining_.threads);
    const uint64_t length = refining_.text.length;
    for (auto& [name, t] : tuned_) {
      forms_[name] = form::encode(form::parse("dense(f32)"), t.steps.values());
      std::ranges::fill(t.gradient.values, 0.0F);
    }
    const model::GradientObserver observer = {
        .linear =
            [&](std::string_view tensor, MatrixView inputs, MatrixView gradients) {
              const auto found = tuned_.find(tensor);
              if (found == tuned_.end()) return;
              Matrix& g = found->second.gradient;
              math::matrix_product(ref(gradients).transposed(), ref(inputs), g.values.data(),
                                   g.shape.cols, math::ProductInto::kAdd, threads);
            },
        .embedding = {}};
    const model::LanguageModel student = with_weights(refining_.model, forms_);
    model::GradientPass pass(student, length, threads,
                             [&](const model::LossRows& rows, Matrix& logits) {
                               return teacher.divergence(windows, rows.first, logits, threads);
                             });
    std::vector<int32_t> ids;
    for (const uint64_t w : windows) {
      const auto begin = refining_.text.windows.begin() + static_cast<std::ptrdiff_t>(w * length);
      ids.insert(ids.end(), begin, begin + static_cast<std::ptrdiff_t>(length));
    }
    const auto tokens = static_cast<float>(ids.size());
    pass.run(ids, observer);
    for (auto& [name, t] : tuned_) {
      for (float& v : t.gradient.values) v /= tokens;
    }
  }

 private:
  const Refining& refining_;
  TunedByName& tuned_;
  FormsByName forms_;
};

}  // namespace

FormsByName tune_codes(const Refining& refining, const TuningOptions& options) {
  const CalibrationText& text = refining.text;
  if (text.count() == 0) fail(ErrorKind::kUsage, "codes are tuned on a text, and there is none");
  TunedByName tuned = tuned_of(refining, options);
  Teacher teacher(refining.model, text, thread_count(refining.threads));
  Student student(refining, tuned);
  const uint64_t each = std::max<uint64_t>(1, options.tokens / text.length);
  std::vector<uint64_t> windows(std::min(each, text.count()));
  uint64_t next = 0;
  for (uint64_t step = 0; step < options.steps; ++step) {
    report(refining.progress, step, options.steps);
    for (uint64_t& w : windows) w = next++ % text.count();
    student.make_gradients(teacher, windows);
    const double part = static_cast<double>(step) / static_cast<double>(options.steps);
    const double rate = (1 + std::cos(std::numbers::pi * part)) / 2;
    for (auto& [name, t] : tuned) {
      try {
        t.steps.take(t.gradient.view(), rate);
      } catch (const Error& e) {
        throw e.in(name);
      }
    }
  }
  FormsByName out;
  for (const auto& [name, t] : tuned) out[name] = t.steps.form();
  return out;
}

}  // namespace pith::weights
