#include "pith/fit/code_steps.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/vector_fit.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;
using form::VectorFit;

constexpr double kFirst = 0.9, kSecond = 0.95;  // decays of Adam's means
constexpr double kLeast = 1e-30;
constexpr uint64_t kRows = 64;  // that a thread takes at a time

// Means of a gradient and of its squares, and the steps that they propose, of about 1.
template <class Real>
class Moments {
 public:
  explicit Moments(size_t n) : mean_(n), squares_(n) {}

  // Before gradients of a step are added.
  void begin() {
    left_first_ *= kFirst;
    left_second_ *= kSecond;
  }
  void add(size_t i, double gradient) {
    mean_[i] = static_cast<Real>(kFirst * mean_[i] + (1 - kFirst) * gradient);
    squares_[i] = static_cast<Real>(kSecond * squares_[i] + (1 - kSecond) * gradient * gradient);
  }
  // Adam's: as far for each element.
  double step(size_t i) const {
    return mean(i) / std::sqrt(std::max(squares_[i] / (1 - left_second_), kLeast));
  }
  double mean(size_t i) const { return mean_[i] / (1 - left_first_); }
  void forget(size_t i) { mean_[i] = 0; }

 private:
  std::vector<Real> mean_, squares_;
  double left_first_ = 1, left_second_ = 1;
};

template <class Real>
double root_mean_square(const std::vector<Real>& values) {
  double sum = 0;
  for (const Real v : values) sum += double{v} * v;
  return values.empty() ? 0 : std::sqrt(sum / static_cast<double>(values.size()));
}

std::vector<double> identity(uint64_t n) {
  std::vector<double> out(n * n);
  for (uint64_t i = 0; i < n; ++i) out[i * n + i] = 1;
  return out;
}

void check(const CodeStepOptions& o) {
  const auto good = [](double v) { return v >= 0 && v <= 1e3; };
  if (!(o.share > 0 && o.share <= 1) || !good(o.entry_rate) || !good(o.scale_rate) ||
      !good(o.weight_rate)) {
    fail(ErrorKind::kUsage, "steps take a share of codes up to 1 and rates from 0 to 1000");
  }
}

}  // namespace

struct CodeSteps::State {
  State(form::FormPtr start, const CodeStepOptions& o)
      : fit(std::move(start)),
        options(o),
        threads(thread_count(o.threads)),
        dim(fit.dim()),
        runs((fit.shape().cols + dim - 1) / dim),
        groups(fit.group_length() == 0
                   ? 0
                   : (fit.shape().cols + fit.group_length() - 1) / fit.group_length()),
        metric(identity(dim)),
        values(fit.shape()),
        entries(fit.entry_values()),
        of_entries(entries.size()),
        of_scales(fit.shape().rows * groups),
        of_weights(o.moves == CodeMoves::kNone ? 0 : fit.shape().size()) {
    check(o);
    for (uint64_t r = 0; r < fit.shape().rows; ++r) {
      for (uint64_t g = 0; g < groups; ++g) {
        scales.push_back(fit.scale(r, g * fit.group_length()));
      }
    }
    decode();
    if (o.moves == CodeMoves::kStraightThrough) free = values.values;
    unit = root_mean_square(values.values);
    entry_unit = root_mean_square(entries);
  }

  uint64_t columns() const { return fit.shape().cols; }
  uint64_t width(uint64_t run) const { return std::min(dim, columns() - run * dim); }

  // body(first, last) for rows, on all threads.
  template <class Body>
  void for_strips(const Body& body) const {
    const uint64_t rows = fit.shape().rows;
    parallel_for(threads, (rows + kRows - 1) / kRows,
                 [&](size_t s) { body(s * kRows, std::min(rows, (s + 1) * kRows)); });
  }

  void decode() {
    for_strips([&](uint64_t first, uint64_t last) {
      std::vector<float> padded(dim);
      for (uint64_t r = first; r < last; ++r) {
        for (uint64_t run = 0; run < runs; ++run) {
          fit.values(r, run * dim, padded.data());
          std::copy_n(padded.data(), width(run), values.row(r).data() + run * dim);
        }
      }
    });
  }

