// Gemm and MatMul: by constant matrices, which may be forms, and of two values.
#include <algorithm>

#include "broadcast.h"
#include "operation.h"
#include "pith/math/matrix_product.h"

namespace pith::network {
namespace {

// Of a constant with a row for each output, or for each input.
size_t add_layer(const Making& m, size_t input, bool rows_are_outputs) {
  const Tensor& w = *m.constant(input);
  const uint64_t rows = rows_are_outputs ? w.dim(0) : w.dim(1);
  const uint64_t cols = rows_are_outputs ? w.dim(1) : w.dim(0);
  form::Matrix matrix({rows, cols});
  const std::span<const float> from = w.floats();
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      matrix.values[r * cols + c] = rows_are_outputs ? from[r * cols + c] : from[c * rows + r];
    }
  }
  m.layers.push_back({m.node.inputs[input],
                      m.node.name,
                      form::encode(form::parse("dense(f32)"), matrix.view()),
                      1,
                      {},
                      {},
                      !rows_are_outputs});
  return m.layers.size() - 1;
}

// x W^T for the vectors in the last dimension of x.
Tensor by_layer(const Tensor& x, size_t number, const Step& s) {
  const Layer& layer = s.layers[number];
  const form::Shape shape = layer.weight->shape();
  if (x.rank() == 0 || x.dims().back() != shape.cols) {
    fail(ErrorKind::kData, "vectors of {} elements, where its weight has {} inputs",
         x.rank() == 0 ? 0 : x.dims().back(), shape.cols);
  }
  Dims dims = x.dims();
  dims.back() = shape.rows;
  elements(dims);
  const form::MatrixView vectors{x.floats().data(),
                                 {shape.cols == 0 ? 0 : x.size() / shape.cols, shape.cols}};
  if (s.options.inputs) s.options.inputs(number, vectors);
  form::Matrix y;
  form::apply(*layer.weight, vectors, y, s.options.threads);
  return {std::move(dims), std::move(y.values)};
}

// The product of the last two dimensions for every index of the others, which are broadcast.
Tensor product(const Tensor& a, const Tensor& b, int threads) {
  if (a.rank() < 2 || b.rank() < 2) fail(ErrorKind::kData, "products of vectors are not supported");
  const uint64_t n = a.dim(a.rank() - 2), k = a.dims().back(), m = b.dims().back();
  if (b.dim(b.rank() - 2) != k)
    fail(ErrorKind::kData, "{} columns times {} rows", k, b.dim(b.rank() - 2));
  // Batches are paired like elements, with one more dimension so that runs have one element.
  const auto batch = [](const Tensor& t) {
    Dims d(t.dims().begin(), t.dims().end() - 2);
    d.push_back(1);
    return d;
  };
  const Pairing p(batch(a), batch(b));
  Dims dims(p.dims.begin(), p.dims.end() - 1);
  dims.insert(dims.end(), {n, m});
  std::vector<float> y(elements(dims));
  p.for_rows([&](uint64_t at_a, uint64_t at_b, uint64_t at) {
    math::matrix_product(math::row_major(a.floats().data() + at_a * n * k, n, k),
                         math::row_major(b.floats().data() + at_b * k * m, k, m),
                         y.data() + at * n * m, m, math::ProductInto::kReplace, threads);
  });
  return {std::move(dims), std::move(y)};
}

Operation make_matmul(const Making& m) {
  const Tensor* w = m.constant(1);
  if (w && w->is_float() && w->rank() == 2 && !m.constant(0)) {
    return [layer = add_layer(m, 1, false)](const Step& s) {
      return std::vector{by_layer(s.in(0), layer, s)};
    };
  }
  return [](const Step& s) { return std::vector{product(s.in(0), s.in(1), s.options.threads)}; };
}

Tensor turned(const Tensor& x) {
  const uint64_t rows = x.dim(0), cols = x.dim(1);
  std::vector<float> y(x.size());
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) y[c * rows + r] = x.floats()[r * cols + c];
  }
  return {{cols, rows}, std::move(y)};
}

// alpha y + beta c
Tensor with_bias(const Tensor& y, float alpha, float beta, const Tensor* c) {
  std::vector<float> out(y.floats().begin(), y.floats().end());
  if (alpha != 1) std::ranges::for_each(out, [&](float& v) { v *= alpha; });
  const Tensor scaled(y.dims(), std::move(out));
  if (!c) return scaled;
  const Pairing p(y.dims(), c->dims());
  if (p.dims != y.dims()) fail(ErrorKind::kData, "a bias that is larger than the product");
  return {p.dims, paired<float>(p, scaled.floats(), c->floats(),
                                [beta](float a, float b) { return a + beta * b; })};
}

Operation make_gemm(const Making& m) {
  const float alpha = m.attributes.number("alpha", 1), beta = m.attributes.number("beta", 1);
  const bool turn_a = m.attributes.flag("transA", false),
             turn_b = m.attributes.flag("transB", false);
  const Tensor* w = m.constant(1);
  std::optional<size_t> layer;
  if (w) {
    if (w->rank() != 2) fail(ErrorKind::kUsage, "its weight is no matrix");
    layer = add_layer(m, 1, turn_b);
  }
  return [=](const Step& s) {
    if (s.in(0).rank() != 2 || s.in(1).rank() != 2)
      fail(ErrorKind::kData, "its inputs are no matrices");
    const Tensor a = turn_a ? turned(s.in(0)) : s.in(0);
    const Tensor y = layer ? by_layer(a, *layer, s)
                           : product(a, turn_b ? turned(s.in(1)) : s.in(1), s.options.threads);
    return std::vector{with_bias(y, alpha, beta, s.has(2) ? &s.in(2) : nullptr)};
  };
}

}  // namespace

void add_products(OperatorTable& table) {
  table["MatMul"] = make_matmul;
  table["Gemm"] = make_gemm;
}

}  // namespace pith::network
