#include "hadamard.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "pith/base/random.h"
#include "pith/form/arguments.h"
#include "storage.h"

namespace pith::form {
namespace {

// Of larger ones the Hartley matrix would take more time and memory than the form around it.
constexpr uint64_t kLargestOdd = 4096;

void walsh_hadamard(float* x, uint64_t n) {
  for (uint64_t half = 1; half < n; half *= 2) {
    for (uint64_t at = 0; at < n; at += 2 * half) {
      for (uint64_t i = at; i < at + half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
}

std::vector<float> hartley(uint64_t n) {
  if (n <= 1) return {};
  std::vector<float> m(n * n);
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = 0; j < n; ++j) {
      const double angle =
          2 * std::numbers::pi * static_cast<double>(i * j % n) / static_cast<double>(n);
      m[i * n + j] = static_cast<float>((std::cos(angle) + std::sin(angle)) /
                                        std::sqrt(static_cast<double>(n)));
    }
  }
  return m;
}

}  // namespace

HadamardBasis::HadamardBasis(uint64_t size, uint64_t seed)
    : Basis(size),
      seed_(seed),
      power_(size == 0 ? 1 : uint64_t{1} << std::countr_zero(size)),
      odd_(size / power_),
      hartley_(odd_ <= kLargestOdd ? hartley(odd_) : std::vector<float>{}) {
  if (odd_ > kLargestOdd) {
    fail(ErrorKind::kUsage, "hadamard: {} columns have the odd factor {}, at most {} is supported",
         size, odd_, kLargestOdd);
  }
}

Expression HadamardBasis::expression() const {
  if (seed_ == 0) return Expression::call("hadamard");
  return Expression::call("hadamard", {{"seed", Value(seed_)}});
}

void HadamardBasis::write_body(BodyWriter& to) const { to.varint(seed_); }

void HadamardBasis::flip(float* x) const {
  if (seed_ == 0) return;
  for (uint64_t i = 0; i < size(); i += 64) {
    const uint64_t signs = random_bits(seed_, i / 64);
    for (uint64_t j = i; j < std::min(i + 64, size()); ++j)
      x[j] = signs >> (j - i) & 1 ? -x[j] : x[j];
  }
}

// Coordinates are odd_ blocks of power_ neighbours.
void HadamardBasis::transform(float* x) const {
  for (uint64_t block = 0; block < odd_; ++block) walsh_hadamard(x + block * power_, power_);
  const float norm = 1 / std::sqrt(static_cast<float>(power_));
  if (odd_ <= 1) {
    for (uint64_t i = 0; i < size(); ++i) x[i] *= norm;
    return;
  }
  std::vector<float> mixed(size());
  for (uint64_t i = 0; i < odd_; ++i) {
    for (uint64_t j = 0; j < odd_; ++j) {
      const float factor = norm * hartley_[i * odd_ + j];
      for (uint64_t k = 0; k < power_; ++k) mixed[i * power_ + k] += factor * x[j * power_ + k];
    }
  }
  std::copy(mixed.begin(), mixed.end(), x);
}

void HadamardBasis::forward(float* x) const {
  flip(x);
  transform(x);
}

void HadamardBasis::back(float* row) const {
  transform(row);
  flip(row);
}

BasisPtr HadamardBasis::read(uint64_t size, BodyReader& in) {
  const uint64_t seed = in.varint(0, uint64_t{1} << 62, "seed");
  if (size > 0 && (size >> std::countr_zero(size)) > kLargestOdd)
    in.bad("a hadamard of a size that cannot be");
  return std::make_shared<HadamardBasis>(size, seed);
}

BasisPtr HadamardBasis::make(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"seed"});
  return std::make_shared<HadamardBasis>(
      matrix.shape.cols, static_cast<uint64_t>(args.integer("seed", 0, int64_t{1} << 62, 0)));
}

}  // namespace pith::form
