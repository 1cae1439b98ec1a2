// Codebooks by k-means, each stage fitted to what the ones before it left over; additive ones then
// take turns: each vector chooses again in one stage what suits the others, and that stage's
// entries move to the mean of what is left for them (Babenko and Lempitsky 2014; AQLM, Egiazarian
// et al. 2024).
#include <algorithm>
#include <cmath>

#include "codebook.h"
#include "kinds.h"
#include "pith/form/arguments.h"
#include "pith/form/compose.h"
#include "pith/math/kmeans.h"

namespace pith::form {
namespace {

constexpr ScaleGroups kNoScales{ScaleGroups::kNone};
// Vectors of the sample that each entry is fitted to.
constexpr uint64_t kSampleOfEntry = 256;
constexpr uint64_t kLeastSample = 1 << 16;
constexpr int kRefits = 8, kTurns = 3;

CodebookParameters parameters_of(const Expression& call) {
  const Arguments args(
      call, {"size", "dim", "stages", "rows", "columns", "fit", "entries", "group", "scales"});
  CodebookParameters p;
  const auto positive = [&](std::string_view name, int64_t most, int64_t otherwise) {
    return static_cast<uint64_t>(args.integer(name, 1, most, otherwise));
  };
  p.codebook.size = static_cast<uint64_t>(args.integer("size", 2, 65536));
  p.codebook.dim = positive("dim", 256, 1);
  p.codebook.stages = positive("stages", 16, 1);
  const auto block = [&](std::string_view name) {
    return args.has(name) ? positive(name, static_cast<int64_t>(kMostElements), 1) : 0;
  };
  p.rows = block("rows");
  p.columns = block("columns");
  if (p.columns % p.codebook.dim != 0)
    throw args.wrong("columns", fmt::format("a multiple of {}, the `dim`", p.codebook.dim));
  p.additive = args.choice("fit", std::array<std::string_view, 2>{"residual", "additive"}, 0) == 1;
  if (p.additive && p.codebook.stages < 2) throw args.wrong("fit", "`residual` for a single stage");
  p.codebook.type = args.choice("entries", std::array<std::string_view, 2>{"f16", "i8"}, 0) == 0
                        ? DType::kF16
                        : DType::kI8;
  p.scales = ScaleGroups::of(args, kNoScales);
  if (p.scales.length <= kMostElements && p.scales.length % p.codebook.dim != 0)
    throw args.wrong("group", fmt::format("a multiple of {}, the `dim`", p.codebook.dim));
  return p;
}

using Tables = std::vector<std::vector<float>>;

// The vectors of one block, one after the other, and what they weigh: the square of their scale.
struct Vectors {
  uint64_t dim = 1;
  std::vector<float> values, weights;

  uint64_t size() const { return values.size() / dim; }
  // So many of them, evenly apart.
  Vectors sample(uint64_t most) const {
    if (size() <= most) return *this;
    Vectors some{dim, {}, {}};
    for (uint64_t i = 0; i < most; ++i) {
      const uint64_t at = i * size() / most;
      some.values.insert(some.values.end(), values.begin() + static_cast<int64_t>(at * dim),
                         values.begin() + static_cast<int64_t>((at + 1) * dim));
      if (!weights.empty()) some.weights.push_back(weights[at]);
    }
    return some;
  }
};

// The codes of vectors in several stages, and what is left of them.
class StagedCodes {
 public:
  StagedCodes(const Vectors& vectors, uint64_t stages)
      : vectors_(vectors), left_(vectors.values), codes_(stages) {}

  const std::vector<float>& left() const { return left_; }
  const std::vector<uint32_t>& codes(uint64_t stage) const { return codes_[stage]; }

  // Chooses the nearest entries to what is left, and takes them away.
  void choose(uint64_t stage, const std::vector<float>& table) {
    codes_[stage].resize(vectors_.size());
    math::NearestCentroid(table, vectors_.dim)(left_, codes_[stage].data());
    add(stage, table, -1);
  }
  // Gives back what the stage took.
  void restore(uint64_t stage, const std::vector<float>& table) { add(stage, table, 1); }

  // Entries at the mean of what is left for them; those without vectors stay.
  void move(uint64_t stage, std::vector<float>& table) const {
    std::vector<double> sums(table.size()), masses(table.size() / vectors_.dim);
    for (uint64_t i = 0; i < vectors_.size(); ++i) {
      const double w = vectors_.weights.empty() ? 1 : vectors_.weights[i];
      const uint64_t c = codes_[stage][i];
      masses[c] += w;
      for (uint64_t d = 0; d < vectors_.dim; ++d)
        sums[c * vectors_.dim + d] += w * left_[i * vectors_.dim + d];
    }
    for (uint64_t i = 0; i < table.size(); ++i) {
      const double mass = masses[i / vectors_.dim];
      if (mass > 0) table[i] = static_cast<float>(sums[i] / mass);
    }
  }