  void step_entries(MatrixView gradient, double rate);
  void step_scales(MatrixView gradient, double rate);
  void add_moments(MatrixView gradient);
  std::vector<uint8_t> longest() const;
  void store();
  uint64_t move_codes(uint64_t run, uint64_t first, uint64_t last);
  uint64_t move_codes(const std::vector<uint8_t>& moves);

  VectorFit fit;
  CodeStepOptions options;
  int threads;
  uint64_t dim, runs, groups;
  std::vector<double> metric;
  Matrix values;
  // As steps leave them, before they are rounded to what can be stored.
  std::vector<double> entries;
  std::vector<float> scales, free;
  Moments<double> of_entries, of_scales;
  Moments<float> of_weights;
  double unit = 0, entry_unit = 0;
};

void CodeSteps::State::step_entries(MatrixView gradient, double rate) {
  if (entries.empty() || options.entry_rate == 0) return;
  std::vector<double> sums(entries.size());
  std::vector<float> padded(dim);
  for (uint64_t r = 0; r < gradient.shape.rows; ++r) {
    for (uint64_t run = 0; run < runs; ++run) {
      std::ranges::fill(padded, 0.0F);
      std::copy_n(gradient.row(r).data() + run * dim, width(run), padded.data());
      fit.add_products(r, run * dim, padded.data(), sums.data());
    }
  }
  of_entries.begin();
  for (size_t i = 0; i < entries.size(); ++i) {
    of_entries.add(i, sums[i]);
    entries[i] -= rate * options.entry_rate * entry_unit * of_entries.step(i);
  }
}

void CodeSteps::State::step_scales(MatrixView gradient, double rate) {
  if (groups == 0 || options.scale_rate == 0) return;
  of_scales.begin();
  const uint64_t length = fit.group_length();
  for (uint64_t r = 0; r < gradient.shape.rows; ++r) {
    for (uint64_t g = 0; g < groups; ++g) {
      double sum = 0;  // of what the loss gains by a larger scale, as a share of it
      for (uint64_t c = g * length; c < std::min(columns(), (g + 1) * length); ++c) {
        sum += double{gradient.row(r)[c]} * values.view().row(r)[c];
      }
      const size_t i = r * groups + g;
      of_scales.add(i, sum);
      const double factor = 1 - rate * options.scale_rate * of_scales.step(i);
      scales[i] = static_cast<float>(scales[i] * std::max(factor, 0.1));
    }
  }
}

// Entries and scales as they can be stored, with what the codes then stand for.
void CodeSteps::State::store() {
  if (!entries.empty()) fit.set_entries(entries);
  for (uint64_t r = 0; r < fit.shape().rows; ++r) {
    for (uint64_t g = 0; g < groups; ++g) {
      fit.set_scale(r, g * fit.group_length(), scales[r * groups + g]);
    }
  }
  decode();
}

void CodeSteps::State::add_moments(MatrixView gradient) {
  of_weights.begin();
  for_strips([&](uint64_t first, uint64_t last) {
    for (size_t i = first * columns(); i < last * columns(); ++i) {
      of_weights.add(i, gradient.data[i]);
    }
  });
}

// The runs that may move, row by row.
std::vector<uint8_t> CodeSteps::State::longest() const {
  std::vector<float> lengths(fit.shape().rows * runs);
  for_strips([&](uint64_t first, uint64_t last) {
    for (uint64_t i = first * runs; i < last * runs; ++i) {
      const size_t from = i / runs * columns() + i % runs * dim;
      double sum = 0;
      for (size_t k = from; k < from + width(i % runs); ++k) {
        sum += of_weights.mean(k) * of_weights.mean(k);
      }
      lengths[i] = static_cast<float>(sum);
    }
  });
  const auto count =
      static_cast<size_t>(std::ceil(options.share * static_cast<double>(lengths.size())));
  std::vector<uint8_t> moves(lengths.size());
  if (count >= lengths.size()) {
    std::ranges::fill(moves, uint8_t{1});
    return moves;
  }
  std::vector<float> sorted = lengths;
  std::ranges::nth_element(sorted, sorted.begin() + static_cast<std::ptrdiff_t>(count),
                           std::greater<>());
  for (size_t i = 0; i < moves.size(); ++i) moves[i] = lengths[i] > sorted[count];
  return moves;
}

