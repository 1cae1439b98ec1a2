#include "permutation.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "pith/base/random.h"
#include "pith/form/arguments.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr int64_t kMostSeed = int64_t{1} << 62;
constexpr uint64_t kMostSize = (uint64_t{1} << 32) - 1;

uint64_t width_of(uint64_t size) { return size > 1 << 16 ? 4 : 2; }

void check_size(uint64_t size) {
  if (size > kMostSize) fail(ErrorKind::kLimit, "permutation: of {} coordinates", size);
}

// Fisher and Yates; the remainder's bias is below 2^-32.
std::vector<uint32_t> shuffled(uint64_t size, uint64_t seed) {
  std::vector<uint32_t> order(size);
  std::iota(order.begin(), order.end(), 0u);
  for (uint64_t i = size; i > 1; --i) std::swap(order[i - 1], order[random_bits(seed, i) % i]);
  return order;
}

std::vector<uint32_t> strided(uint64_t size, uint64_t stride) {
  std::vector<uint32_t> order;
  order.reserve(size);
  for (uint64_t begin = 0; begin < std::min(stride, size); ++begin) {
    for (uint64_t i = begin; i < size; i += stride) order.push_back(static_cast<uint32_t>(i));
  }
  return order;
}

}  // namespace

Permutation::Permutation(std::vector<uint32_t> order)
    : kind_(Kind::kStored), size_(order.size()), order_(std::move(order)) {}

std::shared_ptr<const Permutation> Permutation::of(const Arguments& args, uint64_t size) {
  check_size(size);
  if (args.has("seed") && args.has("stride")) {
    throw args.wrong("stride", "left out beside `seed`");
  }
  if (args.has("stride")) {
    const int64_t stride = args.integer("stride", 1, static_cast<int64_t>(kMostSize));
    return std::make_shared<Permutation>(Kind::kStride, static_cast<uint64_t>(stride), size);
  }
  const int64_t seed = args.integer("seed", 0, kMostSeed);
  return std::make_shared<Permutation>(Kind::kSeed, static_cast<uint64_t>(seed), size);
}

const std::vector<uint32_t>& Permutation::order() const {
  if (kind_ == Kind::kStored) return order_;
  std::call_once(once_, [&] {
    order_ = kind_ == Kind::kSeed ? shuffled(size_, parameter_) : strided(size_, parameter_);
  });
  return order_;
}

Expression Permutation::expression() const {
  constexpr std::array<const char*, 2> kNames = {"seed", "stride"};
  if (kind_ == Kind::kStored) {
    return Expression::call("permutation", {{"by", Value(Expression::call("norm"))}});
  }
  return Expression::call("permutation", {{kNames[static_cast<size_t>(kind_)], Value(parameter_)}});
}

void Permutation::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(kind_));
  if (kind_ != Kind::kStored) return to.varint(parameter_);
  Bytes stored;
  ByteWriter w(stored);
  for (const uint32_t i : order_) {
    if (width_of(size_) == 2) {
      w.u16(static_cast<uint16_t>(i));
    } else {
      w.u32(i);
    }
  }
  to.array(stored);
}

std::shared_ptr<const Permutation> Permutation::read(uint64_t size, BodyReader& in) {
  if (size > kMostSize) in.bad("a permutation of too many coordinates");
  const auto kind = static_cast<Kind>(in.varint(0, 2, "permutation"));
  if (kind != Kind::kStored) {
    const uint64_t least = kind == Kind::kStride ? 1 : 0;
    const uint64_t most = kind == Kind::kStride ? kMostSize : static_cast<uint64_t>(kMostSeed);
    return std::make_shared<Permutation>(kind, in.varint(least, most, "permutation"), size);
  }
  const uint64_t width = width_of(size);
  const Buffer stored = in.array(width * size);
  std::vector<uint32_t> order(size);
  std::vector<bool> seen(size);
  for (uint64_t i = 0; i < size; ++i) {
    order[i] = width == 2 ? load_le<uint16_t>(stored.data() + 2 * i)
                          : load_le<uint32_t>(stored.data() + 4 * i);
    if (order[i] >= size || seen[order[i]]) in.bad("a permutation that is none");
    seen[order[i]] = true;
  }
  return std::make_shared<Permutation>(std::move(order));
}

void PermutationForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  std::fill_n(out, (last - first) * cols, 0.0f);
  for (uint64_t r = first; r < last; ++r) out[(r - first) * cols + order()[r]] = 1;
}

void PermutationForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                               uint64_t stride) const {
  for (uint64_t b = 0; b < x.batch(); ++b) {
    for (uint64_t r = first; r < last; ++r)
      out[b * stride + r - first] = x.vectors().row(b)[order()[r]];
  }
}

FormPtr PermutationForm::read(Shape shape, BodyReader& in) {
  if (shape.rows != shape.cols) in.bad("a permutation that is not square");
  return std::make_shared<PermutationForm>(Permutation::read(shape.rows, in));
}

FormPtr PermutationForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"seed", "stride"});
  if (matrix.shape.rows != matrix.shape.cols) {
    throw call.place().error(ErrorKind::kUsage,
                             fmt::format("permutation: a square matrix it must be, not {} x {}",
                                         matrix.shape.rows, matrix.shape.cols));
  }
  return std::make_shared<PermutationForm>(Permutation::of(args, matrix.shape.cols));
}

void PermutationBasis::forward(float* x) const {
  const std::vector<float> from(x, x + size());
  const std::vector<uint32_t>& order = permutation_->order();
  for (uint64_t i = 0; i < size(); ++i) x[i] = from[order[i]];
}

void PermutationBasis::back(float* row) const {
  const std::vector<float> from(row, row + size());
  const std::vector<uint32_t>& order = permutation_->order();
  for (uint64_t i = 0; i < size(); ++i) row[order[i]] = from[i];
}

BasisPtr PermutationBasis::read(uint64_t size, BodyReader& in) {
  return std::make_shared<PermutationBasis>(Permutation::read(size, in));
}

BasisPtr PermutationBasis::make(const Expression& call, MatrixView matrix) {
  constexpr std::array<std::string_view, 1> kBy = {"norm"};
  const Arguments args(call, {"by", "seed", "stride"});
  const uint64_t cols = matrix.shape.cols;
  if (args.has("seed") || args.has("stride")) {
    if (args.has("by")) throw args.wrong("by", "left out beside `seed` and `stride`");
    return std::make_shared<PermutationBasis>(Permutation::of(args, cols));
  }
  args.choice("by", kBy, 0);
  check_size(cols);
  std::vector<double> squares(cols);
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) squares[c] += double{matrix.row(r)[c]} * matrix.row(r)[c];
  }
  for (double& s : squares) s = s >= 0 ? s : 0;  // NaN has no place in an order
  std::vector<uint32_t> order(cols);
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) { return squares[a] > squares[b]; });
  return std::make_shared<PermutationBasis>(std::make_shared<Permutation>(std::move(order)));
}

}  // namespace pith::form