 private:
  void add(uint64_t stage, const std::vector<float>& table, float sign) {
    for (uint64_t i = 0; i < left_.size(); ++i) {
      const uint64_t dim = vectors_.dim;
      left_[i] += sign * table[codes_[stage][i / dim] * dim + i % dim];
    }
  }

  const Vectors& vectors_;
  std::vector<float> left_;
  std::vector<std::vector<uint32_t>> codes_;
};

Tables fitted(const CodebookParameters& p, const Vectors& all) {
  const CodebookShape& s = p.codebook;
  const Vectors some = all.sample(std::max(kLeastSample, kSampleOfEntry * s.size));
  StagedCodes codes(some, s.stages);
  Tables tables(s.stages);
  for (uint64_t stage = 0; stage < s.stages; ++stage) {
    tables[stage] = s.dim == 1 ? math::kmeans_1d(codes.left(), some.weights, s.size)
                               : math::kmeans(codes.left(), s.dim, some.weights, s.size);
    codes.choose(stage, tables[stage]);
  }
  for (int round = 0; p.additive && round < kRefits; ++round) {
    for (uint64_t stage = 0; stage < s.stages; ++stage) {
      codes.restore(stage, tables[stage]);
      codes.move(stage, tables[stage]);
      codes.choose(stage, tables[stage]);
    }
  }
  return tables;
}

class Encoder {
 public:
  Encoder(const CodebookParameters& p, MatrixView matrix)
      : p_(p),
        matrix_(matrix),
        runs_(runs_of(p, matrix.shape)),
        scales_(matrix, p.scales, 1),
        unscaled_(matrix.shape),
        codes_(checked_mul(checked_mul(matrix.shape.rows, runs_), p.codebook.stages)) {
    p_.codebook.blocks = blocks_of(p, matrix.shape);
    for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
      if (p.scales.length == ScaleGroups::kNone) {
        std::ranges::copy(matrix.row(r), unscaled_.row(r).begin());
      } else {
        scales_.normalized(r, unscaled_.row(r).data());
      }
    }
    for (const float v : unscaled_.values) largest_ = std::max(largest_, std::fabs(v));
  }

  FormPtr run() {
    Tables tables;
    const auto each_block = [&](const auto& f) {
      const Shape s = matrix_.shape;
      if (s.size() == 0) return;
      const uint64_t high = p_.rows == 0 ? s.rows : p_.rows,
                     wide = p_.columns == 0 ? s.cols : p_.columns;
      for (uint64_t r = 0; r < s.rows; r += std::min(high, s.rows - r)) {
        for (uint64_t c = 0; c < s.cols; c += std::min(wide, s.cols - c))
          f(Block{r, r + std::min(high, s.rows - r), c, c + std::min(wide, s.cols - c)});
      }
    };
    each_block([&](const Block& b) {
      for (auto& table : fitted(p_, vectors(b))) {
        for (float& v : table) v *= unit();
        tables.push_back(std::move(table));
      }
    });
    const auto codebook = Codebook::rounded(p_.codebook, tables);
    uint64_t index = 0;
    each_block([&](const Block& b) { choose(b, *codebook, index++); });
    for (uint64_t r = 0; r < matrix_.shape.rows; ++r) scales_.add(r, unscaled_.row(r).data());
    scales_.finish();
    return std::make_shared<CodebookForm>(matrix_.shape, p_, codebook, scales_.stored(),
                                          Buffer(CodeStream::pack(codes_, p_.codebook.bits())));
  }

 private:
  struct Block {
    uint64_t top, bottom, left, right;
  };

  // Vectors are fitted in units of a power of two near the largest element, so that no square
  // leaves the range of floats.
  float unit() const { return largest_ > 0 ? std::ldexp(1.0f, std::ilogb(largest_)) : 1.0f; }

  template <class Function>
  void for_each_run(const Block& b, Function&& f) const {
    for (uint64_t r = b.top; r < b.bottom; ++r) {
      for (uint64_t c = b.left; c < b.right; c += p_.codebook.dim)
        f(r, c, std::min(p_.codebook.dim, b.right - c));
    }
  }

