// Products are fitted by turns: each factor gets the numbers that are best beside the others,
// rounded to what its form can hold, where that makes the whole better; else the others' turn
// comes.
#include <algorithm>
#include <cmath>
#include <optional>

#include "factor.h"
#include "kinds.h"
#include "pith/form/arguments.h"
#include "pith/math/svd.h"
#include "product.h"

namespace pith::form {
namespace {

constexpr int kRounds = 8;
// Rounds that make the error no smaller than this share of it are the last.
constexpr double kWorthwhile = 0.998;
constexpr int kPowerSteps = 8;
constexpr int64_t kMostRank = 1 << 20;

struct Slot {
  Expression expression;
  Shape shape;
  bool square;
  bool fixed() const { return expression.is_call() && is_orthonormal_kind(expression.name()); }
};

bool is_rank(const Expression& e) { return e.is_call() && e.name() == "rank"; }

// The factors with the shapes in which they meet.
std::vector<Slot> slots_of(const Expression& product, Shape shape) {
  std::vector<Slot> slots;
  const auto operands = product.operands();
  const auto is_general = [](const Expression& e) {
    return !is_rank(e) && !(e.is_call() && is_square_kind(e.name()));
  };
  auto left = std::ranges::count_if(operands, is_general);
  if (left == 0 && shape.rows != shape.cols) {
    throw product.place().error(
        ErrorKind::kUsage,
        fmt::format("a product of square factors alone cannot be {} x {}", shape.rows, shape.cols));
  }
  uint64_t width = shape.rows;               // where the next factor begins
  bool after_general = false, said = false;  // a rank, since the last general one
  for (const Expression& e : operands) {
    if (!is_rank(e)) continue;
    Arguments(e, {"rank"}).integer("rank", 0, kMostRank);
  }
  for (size_t i = 0; i < operands.size(); ++i) {
    const Expression& e = operands[i];
    if (is_rank(e)) {
      if (!after_general || left == 0 || said) {
        throw e.place().error(ErrorKind::kUsage,
                              "rank: stands once between two factors that meet there");
      }
      said = true;
      continue;
    }
    if (!is_general(e)) {
      slots.push_back({e, {width, width}, true});
      continue;
    }
    // The rank may stand anywhere before the next factor that is not square.
    uint64_t next = std::min(shape.rows, shape.cols);
    for (size_t j = i + 1; j < operands.size() && !is_general(operands[j]); ++j) {
      if (is_rank(operands[j])) {
        const int64_t r = Arguments(operands[j], {"rank"}).integer("rank", 0, kMostRank);
        next = static_cast<uint64_t>(r);
      }
    }
    if (--left == 0) next = shape.cols;
    slots.push_back({e, {width, next}, false});
    width = next;
    after_general = true;
    said = false;
  }
  if (slots.size() < 2) {
    throw product.place().error(ErrorKind::kUsage, "a product needs two factors");
  }
  return slots;
}

class ProductFitter {
 public:
  ProductFitter(std::vector<Slot> slots, MatrixView matrix)
      : slots_(std::move(slots)),
        target_(Eigen::Map<const EigenMatrix>(matrix.data,
                                              static_cast<Eigen::Index>(matrix.shape.rows),
                                              static_cast<Eigen::Index>(matrix.shape.cols))) {}

  std::vector<FormPtr> fit() {
    start();
    error_ = error_of(whole());
    for (int round = 0; round < kRounds && error_ > 0; ++round) {
      const double before = error_;
      for (size_t i = 0; i < slots_.size(); ++i) {
        if (!slots_[i].fixed()) improve(i);
      }
      if (!(error_ < before * kWorthwhile)) break;
    }
    return forms_;
  }

 private:
  void start();
  void improve(size_t i);
  // Takes the numbers for factor i if the product becomes better.
  void attempt(size_t i, const EigenMatrix& numbers);
  EigenMatrix exact_blocks(size_t i) const;
  EigenMatrix step(size_t i) const;
  double largest_stretch(size_t begin, size_t end) const;

  FormPtr encoded(size_t i, const EigenMatrix& numbers) const {
    const MatrixView view{numbers.data(), slots_[i].shape};
    return form::encode(slots_[i].expression, view);
  }
  // Products of the factors begin <= k < end with m, which stands on the side named.
  EigenMatrix left_of(EigenMatrix m, size_t end) const {
    for (size_t k = end; k-- > 0;) m = factors_[k].times(m);
    return m;
  }
  EigenMatrix right_of(EigenMatrix m, size_t begin) const {
    for (size_t k = begin; k < factors_.size(); ++k) m = factors_[k].times_from_right(m);
    return m;
  }
  EigenMatrix whole() const { return right_of(factors_[0].matrix(), 1); }
  double error_of(const EigenMatrix& product) const {
    return (target_ - product).cast<double>().squaredNorm();
  }

