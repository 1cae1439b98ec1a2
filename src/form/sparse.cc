#include "sparse.h"

#include <algorithm>
#include <cmath>

#include "kinds.h"
#include "pith/base/half.h"
#include "pith/form/arguments.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr uint64_t kMostGap = 0xFFFF;

uint64_t begin_of(const Buffer& begins, uint64_t row) {
  return load_le<uint64_t>(begins.data() + 8 * row);
}

SparsePattern pattern_of(const Expression& call) {
  const Arguments args(call, {"share"});
  const Value* value = args.find("share");
  if (value && value->get_if<Ratio>()) {
    const Ratio r = args.ratio("share");
    if (r.n > r.m) throw args.wrong("share", "n:m with n up to m");
    return {0, static_cast<uint64_t>(r.n), static_cast<uint64_t>(r.m)};
  }
  return {args.fraction("share"), 0, 0};
}

// Whether each element is among the largest; ties go to the earlier one.
std::vector<bool> chosen(MatrixView matrix, const SparsePattern& p) {
  const uint64_t cols = matrix.shape.cols;
  std::vector<bool> keep(matrix.shape.size());
  const auto keep_largest = [&](std::vector<uint64_t>& places, uint64_t n) {
    const auto larger = [&](uint64_t a, uint64_t b) {
      const float x = std::fabs(matrix.data[a]), y = std::fabs(matrix.data[b]);
      return x != y ? x > y : a < b;
    };
    n = std::min<uint64_t>(n, places.size());
    if (n < places.size())
      std::ranges::nth_element(places, places.begin() + static_cast<int64_t>(n), larger);
    for (uint64_t i = 0; i < n; ++i) keep[places[i]] = true;
  };
  std::vector<uint64_t> places;
  if (p.m == 0) {
    for (uint64_t i = 0; i < keep.size(); ++i) places.push_back(i);
    keep_largest(places,
                 static_cast<uint64_t>(std::llround(p.share * static_cast<double>(keep.size()))));
    return keep;
  }
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    for (uint64_t at = 0; at < cols; at += p.m) {
      places.clear();
      for (uint64_t c = at; c < std::min(at + p.m, cols); ++c) places.push_back(r * cols + c);
      keep_largest(places, p.n);
    }
  }
  return keep;
}

}  // namespace

SparseForm::SparseForm(Shape shape, SparsePattern pattern, Buffer begins, Buffer gaps,
                       Buffer values)
    : Form(shape),
      pattern_(pattern),
      begins_(std::move(begins)),
      gaps_(std::move(gaps)),
      values_(std::move(values)) {
  const auto check = [](bool good) {
    if (!good) fail(ErrorKind::kData, "sparse: rows, columns and values that do not agree");
  };
  const uint64_t n = gaps_.size() / 2;
  check(begins_.size() == 8 * (shape.rows + 1) && gaps_.size() == 2 * n && values_.size() == 2 * n);
  check(begin_of(begins_, 0) == 0 && begin_of(begins_, shape.rows) == n);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    check(begin_of(begins_, r) <= begin_of(begins_, r + 1) && begin_of(begins_, r + 1) <= n);
    uint64_t column = 0;
    for (uint64_t i = begin_of(begins_, r); i < begin_of(begins_, r + 1); ++i) {
      column += load_le<uint16_t>(gaps_.data() + 2 * i);
    }
    check(begin_of(begins_, r) == begin_of(begins_, r + 1) || column < shape.cols);
  }
}

template <class Function>
void SparseForm::for_each(uint64_t row, Function&& f) const {
  uint64_t column = 0;
  for (uint64_t i = begin_of(begins_, row), end = begin_of(begins_, row + 1); i < end; ++i) {
    column += load_le<uint16_t>(gaps_.data() + 2 * i);
    f(column, float_from_f16(load_le<uint16_t>(values_.data() + 2 * i)));
  }
}

Expression SparseForm::expression() const {
  if (pattern_.m > 0) {
    return Expression::call(
        "sparse",
        {{"", Ratio{static_cast<int64_t>(pattern_.n), static_cast<int64_t>(pattern_.m)}}});
  }
  return Expression::call("sparse", {{"", pattern_.share}});
}

void SparseForm::decode(uint64_t first, uint64_t last, float* out) const {
  std::fill_n(out, (last - first) * shape().cols, 0.0f);
  for (uint64_t r = first; r < last; ++r) {
    float* row = out + (r - first) * shape().cols;
    for_each(r, [&](uint64_t column, float v) { row[column] += v; });
  }
}

void SparseForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                          uint64_t stride) const {
  for (uint64_t b = 0; b < x.batch(); ++b) {
    const float* input = x.vectors().row(b).data();
    for (uint64_t r = first; r < last; ++r) {
      float sum = 0;
      for_each(r, [&](uint64_t column, float v) { sum += v * input[column]; });
      out[b * stride + r - first] = sum;
    }
  }
}

void SparseForm::write_body(BodyWriter& to) const {
  to.varint(std::bit_cast<uint64_t>(pattern_.share));
  to.varint(pattern_.n);
  to.varint(pattern_.m);
  to.varint(gaps_.size() / 2);
  to.array(begins_.bytes);
  to.array(gaps_.bytes);
  to.array(values_.bytes);
}

FormPtr SparseForm::read(Shape shape, BodyReader& in) {
  SparsePattern p;
  p.share = std::bit_cast<double>(in.varint());
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  p.n = in.varint(0, kMost, "n");
  p.m = in.varint(0, kMost, "m");
  if (!(p.share >= 0 && p.share <= 1) || p.n > p.m || (p.m > 0 && p.n == 0))
    in.bad("a pattern that cannot be");
  const uint64_t n = in.varint(0, shape.size() + shape.size() / kMostGap, "elements");
  Buffer begins = in.array(8 * (shape.rows + 1)), gaps = in.array(2 * n), values = in.array(2 * n);
  return std::make_shared<SparseForm>(shape, p, std::move(begins), std::move(gaps),
                                      std::move(values));
}

FormPtr SparseForm::encode(const Expression& call, MatrixView matrix) {
  const SparsePattern pattern = pattern_of(call);
  require_finite(matrix, "sparse");
  const std::vector<bool> keep = chosen(matrix, pattern);
  Bytes begins, gaps, values;
  ByteWriter b(begins), g(gaps), v(values);
  b.u64(0);
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    uint64_t last = 0;
    for (uint64_t c = 0; c < matrix.shape.cols; ++c) {
      const float w = matrix.row(r)[c];
      if (!keep[r * matrix.shape.cols + c] || w == 0) continue;
      for (; c - last > kMostGap; last += kMostGap) {
        g.u16(kMostGap);
        v.u16(0);
      }
      g.u16(static_cast<uint16_t>(c - last));
      v.u16(f16_from_float(std::clamp(w, -65504.0f, 65504.0f)));
      last = c;
    }
    b.u64(gaps.size() / 2);
  }
  return std::make_shared<SparseForm>(matrix.shape, pattern, Buffer(std::move(begins)),
                                      Buffer(std::move(gaps)), Buffer(std::move(values)));
}

}  // namespace pith::form