// The runs first <= r < last of a column of runs to the nearest codes of where the steps lead;
// returns how many have changed.
uint64_t CodeSteps::State::move_codes(uint64_t run, uint64_t first, uint64_t last) {
  const uint64_t c = run * dim, n = width(run);
  std::vector<float> wanted((last - first) * dim), found(wanted.size());
  for (uint64_t r = first; r < last; ++r) {
    const size_t from = r * columns() + c;
    float* to = wanted.data() + (r - first) * dim;
    if (options.moves == CodeMoves::kStraightThrough) {
      std::copy_n(free.data() + from, n, to);
      continue;
    }
    // Of heavy tails some means are far longer than others: all look as far.
    double squares = kLeast;
    for (uint64_t k = 0; k < n; ++k)
      squares += of_weights.mean(from + k) * of_weights.mean(from + k);
    const double reach = options.weight_rate * unit * std::sqrt(static_cast<double>(n) / squares);
    for (uint64_t k = 0; k < n; ++k) {
      to[k] = static_cast<float>(values.values[from + k] - reach * of_weights.mean(from + k));
    }
  }
  fit.choose({first, last - first, c, metric, wanted.data(), found.data(), true});
  uint64_t changed = 0;
  for (uint64_t r = first; r < last; ++r) {
    const float* now = found.data() + (r - first) * dim;
    float* was = values.row(r).data() + c;
    if (std::equal(now, now + n, was)) continue;
    ++changed;
    std::copy_n(now, n, was);
    if (options.moves == CodeMoves::kStraightThrough) continue;
    // What pushed it here says nothing of where it goes next.
    for (uint64_t k = 0; k < n; ++k) of_weights.forget(r * columns() + c + k);
  }
  return changed;
}

uint64_t CodeSteps::State::move_codes(const std::vector<uint8_t>& moves) {
  std::vector<uint64_t> changed((fit.shape().rows + kRows - 1) / kRows);
  for_strips([&](uint64_t first, uint64_t last) {
    for (uint64_t run = 0; run < runs; ++run) {
      for (uint64_t r = first; r < last; ++r) {
        uint64_t end = r;
        while (end < last && moves[end * runs + run] != 0) ++end;
        if (end == r) continue;
        changed[first / kRows] += move_codes(run, r, end);
        r = end;
      }
    }
  });
  return std::accumulate(changed.begin(), changed.end(), uint64_t{0});
}

CodeSteps::CodeSteps(form::FormPtr start, const CodeStepOptions& options)
    : state_(std::make_unique<State>(std::move(start), options)) {}
CodeSteps::CodeSteps(CodeSteps&&) noexcept = default;
CodeSteps::~CodeSteps() = default;

MatrixView CodeSteps::values() const { return state_->values.view(); }
form::FormPtr CodeSteps::form() const { return state_->fit.form(); }

uint64_t CodeSteps::take(MatrixView gradient, double rate) {
  State& s = *state_;
  if (gradient.shape != s.fit.shape()) {
    fail(ErrorKind::kUsage, "a gradient of another shape than the codes");
  }
  for (uint64_t i = 0; i < gradient.shape.size(); ++i) {
    if (!std::isfinite(gradient.data[i])) fail(ErrorKind::kData, "a gradient is not finite");
  }
  s.step_entries(gradient, rate);
  s.step_scales(gradient, rate);
  s.store();
  if (s.options.moves == CodeMoves::kNone) return 0;
  s.add_moments(gradient);
  if (s.options.moves == CodeMoves::kLongest) return s.move_codes(s.longest());
  for (size_t i = 0; i < s.free.size(); ++i) {
    s.free[i] -= static_cast<float>(rate * s.options.weight_rate * s.unit * s.of_weights.step(i));
  }
  return s.move_codes(std::vector<uint8_t>(s.fit.shape().rows * s.runs, 1));
}

}  // namespace pith::fit
