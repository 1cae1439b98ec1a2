#include "pith/fit/dictionary.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "matching_pursuit.h"
#include "numbers.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/fit/low_rank.h"
#include "pith/form/arguments.h"
#include "pith/form/compose.h"
#include "pith/form/sparse_fit.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::MatrixView;

constexpr int64_t kMostRank = 1 << 16;
constexpr double kWorthwhile = 0.9995;
// Added to the squares of patterns' factors, as a share of their mean.
constexpr double kLittle = 1e-9;

// What stands in the expression.
struct Factors {
  Expression left, right;
  uint64_t rank = 0, count = 0;  // patterns, and those of a row

  explicit Factors(const Expression& e) : left(e), right(e) {
    const auto is = [](const Expression& f, std::string_view name) {
      return f.is_call() && f.name() == name;
    };
    const auto all = e.operands();
    const bool fits = e.kind() == Expression::Kind::kProduct && all.size() == 3 &&
                      is(all[0], "sparse") && is(all[1], "rank") && !is(all[2], "rank");
    if (fits) {
      left = all[0];
      right = all[2];
      const form::Arguments args(all[1], {"rank"});
      rank = static_cast<uint64_t>(args.integer("rank", 1, kMostRank));
      const form::SparseOptions options = form::sparse_options(left);
      if (options.is_ratio() && options.m == rank) count = options.n;
      if (options.is_free()) count = form::count_of(options.share, rank);
    }
    if (count == 0) {
      throw e.place().error(ErrorKind::kUsage, fmt::format("`{}` is no `sparse(n:r) * rank(r) * …`",
                                                           form::to_string(e)));
    }
  }
};

class Turns {
 public:
  enum class Start : uint8_t { kDirections, kRows };

  Turns(const Task& task, const Factors& factors, const DictionaryOptions& options, Start start)
      : task_(task),
        factors_(factors),
        rounds_(options.rounds),
        threads_(thread_count(task.threads)),
        rows_(task.weights.shape.rows),
        cols_(task.weights.shape.cols),
        rank_(factors.rank),
        weights_(task.weights.data, task.weights.data + task.weights.shape.size()),
        inputs_(damped_moments(task.inputs, cols_, options.damping)),
        chosen_({rows_, rank_}),
        keep_(rows_ * rank_) {
    set_patterns(start == Start::kRows ? rows_apart() : directions(options.damping));
  }

  Fitted run() {
    Fitted best{nullptr, INFINITY};
    for (int round = 0; round < rounds_; ++round) {
      choose();
      const Fitted now = measured(task_, form::product_of({left_, right_}));
      const double before = best.error;
      best = better(std::move(best), now);
      if (!(now.error < kWorthwhile * before) || round + 1 == rounds_) break;
      improve_patterns();
    }
    return best;
  }

 private:
  // Singular directions, then rows of the weights.
  Matrix directions(double damping) const {
    const Truncation start(task_, rank_, {damping});
    const Matrix all = start.right(start.rank());
    Matrix out = rows_apart();
    std::ranges::copy(all.values, out.values.begin());
    return out;
  }

  // Rows of the weights, evenly apart.
  Matrix rows_apart() const {
    Matrix out({rank_, cols_});
    for (uint64_t k = 0; k < rank_; ++k) {
      std::ranges::copy(task_.weights.row(k * rows_ / rank_), out.row(k).begin());
    }
    return out;
  }

  void set_patterns(const Matrix& patterns) {
    right_ = form::encode(factors_.right, patterns.view());
    const Matrix stored = form::decode(*right_);
    patterns_.assign(stored.values.begin(), stored.values.end());
  }

  math::StridedDoubles patterns() const { return view(patterns_, rank_, cols_); }

  // What each row takes, and how much of it.
  void choose() {
    const Numbers seen = product(patterns(), view(inputs_.matrix, cols_, cols_), threads_);
    const auto turned = view(seen, rank_, cols_).transposed();
    const Numbers gram = product(patterns(), turned, threads_);
    const Numbers products = product(view(weights_, rows_, cols_), turned, threads_);
    constexpr uint64_t kRows = 16;
    parallel_for(threads_, (rows_ + kRows - 1) / kRows, [&](size_t task) {
      MatchingPursuit pursuit(gram, rank_, factors_.count);
      for (uint64_t r = task * kRows; r < std::min((task + 1) * kRows, rows_); ++r) {
        choose(r, std::span(products).subspan(r * rank_, rank_), pursuit);
      }
    });
    left_ = form::SparseFit(factors_.left, chosen_.shape, keep_).form(chosen_.view());
  }