  std::vector<Slot> slots_;
  EigenMatrix target_;
  std::vector<FormPtr> forms_;
  std::vector<Factor> factors_;
  double error_ = 0;
};

// Square factors begin as identities; the others share out the target's singular values. What is
// fixed is orthonormal.
void ProductFitter::start() {
  EigenMatrix rest = target_;
  auto left = std::ranges::count_if(slots_, [](const Slot& s) { return !s.square; });
  std::vector<EigenMatrix> numbers(slots_.size());
  for (size_t i = 0; i < slots_.size(); ++i) {
    const auto rows = static_cast<Eigen::Index>(slots_[i].shape.rows);
    const auto cols = static_cast<Eigen::Index>(slots_[i].shape.cols);
    if (slots_[i].square) {
      numbers[i] = EigenMatrix::Identity(rows, cols);
      // What follows has to make up for the coordinates that this one brings.
      if (slots_[i].fixed() && left > 0)
        rest = Factor(*encoded(i, numbers[i])).transposed_times(rest);
      continue;
    }
    if (--left == 0) {
      // Those that follow are undone.
      for (size_t k = slots_.size(); k-- > i + 1;) {
        const auto size = static_cast<Eigen::Index>(slots_[k].shape.rows);
        if (slots_[k].fixed())
          rest = Factor(*encoded(k, EigenMatrix::Identity(size, size))).transposed_from_right(rest);
      }
      numbers[i] = rest;
      continue;
    }
    const math::Svd svd =
        math::truncated_svd(rest.data(), static_cast<uint64_t>(rest.rows()),
                            static_cast<uint64_t>(rest.cols()), slots_[i].shape.cols);
    numbers[i] = EigenMatrix::Zero(rows, cols);
    EigenMatrix next = EigenMatrix::Zero(cols, rest.cols());
    for (uint64_t k = 0; k < svd.rank; ++k) {
      const auto at = static_cast<Eigen::Index>(k);
      const float root = std::sqrt(svd.s[k]);
      for (Eigen::Index r = 0; r < rows; ++r)
        numbers[i](r, at) = root * svd.u[static_cast<uint64_t>(r) * svd.rank + k];
      for (Eigen::Index c = 0; c < rest.cols(); ++c)
        next(at, c) =
            root * svd.v[k * static_cast<uint64_t>(rest.cols()) + static_cast<uint64_t>(c)];
    }
    rest = std::move(next);
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    forms_.push_back(encoded(i, numbers[i]));
    factors_.emplace_back(*forms_.back());
  }
}

void ProductFitter::attempt(size_t i, const EigenMatrix& numbers) {
  if (!numbers.allFinite()) return;
  FormPtr form = encoded(i, numbers);
  Factor factor(*form);
  std::swap(factor, factors_[i]);
  const double error = error_of(whole());
  if (error < error_) {
    error_ = error;
    forms_[i] = std::move(form);
  } else {
    std::swap(factor, factors_[i]);
  }
}

// The least-squares numbers of blocks at either end, where each block has rows or columns of the
// target for itself.
EigenMatrix ProductFitter::exact_blocks(size_t i) const {
  EigenMatrix out = EigenMatrix::Zero(factors_[i].matrix().rows(), factors_[i].matrix().cols());
  if (i == 0) {
    const EigenMatrix rest = right_of(factors_[1].matrix(), 2);
    for (const Factor::Block& b : factors_[i].blocks()) {
      out.block(b.row, b.col, b.rows, b.cols) =
          least_squares(rest.middleRows(b.col, b.cols).transpose(),
                        target_.middleRows(b.row, b.rows).transpose())
              .transpose();
    }
  } else {
    const EigenMatrix rest = left_of(factors_[i - 1].matrix(), i - 1);
    for (const Factor::Block& b : factors_[i].blocks()) {
      out.block(b.row, b.col, b.rows, b.cols) =
          least_squares(rest.middleCols(b.row, b.rows), target_.middleCols(b.col, b.cols));
    }
  }
  return out;
}

// The most by which the factors begin <= k < end stretch a vector, by power iteration.
double ProductFitter::largest_stretch(size_t begin, size_t end) const {
  if (begin == end) return 1;
  EigenMatrix v = EigenMatrix::Constant(factors_[end - 1].matrix().cols(), 1, 1.0f);
  double stretch = 0;
  for (int i = 0; i < kPowerSteps; ++i) {
    const double size = v.norm();
    if (!(size > 0)) return 0;
    v /= static_cast<float>(size);
    for (size_t k = end; k-- > begin;) v = factors_[k].times(v);
    stretch = v.norm();
    for (size_t k = begin; k < end; ++k) v = factors_[k].transposed_times(v);
  }
  return 1.1 * stretch;  // it comes from below
}

// A step down the gradient, as long as it is sure not to overshoot: what is best on the whole
// beside the others is not what rounds best where they are far from orthogonal.
EigenMatrix ProductFitter::step(size_t i) const {
  EigenMatrix gradient = target_ - whole();
  for (size_t k = 0; k < i; ++k) gradient = factors_[k].transposed_times(gradient);
  for (size_t k = factors_.size(); k-- > i + 1;)
    gradient = factors_[k].transposed_from_right(gradient);
  const double stretch = largest_stretch(0, i) * largest_stretch(i + 1, factors_.size());
  if (!(stretch > 0)) return factors_[i].matrix();
  return factors_[i].matrix() + gradient * static_cast<float>(1 / (stretch * stretch));
}

void ProductFitter::improve(size_t i) {
  const bool end = i == 0 || i + 1 == slots_.size();
  if (slots_[i].square && end) {
    attempt(i, exact_blocks(i));
    return;
  }
  EigenMatrix best = target_;
  for (size_t k = 0; k < i; ++k) best = factors_[k].solved(best);
  for (size_t k = factors_.size(); k-- > i + 1;) best = factors_[k].solved_from_right(best);
  attempt(i, best);
  attempt(i, step(i));
}

}  // namespace

FormPtr ProductForm::encode(const Expression& product, MatrixView matrix) {
  std::vector<Slot> slots = slots_of(product, matrix.shape);
  require_finite(matrix, "a product");
  return std::make_shared<ProductForm>(ProductFitter(std::move(slots), matrix).fit());
}

}  // namespace pith::form
