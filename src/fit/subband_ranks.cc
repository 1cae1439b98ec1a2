#include "pith/fit/subband_ranks.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "pith/base/error.h"
#include "pith/math/svd.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::Range;
using form::Value;

constexpr int kMostLevels = 16;

// Where the averages of the last level, then the details from the coarsest on, begin; and the end.
std::vector<uint64_t> band_bounds(uint64_t size, int levels) {
  std::vector<uint64_t> bounds = {size};
  for (int l = 0; l < levels && bounds.back() > 1; ++l) bounds.push_back((bounds.back() + 1) / 2);
  bounds.push_back(0);
  std::ranges::reverse(bounds);
  return bounds;
}

Matrix transformed(form::MatrixView m, const SubbandOptions& o) {
  Matrix out(m.shape);
  std::copy_n(m.data, m.shape.size(), out.values.begin());
  for (uint64_t r = 0; r < m.shape.rows; ++r)
    math::wavelet_forward(o.wavelet, o.levels, out.row(r).data(), m.shape.cols);
  std::vector<float> column(m.shape.rows);
  for (uint64_t c = 0; c < m.shape.cols; ++c) {
    for (uint64_t r = 0; r < m.shape.rows; ++r) column[r] = out.row(r)[c];
    math::wavelet_forward(o.wavelet, o.levels, column.data(), m.shape.rows);
    for (uint64_t r = 0; r < m.shape.rows; ++r) out.row(r)[c] = column[r];
  }
  return out;
}

struct Band {
  uint64_t top, bottom, left, right;
  uint64_t rank = 0;

  uint64_t rows() const { return bottom - top; }
  uint64_t cols() const { return right - left; }
  std::vector<float> singular_values(const Matrix& of) const {
    std::vector<float> part;
    for (uint64_t r = top; r < bottom; ++r) {
      const auto row = of.view().row(r).subspan(left, cols());
      part.insert(part.end(), row.begin(), row.end());
    }
    return math::truncated_svd(part.data(), rows(), cols(), std::min(rows(), cols())).s;
  }
};

std::vector<Band> bands_of(form::Shape shape, int levels) {
  const auto rows = band_bounds(shape.rows, levels), cols = band_bounds(shape.cols, levels);
  std::vector<Band> bands;
  for (size_t i = 0; i + 1 < rows.size(); ++i) {
    for (size_t j = 0; j + 1 < cols.size(); ++j)
      bands.push_back({rows[i], rows[i + 1], cols[j], cols[j + 1]});
  }
  return bands;
}

// The values of a band fall, so that those which are taken are always its first.
void share_out(std::vector<Band>& bands, const Matrix& coordinates, uint64_t numbers) {
  struct Direction {
    double gain;
    size_t band;
  };
  std::vector<Direction> all;
  for (size_t b = 0; b < bands.size(); ++b) {
    const auto price = static_cast<double>(bands[b].rows() + bands[b].cols());
    for (const float s : bands[b].singular_values(coordinates))
      all.push_back({static_cast<double>(s) * s / price, b});
  }
  std::ranges::stable_sort(all, std::ranges::greater(), &Direction::gain);
  for (const Direction& d : all) {
    Band& band = bands[d.band];
    const uint64_t price = band.rows() + band.cols();
    if (!(d.gain > 0) || price > numbers) continue;
    numbers -= price;
    ++band.rank;
  }
}

Range range(uint64_t begin, uint64_t end) {
  return {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
}

Expression part(const Band& b, const Expression& factors) {
  const Expression inside =
      b.rank == 0 ? Expression::call("zeros")
                  : Expression::call("lowrank", {{"", Value(b.rank)}, {"factors", Value(factors)}});
  return Expression::call("part", {{"", Value(inside)},
                                   {"rows", Value(range(b.top, b.bottom))},
                                   {"cols", Value(range(b.left, b.right))}});
}

}  // namespace

Expression subband_ranks(form::MatrixView matrix, uint64_t numbers, const SubbandOptions& options,
                         const Expression& factors) {
  if (options.levels < 0 || options.levels > kMostLevels) {
    fail(ErrorKind::kUsage, "subbands: 0 to {} levels, not {}", kMostLevels, options.levels);
  }
  const std::span values(matrix.data, matrix.shape.size());
  if (!std::ranges::all_of(values, [](float v) { return std::isfinite(v); }))
    fail(ErrorKind::kData, "subbands: a matrix with NaN or infinity");
  std::vector<Band> bands = bands_of(matrix.shape, options.levels);
  share_out(bands, transformed(matrix, options), numbers);
  if (bands.size() == 1) {
    return Expression::call("lowrank", {{"", Value(bands[0].rank)}, {"factors", Value(factors)}});
  }
  std::vector<form::Argument> parts;
  for (const Band& b : bands) parts.push_back({"", Value(part(b, factors))});
  constexpr std::array kNames = {"haar", "db4"};
  const Expression wavelet = Expression::call(
      "wavelet", {{"", Value(Expression::call(kNames[static_cast<size_t>(options.wavelet)]))},
                  {"levels", Value(options.levels)}});
  return Expression::product(
      {wavelet, Expression::basis(wavelet, Expression::call("tiles", std::move(parts)))});
}

}  // namespace pith::fit