  Vectors vectors(const Block& b) const {
    Vectors v{p_.codebook.dim, {}, {}};
    const float u = unit();
    double most = 0;
    std::vector<double> weights;
    for_each_run(b, [&](uint64_t r, uint64_t c, uint64_t n) {
      for (uint64_t i = 0; i < p_.codebook.dim; ++i)
        v.values.push_back(i < n ? unscaled_.view().row(r)[c + i] / u : 0.0f);
      weights.push_back(std::pow(double{scales_.scale(r, c)}, 2));
      most = std::max(most, weights.back());
    });
    if (p_.scales.length == ScaleGroups::kNone || most == 0) return v;
    for (const double w : weights) v.weights.push_back(static_cast<float>(w / most));
    return v;
  }

  // The codes of a block, and in the place of its elements what they stand for.
  void choose(const Block& b, const Codebook& codebook, uint64_t index) {
    const CodebookShape& s = p_.codebook;
    const Vectors all = vectors(b);
    StagedCodes codes(all, s.stages);
    Tables tables(s.stages);
    for (uint64_t stage = 0; stage < s.stages; ++stage) {
      const float* table = codebook.table(index, stage);
      for (uint64_t i = 0; i < s.size * s.dim; ++i) tables[stage].push_back(table[i] / unit());
      codes.choose(stage, tables[stage]);
    }
    for (int turn = 0; p_.additive && turn < kTurns; ++turn) {
      for (uint64_t stage = 0; stage < s.stages; ++stage) {
        codes.restore(stage, tables[stage]);
        codes.choose(stage, tables[stage]);
      }
    }
    uint64_t vector = 0;
    for_each_run(b, [&](uint64_t r, uint64_t c, uint64_t n) {
      std::fill_n(unscaled_.row(r).data() + c, n, 0.0f);
      for (uint64_t stage = 0; stage < s.stages; ++stage) {
        const uint32_t code = codes.codes(stage)[vector];
        codes_[(r * s.stages + stage) * runs_ + c / s.dim] = static_cast<uint16_t>(code);
        for (uint64_t i = 0; i < n; ++i)
          unscaled_.row(r)[c + i] += codebook.table(index, stage)[code * s.dim + i];
      }
      ++vector;
    });
  }

  CodebookParameters p_;
  MatrixView matrix_;
  uint64_t runs_;
  ScaleFit scales_;
  Matrix unscaled_;
  float largest_ = 0;
  std::vector<uint16_t> codes_;
};

}  // namespace

FormPtr CodebookForm::encode(const Expression& call, MatrixView matrix) {
  const CodebookParameters p = parameters_of(call);
  require_finite(matrix, "codebook");
  return Encoder(p, matrix).run();
}

FormPtr codebook_of(Shape shape, uint64_t dim, std::span<const float> entries,
                    std::span<const uint16_t> codes) {
  CodebookParameters p;
  p.codebook.dim = dim;
  if (dim == 0 || dim > 256 || entries.size() % dim != 0 || entries.size() / dim < 2 ||
      entries.size() / dim > 65536) {
    fail(ErrorKind::kUsage, "codebook: {} numbers are no codebook of {}", entries.size(), dim);
  }
  p.codebook.size = entries.size() / dim;
  p.codebook.blocks = blocks_of(p, shape);
  const bool fits = std::ranges::all_of(codes, [&](uint16_t c) { return c < p.codebook.size; });
  if (!fits || codes.size() != checked_mul(shape.rows, runs_of(p, shape))) {
    fail(ErrorKind::kUsage, "codebook: codes that do not fit the matrix");
  }
  require_finite({entries.data(), {p.codebook.size, dim}}, "codebook");
  Tables tables(p.codebook.blocks, {entries.begin(), entries.end()});
  return std::make_shared<CodebookForm>(shape, p, Codebook::rounded(p.codebook, tables), Buffer(),
                                        Buffer(CodeStream::pack(codes, p.codebook.bits())));
}

Expression CodebookForm::expression() const {
  const CodebookParameters& p = parameters_;
  std::vector<Argument> args = {{"", p.codebook.size}};
  if (p.codebook.dim != 1) args.push_back({"dim", p.codebook.dim});
  if (p.codebook.stages != 1) args.push_back({"stages", p.codebook.stages});
  if (p.rows != 0) args.push_back({"rows", p.rows});
  if (p.columns != 0) args.push_back({"columns", p.columns});
  if (p.additive) args.push_back({"fit", Expression::call("additive")});
  if (p.codebook.type == DType::kI8) args.push_back({"entries", Expression::call("i8")});
  p.scales.add_to(args, kNoScales);
  return Expression::call("codebook", std::move(args));
}

}  // namespace pith::form
