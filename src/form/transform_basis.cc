#include "transform_basis.h"

#include <array>

#include "pith/form/arguments.h"
#include "storage.h"

namespace pith::form {
namespace {

// Of larger ones the tables would take more than the matrices around them.
constexpr uint64_t kMostDct = 1 << 20;
constexpr int kMostLevels = 64;
constexpr std::array<std::string_view, 2> kWavelets = {"haar", "db4"};

}  // namespace

Expression DctBasis::expression() const {
  if (block_ == 0) return Expression::call("dct");
  return Expression::call("dct", {{"block", Value(block_)}});
}

void DctBasis::write_body(BodyWriter& to) const { to.varint(block_); }

void DctBasis::plan() const {
  std::call_once(once_, [&] {
    if (length() > 0) dct_ = std::make_unique<const math::Dct>(length());
    if (length() > 0 && size() % length() != 0)
      last_ = std::make_unique<const math::Dct>(size() % length());
  });
}

void DctBasis::forward(float* x) const {
  plan();
  uint64_t at = 0;
  for (; dct_ && at + length() <= size(); at += length()) dct_->forward(x + at);
  if (last_) last_->forward(x + at);
}

void DctBasis::back(float* row) const {
  plan();
  uint64_t at = 0;
  for (; dct_ && at + length() <= size(); at += length()) dct_->inverse(row + at);
  if (last_) last_->inverse(row + at);
}

BasisPtr DctBasis::read(uint64_t size, BodyReader& in) {
  const uint64_t block = in.varint(0, kMostDct, "block");
  if (block == 0 && size > kMostDct) in.bad("a dct of too many columns");
  return std::make_shared<DctBasis>(size, block);
}

BasisPtr DctBasis::make(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"block"});
  const int64_t block = args.integer("block", 1, kMostDct, 0);
  if (block == 0 && matrix.shape.cols > kMostDct) {
    throw call.place().error(
        ErrorKind::kUsage,
        fmt::format("dct: {} columns are too many at once, say block=…", matrix.shape.cols));
  }
  return std::make_shared<DctBasis>(matrix.shape.cols, static_cast<uint64_t>(block));
}

Expression WaveletBasis::expression() const {
  std::vector<Argument> args = {
      {"", Value(Expression::call(std::string(kWavelets[static_cast<size_t>(wavelet_)])))}};
  if (levels_ > 0) args.push_back({"levels", Value(levels_)});
  return Expression::call("wavelet", std::move(args));
}

void WaveletBasis::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(wavelet_));
  to.varint(static_cast<uint64_t>(levels_));
}

void WaveletBasis::forward(float* x) const { math::wavelet_forward(wavelet_, levels(), x, size()); }

void WaveletBasis::back(float* row) const {
  math::wavelet_inverse(wavelet_, levels(), row, size());
}

BasisPtr WaveletBasis::read(uint64_t size, BodyReader& in) {
  const auto wavelet = static_cast<math::Wavelet>(in.varint(0, kWavelets.size() - 1, "wavelet"));
  return std::make_shared<WaveletBasis>(size, wavelet,
                                        static_cast<int>(in.varint(0, kMostLevels, "levels")));
}

BasisPtr WaveletBasis::make(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"kind", "levels"});
  const auto wavelet = static_cast<math::Wavelet>(args.choice("kind", kWavelets, 0));
  const auto levels = static_cast<int>(args.integer("levels", 1, kMostLevels, 0));
  return std::make_shared<WaveletBasis>(matrix.shape.cols, wavelet, levels);
}

}  // namespace pith::form
