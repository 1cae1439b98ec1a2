#include "trellis.h"

#include <algorithm>
#include <array>
#include <bit>

#include "kinds.h"
#include "lattice.h"
#include "pith/form/arguments.h"
#include "scale_search.h"
#include "scales.h"
#include "trellis_code.h"
#include "trellis_search.h"

namespace pith::form {
namespace {

// Elements in a piece of the sample, and how many pieces.
constexpr uint64_t kPiece = 128, kPieces = 8;
// The least squared error for a normal variable is near 0.8.
constexpr std::array kFactors = {0.5, 0.65, 0.72, 0.78, 0.82, 0.86, 0.95, 1.1, 1.4};

uint64_t codes_size(const TrellisParameters& p, Shape shape) {
  return checked_mul(shape.rows, trellis_row_bytes(p, shape.cols));
}

TrellisParameters parameters_of(const Expression& call) {
  const Arguments args(call, {"bits", "states", "group", "scales"});
  TrellisParameters p;
  p.bits = static_cast<int>(args.integer("bits", 1, kMostTrellisBits, 2));
  const int least = p.bits + kLeastTrellisMemory;
  const int64_t states = args.integer("states", 1, int64_t{1} << kMostTrellisWindow, 4096);
  p.window = std::bit_width(static_cast<uint64_t>(states)) - 1;
  if (states != int64_t{1} << p.window || p.window < least)
    throw args.wrong(
        "states", fmt::format("a power of two from {} to {}", 1 << least, 1 << kMostTrellisWindow));
  p.scales = lattice_scales(args);
  return p;
}

double factor_of(const TrellisParameters& p, MatrixView matrix, TrellisSearch& search) {
  const ScaleSample sample = scale_sample(matrix, p.scales, kPiece, kPieces);
  std::array<uint16_t, kPiece> windows;
  return best_candidate(sample, kFactors, [&](const float* in, float* out, double factor) {
    const auto f = static_cast<float>(factor);
    for (uint64_t i = 0; i < kPiece; ++i) out[i] = in[i] / f;
    search(out, kPiece, windows.data());
    for (uint64_t i = 0; i < kPiece; ++i) out[i] = f * trellis_value(windows[i]);
  });
}

}  // namespace

uint64_t trellis_row_bytes(const TrellisParameters& p, uint64_t cols) {
  if (cols == 0) return 0;
  const uint64_t bits = checked_mul(cols, static_cast<uint64_t>(p.bits));
  return checked_add(bits, static_cast<uint64_t>(p.window - p.bits) + 7) / 8;
}

void put_windows(const TrellisParameters& p, std::span<const uint16_t> windows, uint8_t* codes) {
  uint64_t place = 0;
  const auto put = [&](uint32_t value, int bits) {
    for (int b = bits; b-- > 0; ++place)
      codes[place / 8] |= static_cast<uint8_t>((value >> b & 1) << (7 - place % 8));
  };
  for (uint64_t i = 0; i < windows.size(); ++i) {
    const int bits = i == 0 ? p.window : p.bits;
    put(windows[i] & ((uint32_t{1} << bits) - 1), bits);
  }
}

TrellisForm::TrellisForm(Shape shape, const TrellisParameters& parameters, Buffer scales,
                         Buffer codes)
    : TiledForm(shape),
      parameters_(parameters),
      scales_(shape, parameters.scales, std::move(scales)),
      codes_(std::move(codes)) {
  if (codes_.size() != codes_size(parameters_, shape))
    fail(ErrorKind::kData, "trellis: codes of the wrong size");
}

void TrellisForm::decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const {
  const TrellisRow codes{codes_.data() + row * trellis_row_bytes(parameters_, shape().cols),
                         codes_.data() + codes_.size(), parameters_.bits, parameters_.window};
  decode_trellis(codes, begin, n, out);
}

void TrellisForm::get_windows(uint64_t row, uint16_t* windows) const {
  const uint8_t* codes = codes_.data() + row * trellis_row_bytes(parameters_, shape().cols);
  uint64_t place = 0;
  uint32_t window = 0;
  const auto get = [&](int bits) {
    for (int b = 0; b < bits; ++b, ++place) {
      window = window << 1 | (codes[place / 8] >> (7 - place % 8) & 1);
    }
  };
  for (uint64_t i = 0; i < shape().cols; ++i) {
    get(i == 0 ? parameters_.window : parameters_.bits);
    windows[i] = static_cast<uint16_t>(window & ((uint32_t{1} << parameters_.window) - 1));
  }
}

Expression TrellisForm::expression() const {
  std::vector<Argument> args = {{"", parameters_.bits}};
  args.push_back({"states", int64_t{1} << parameters_.window});
  parameters_.scales.add_to(args, kLatticeScales);
  return Expression::call("trellis", std::move(args));
}

void TrellisForm::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(parameters_.bits));
  to.varint(static_cast<uint64_t>(parameters_.window));
  parameters_.scales.write(to);
  scales_.write(to);
  to.array(codes_.bytes);
}

FormPtr TrellisForm::read(Shape shape, BodyReader& in) {
  TrellisParameters p;
  p.bits = static_cast<int>(in.varint(1, kMostTrellisBits, "bits"));
  p.window = static_cast<int>(in.varint(static_cast<uint64_t>(p.bits + kLeastTrellisMemory),
                                        kMostTrellisWindow, "bits of a window"));
  p.scales = read_lattice_scales(in);
  Buffer scales = in.array(checked_mul(p.scales.count(shape), scale_bytes(p.scales.type)));
  Buffer codes = in.array(codes_size(p, shape));
  return std::make_shared<TrellisForm>(shape, p, std::move(scales), std::move(codes));
}

FormPtr TrellisForm::encode(const Expression& call, MatrixView matrix) {
  const TrellisParameters p = parameters_of(call);
  require_finite(matrix, "trellis");
  const Shape shape = matrix.shape;
  const uint64_t bytes = trellis_row_bytes(p, shape.cols);
  TrellisSearch search(p.bits, p.window);
  ScaleFit scales(matrix, p.scales, factor_of(p, matrix, search));
  Bytes codes(codes_size(p, shape));
  std::vector<float> row(shape.cols);
  std::vector<uint16_t> windows(shape.cols);
  for (uint64_t r = 0; r < shape.rows && shape.cols > 0; ++r) {
    scales.normalized(r, row.data());
    search(row.data(), shape.cols, windows.data());
    put_windows(p, windows, codes.data() + r * bytes);
    for (uint64_t c = 0; c < shape.cols; ++c) row[c] = trellis_value(windows[c]);
    scales.add(r, row.data());
  }
  scales.finish();
  return std::make_shared<TrellisForm>(shape, p, scales.stored(), Buffer(std::move(codes)));
}

}  // namespace pith::form
