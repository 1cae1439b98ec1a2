#include "pith/form/form.h"

#include <algorithm>
#include <cmath>

#include "float_product.h"
#include "float_rows.h"
#include "kinds.h"
#include "pith/base/parallel.h"
#include "quantized_vectors.h"
#include "ref.h"
#include "storage.h"
#include "uneven_rows.h"

namespace pith::form {
namespace {

// Rows that a thread takes at a time: multiples of the first, so that kernels see whole tiles.
constexpr uint64_t kThreadRows = 64, kMostThreadRows = 1024;

uint64_t round_up(uint64_t n, uint64_t to) { return std::max<uint64_t>(1, (n + to - 1) / to) * to; }

// Rows that are multiplied at a time: as many in each run, or as much work.
class Runs {
 public:
  Runs(const Form& form, uint64_t step)
      : form_(form), uneven_(dynamic_cast<const UnevenRows*>(&form)), step_(step) {}

  uint64_t count() const { return (form_.shape().rows + step_ - 1) / step_; }
  uint64_t begin(const Activations& x, uint64_t run) const {
    if (uneven_) return uneven_->part_begin(x, run, count());
    return std::min(run * step_, form_.shape().rows);
  }

 private:
  const Form& form_;
  const UnevenRows* uneven_;
  uint64_t step_;
};

}  // namespace

Shape checked_shape(uint64_t rows, uint64_t cols) {
  if (checked_mul(checked_mul(rows, cols), sizeof(float)) > uint64_t{1} << 47) {
    fail(ErrorKind::kData, "a matrix of {} x {} floats", rows, cols);
  }
  return {rows, cols};
}

void Form::prepare(Activations&) const {}

void Form::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                    uint64_t stride) const {
  const uint64_t cols = shape().cols, tile = tile_rows(cols, x.batch());
  const auto rows = std::make_unique_for_overwrite<float[]>(tile * cols);
  for (uint64_t r = first; r < last; r += tile) {
    const uint64_t n = std::min(tile, last - r);
    decode(r, r + n, rows.get());
    multiply_floats({DType::kF32, reinterpret_cast<const uint8_t*>(rows.get()), n, cols},
                    x.vectors(), out + (r - first), stride);
  }
}

void Form::add_rows(const RowSums& sums) const {
  const auto [all, cols] = shape();
  const uint64_t tile = tile_rows(cols, sums.batch);
  const auto rows = std::make_unique_for_overwrite<float[]>(tile * cols);
  for (uint64_t r = 0; r < all && cols > 0; r += tile) {
    const uint64_t n = std::min(tile, all - r);
    decode(r, r + n, rows.get());
    add_float_rows({DType::kF32, reinterpret_cast<const uint8_t*>(rows.get()), n, cols},
                   sums.from_row(r));
  }
}

Activations& Activations::derive(const Form& form, const std::function<Matrix(MatrixView)>& make) {
  std::unique_ptr<Activations>& there = derived_[&form];
  if (!there) {
    Matrix made = make(vectors_);
    there = std::make_unique<Activations>(MatrixView{});
    there->own_ = std::move(made);
    there->vectors_ = there->own_.view();
  }
  return *there;
}

const Activations& Activations::derived(const Form& form) const { return *derived_.at(&form); }

void Activations::quantize() {
  if (!quantized_)
    quantized_ = std::make_shared<const QuantizedVectors>(quantize_vectors(vectors_));
}

void apply(const Form& form, MatrixView x, Matrix& y, int threads) {
  const Form* const forms[] = {&form};
  Matrix* const ys[] = {&y};
  apply(forms, x, ys, threads);
}

namespace {

// The products of at most kMostBatch vectors; out[i] gets those of forms[i], a row for each vector.
void apply_tile(std::span<const Form* const> forms, MatrixView x, std::span<float* const> out,
                int threads) {
  Activations activations(x);
  uint64_t rows = 0;
  for (const Form* f : forms) {
    if (f->shape().rows > 0) f->prepare(activations);
    rows += f->shape().rows;
  }
  // Runs of rows, the forms one after the other.
  const uint64_t step =
      threads > 1 ? std::min(kMostThreadRows,
                             round_up(rows / (8 * static_cast<uint64_t>(threads)), kThreadRows))
                  : kMostThreadRows;
  std::vector<Runs> runs;
  uint64_t count = 0;
  for (const Form* f : forms) count += runs.emplace_back(*f, step).count();
  parallel_for(threads, count, [&](size_t run) {
    size_t i = 0;
    for (; run >= runs[i].count(); ++i) run -= runs[i].count();
    const uint64_t first = runs[i].begin(activations, run),
                   last = runs[i].begin(activations, run + 1);
    if (first == last) return;
    forms[i]->multiply(activations, first, last, out[i] + first, forms[i]->shape().rows);
  });
}

}  // namespace

void apply(std::span<const Form* const> forms, MatrixView x, std::span<Matrix* const> ys,
           int threads) {
  for (size_t i = 0; i < forms.size(); ++i) {
    const Shape shape = forms[i]->shape();
    if (x.shape.cols != shape.cols) {
      fail(ErrorKind::kUsage, "vectors of {} elements for a form of {} columns", x.shape.cols,
           shape.cols);
    }
    ys[i]->shape = {x.shape.rows, shape.rows};
    ys[i]->values.resize(ys[i]->shape.size());
  }
  std::vector<float*> out(forms.size());
  for (uint64_t at = 0; at < x.shape.rows; at += kMostBatch) {
    const uint64_t n = std::min(kMostBatch, x.shape.rows - at);
    for (size_t i = 0; i < forms.size(); ++i) {
      out[i] = ys[i]->values.data() + at * ys[i]->shape.cols;
    }
    apply_tile(forms, {x.data + at * x.shape.cols, {n, x.shape.cols}}, out, threads);
  }
}

Matrix decode(const Form& form) {
  Matrix m(checked_shape(form.shape().rows, form.shape().cols));
  form.decode(0, form.shape().rows, m.values.data());
  return m;
}

Bytes write(const Form& form) {
  Bytes out;
  BodyWriter to(&out);
  to.form(form);
  return out;
}

uint64_t bits(const Form& form) {
  BodyWriter counter(nullptr);
  counter.form(form);
  return 8 * counter.size();
}

FormPtr read(ByteView bytes, std::shared_ptr<const void> owner, const Resolver& resolver) {
  const ResolverScope scope(resolver);
  BodyReader in(bytes, std::move(owner));
  FormPtr form = in.form();
  in.expect_end();
  return form;
}

FormPtr encode(const Expression& expression, MatrixView matrix, const Resolver& resolver) {
  const ResolverScope scope(resolver);
  return encode(expression, matrix);
}

void require_finite(MatrixView matrix, std::string_view form) {
  const float* end = matrix.data + matrix.shape.size();
  const float* bad = std::find_if_not(matrix.data, end, [](float v) { return std::isfinite(v); });
  if (bad == end) return;
  const auto at = static_cast<uint64_t>(bad - matrix.data);
  fail(ErrorKind::kData, "{} cannot hold {} (row {}, column {})", form, *bad,
       at / matrix.shape.cols, at % matrix.shape.cols);
}

}  // namespace pith::form