  // What was chosen before stays where nothing better is found, so that turns do not lose.
  void choose(uint64_t row, std::span<const double> products, MatchingPursuit& pursuit) {
    std::vector<uint64_t> before;
    for (uint64_t k = 0; k < rank_; ++k) {
      if (keep_[row * rank_ + k] != 0) before.push_back(k);
    }
    pursuit.run_with(products, before);
    const double gained = pursuit.gained();
    pursuit.run(products);
    if (pursuit.gained() < gained) pursuit.run_with(products, before);
    std::ranges::fill(chosen_.row(row), 0.0f);
    std::fill_n(keep_.begin() + static_cast<int64_t>(row * rank_), rank_, uint8_t{0});
    for (size_t i = 0; i < pursuit.chosen().size(); ++i) {
      const uint64_t at = row * rank_ + pursuit.chosen()[i];
      chosen_.values[at] = static_cast<float>(pursuit.factors()[i]);
      keep_[at] = 1;
    }
    fill_up(row, pursuit.chosen().size());
  }

  // The pattern of the form is so many in each row.
  void fill_up(uint64_t row, uint64_t there) {
    for (uint64_t k = 0; there < std::min(factors_.count, rank_); ++k) {
      uint8_t& keep = keep_[row * rank_ + k];
      if (keep == 0) ++there;
      keep = 1;
    }
  }

  // (Sᵀ G S)⁻¹ Sᵀ G W, whatever the inputs.
  void improve_patterns() {
    const Matrix stored = form::decode(*left_);
    const Numbers s = numbers(stored.view());
    Numbers weighed = s;
    for (uint64_t i = 0; i < weighed.size() && !task_.outputs.empty(); ++i) {
      weighed[i] *= task_.outputs[i / rank_];
    }
    const auto turned = view(weighed, rows_, rank_).transposed();
    const Numbers gram = product(turned, view(s, rows_, rank_), threads_);
    const Numbers cross = product(turned, view(weights_, rows_, cols_), threads_);
    double mean = 0;
    for (uint64_t k = 0; k < rank_; ++k) {
      mean += gram[k * rank_ + k] / static_cast<double>(rank_);
    }
    if (!(mean > 0)) return;
    std::vector<uint64_t> unused;
    for (uint64_t k = 0; k < rank_; ++k) {
      if (!(gram[k * rank_ + k] > kLittle * mean)) unused.push_back(k);
    }
    const Numbers inverse = damped_inverse(gram, rank_, kLittle, threads_);
    Matrix next = matrix(product(view(inverse, rank_, rank_), view(cross, rank_, cols_), threads_),
                         {rank_, cols_});
    if (!std::ranges::all_of(next.values, [](float v) { return std::isfinite(v); })) return;
    replace(unused, next);
    set_patterns(next);
  }

  // By what the rows of most error have left.
  void replace(std::span<const uint64_t> unused, Matrix& patterns) const {
    if (unused.empty()) return;
    const Matrix now = form::decode(*form::product_of({left_, right_}));
    const std::vector<double> errors =
        row_errors(task_.inputs, task_.weights, now.view(), threads_);
    std::vector<uint64_t> order(rows_);
    std::iota(order.begin(), order.end(), uint64_t{0});
    std::ranges::stable_sort(order, [&](uint64_t a, uint64_t b) { return errors[a] > errors[b]; });
    for (size_t i = 0; i < std::min<size_t>(unused.size(), order.size()); ++i) {
      for (uint64_t c = 0; c < cols_; ++c) {
        patterns.row(unused[i])[c] = task_.weights.row(order[i])[c] - now.view().row(order[i])[c];
      }
    }
  }

  const Task& task_;
  const Factors& factors_;
  int rounds_, threads_;
  uint64_t rows_, cols_, rank_;
  Numbers weights_;
  DampedMoments inputs_;
  Numbers patterns_;  // as they are stored
  Matrix chosen_;     // rows x patterns
  std::vector<uint8_t> keep_;
  form::FormPtr left_, right_;
};

}  // namespace

Fitter dictionary_fitter(const Expression& expression, const DictionaryOptions& options) {
  const Factors factors(expression);
  return [=](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    Fitted plain = measured(task, form::encode(expression, task.weights));
    if (task.weights.shape.size() == 0) return plain;
    Fitted best = better(Turns(task, factors, options, Turns::Start::kDirections).run(),
                         Turns(task, factors, options, Turns::Start::kRows).run());
    return better(std::move(best), std::move(plain));
  };
}

}  // namespace pith::fit
