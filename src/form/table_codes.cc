// Codes that name vectors in tables: codebooks, and E8 as the codebook that it is. Under a metric
// M = L Lᵀ the nearest entry to x is that whose product with L is nearest to x L, so all entries
// are looked at in the metric's own coordinates; of E8's many points only those near by. Several
// stages take turns.
#include <algorithm>
#include <cmath>
#include <optional>

#include "e8.h"
#include "e8_descent.h"
#include "pith/math/kmeans.h"
#include "vector_codes.h"

namespace pith::form {
namespace {

// How often stages choose again beside the others.
constexpr int kTurns = 2;
// Wanted elements beyond so many times the largest entry are not told apart.
constexpr float kMost = 1e4f;
constexpr float kLeastGain = 1e-5f;

// The tables, and which of them a code names.
struct Tables {
  uint64_t dim = 1, stages = 1, runs = 0, rows = 0;
  std::vector<float> units;  // of E8's stages a quarter of the spacing; none of codebooks
  std::vector<std::vector<float>> values;  // of each block, each stage: entries * dim
  std::vector<uint16_t> codes;             // (row * stages + stage) * runs + run

  const float* table(uint64_t block, uint64_t stage) const {
    return values[block * stages + stage].data();
  }
  bool is_lattice(uint64_t stage) const { return !units.empty() && units[stage] > 0; }
  uint16_t& code(uint64_t row, uint64_t stage, uint64_t run) {
    return codes[(row * stages + stage) * runs + run];
  }
  uint16_t code(uint64_t row, uint64_t stage, uint64_t run) const {
    return codes[(row * stages + stage) * runs + run];
  }
};

// The lower factor of a positive semidefinite matrix over its largest element; where nothing is
// left of a pivot, its column is zero.
std::vector<float> root(std::span<const double> metric, uint64_t n) {
  double most = 0;
  for (uint64_t i = 0; i < n; ++i) most = std::max(most, metric[i * n + i]);
  std::vector<double> l(n * n);
  std::vector<float> out(n * n);
  constexpr double kNothing = 1e-12;
  for (uint64_t j = 0; j < n && most > 0; ++j) {
    double pivot = metric[j * n + j] / most;
    for (uint64_t k = 0; k < j; ++k) pivot -= l[j * n + k] * l[j * n + k];
    if (!(pivot > kNothing)) continue;
    const double size = l[j * n + j] = std::sqrt(pivot);
    for (uint64_t i = j + 1; i < n; ++i) {
      double sum = metric[i * n + j] / most;
      for (uint64_t k = 0; k < j; ++k) sum -= l[i * n + k] * l[j * n + k];
      l[i * n + j] = sum / size;
    }
  }
  for (uint64_t i = 0; i < n * n; ++i) out[i] = static_cast<float>(l[i]);
  return out;
}

std::vector<double> over_largest(std::span<const double> metric) {
  const double most = std::ranges::max(metric);
  std::vector<double> out(metric.begin(), metric.end());
  for (double& v : out) v = most > 0 ? v / most : 0;
  return out;
}

// y = x l.
void transform(const float* x, const std::vector<float>& l, uint64_t n, float* y) {
  std::fill_n(y, n, 0.0f);
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = 0; j <= i; ++j) y[j] += x[i] * l[i * n + j];
  }
}

// The best entries of all stages of a block for vectors of one metric.
class Search {
 public:
  Search(const Tables& t, uint64_t block, std::span<const double> metric)
      : t_(t), block_(block), l_(root(metric, t.dim)) {
    for (uint64_t s = 0; s < t.stages; ++s) {
      for (const float v : t.values[block * t.stages + s]) most_ = std::max(most_, std::fabs(v));
    }
    const float unit = most_ > 0 ? 1 / most_ : 1;
    for (float& v : l_) v *= unit;
    std::vector<float> transformed;
    nearest_.resize(t.stages);
    for (uint64_t s = 0; s < t.stages; ++s) {
      if (t.is_lattice(s)) {
        if (!descent_) descent_.emplace(over_largest(metric));
        continue;
      }
      const std::vector<float>& table = t.values[block * t.stages + s];
      transformed.resize(table.size());
      for (uint64_t at = 0; at < table.size(); at += t.dim) {
        transform(table.data() + at, l_, t.dim, transformed.data() + at);
      }
      nearest_[s].emplace(transformed, t.dim);
    }
  }

  // For n vectors, row-major. codes: n of each stage; where `begun`, they are better ones to begin
  // with. values: what they stand for.
  void operator()(const float* wanted, uint64_t n, bool begun, std::vector<uint32_t>& codes,
                  std::vector<float>& values) {
    const uint64_t dim = t_.dim;
    values.assign(n * dim, 0.0f);
    points_.resize(n * dim);
    clamped_.assign(wanted, wanted + n * dim);
    for (float& v : clamped_) v = std::clamp(v, -kMost * most_, kMost * most_);
    for (uint64_t s = 0; s < t_.stages; ++s) {
      if (begun) {
        add(s, 1, n, codes, values);
      } else {
        choose(s, n, false, codes, values);
      }
    }
    for (int turn = 0; turn < kTurns && t_.stages > 1; ++turn) {
      for (uint64_t s = 0; s < t_.stages; ++s) {
        add(s, -1, n, codes, values);
        choose(s, n, true, codes, values);
      }
    }
    if (begun && t_.stages == 1) {
      values.assign(n * dim, 0.0f);
      choose(0, n, true, codes, values);
    }
    // Sums in the order in which they are decoded.
    values.assign(n * dim, 0.0f);
    for (uint64_t s = 0; s < t_.stages; ++s) add(s, 1, n, codes, values);
  }

 private:
  // Where `begun`, the codes that are there may be begun with.
  void choose(uint64_t stage, uint64_t n, bool begun, std::vector<uint32_t>& codes,
              std::vector<float>& values) {
    const uint64_t dim = t_.dim;
    thread_local std::vector<float> left;
    left.resize(dim);
    for (uint64_t i = 0; i < n; ++i) {
      for (uint64_t d = 0; d < dim; ++d) left[d] = clamped_[i * dim + d] - values[i * dim + d];
      if (t_.is_lattice(stage)) {
        for (float& v : left) v /= t_.units[stage];
        uint32_t& code = codes[stage * n + i];
        if (!begun) code = nearest_e8(left.data());
        code = (*descent_)(left.data(), static_cast<uint16_t>(code));
      } else {
        transform(left.data(), l_, dim, points_.data() + i * dim);
      }
    }
    if (!t_.is_lattice(stage)) (*nearest_[stage])(points_, codes.data() + stage * n);
    add(stage, 1, n, codes, values);
  }

  void add(uint64_t stage, float sign, uint64_t n, const std::vector<uint32_t>& codes,
           std::vector<float>& values) const {
    const float* table = t_.table(block_, stage);
    for (uint64_t i = 0; i < n; ++i) {
      const float* entry = table + codes[stage * n + i] * t_.dim;
      for (uint64_t d = 0; d < t_.dim; ++d) values[i * t_.dim + d] += sign * entry[d];
    }
  }

  const Tables& t_;
  uint64_t block_;
  std::vector<float> l_;
  float most_ = 0;
  std::vector<std::optional<math::NearestCentroid>> nearest_;
  std::optional<E8Descent> descent_;
  std::vector<float> points_, clamped_;
};

class TableCodes : public VectorCodes {
 public:
  uint64_t dim() const override { return t_.dim; }

  void choose(const UnscaledRun& run) override {
    for (uint64_t r = 0; r < run.rows;) {
      uint64_t end = r + 1;
      const uint64_t block = block_of(run.row + r, run.column);
      while (end < run.rows && block_of(run.row + end, run.column) == block) ++end;
      choose(run, block, r, end);
      r = end;
    }
  }

  void decode(uint64_t row, uint64_t column, float* out) const override {
    std::fill_n(out, t_.dim, 0.0f);
    const uint64_t block = block_of(row, column);
    for (uint64_t s = 0; s < t_.stages; ++s) {
      const float* entry = t_.table(block, s) + t_.code(row, s, column / t_.dim) * t_.dim;
      for (uint64_t d = 0; d < t_.dim; ++d) out[d] += entry[d];
    }
  }

  void decode_with(std::span<const double>, uint64_t row, uint64_t column,
                   double* out) const override {
    std::vector<float> values(t_.dim);
    decode(row, column, values.data());
    std::ranges::copy(values, out);
  }
  void add_products(uint64_t, uint64_t, const double*, double*) const override {}

 protected:
  virtual uint64_t block_of(uint64_t row, uint64_t column) const = 0;

  Tables t_;

 private:
  void choose(const UnscaledRun& run, uint64_t block, uint64_t begin, uint64_t end) {
    const uint64_t n = end - begin, dim = t_.dim, at = run.column / dim;
    thread_local std::vector<uint32_t> codes;
    thread_local std::vector<float> found;
    codes.resize(n * t_.stages);
    for (uint64_t s = 0; s < t_.stages && run.only_better; ++s) {
      for (uint64_t i = 0; i < n; ++i) codes[s * n + i] = t_.code(run.row + begin + i, s, at);
    }
    const float* wanted = run.wanted + begin * dim;
    Search(t_, block, run.metric)(wanted, n, run.only_better, codes, found);
    for (uint64_t i = 0; i < n; ++i) {
      const float *v = found.data() + i * dim, *w = wanted + i * dim;
      float* values = run.values + (begin + i) * dim;
      if (run.only_better && !(run_error(run.metric, w, v, dim) <
                               (1 - kLeastGain) * run_error(run.metric, w, values, dim))) {
        continue;
      }
      std::copy_n(v, dim, values);
      for (uint64_t s = 0; s < t_.stages; ++s) {
        t_.code(run.row + begin + i, s, at) = static_cast<uint16_t>(codes[s * n + i]);
      }
    }
  }
};

class CodebookCodes final : public TableCodes {
 public:
  explicit CodebookCodes(const CodebookForm& form)
      : form_(form), p_(form.parameters()), shape_(p_.codebook) {
    t_.dim = shape_.dim;
    t_.stages = shape_.stages;
    t_.rows = form.shape().rows;
    t_.runs = runs_of(p_, form.shape());
    t_.codes.resize(t_.rows * t_.stages * t_.runs);
    form.codes().get(0, t_.codes.size(), t_.codes.data());
    take(*form.codebook());
  }

  uint64_t entries() const override { return t_.values.size() * shape_.size * shape_.dim; }

  std::vector<double> entry_values() const override {
    std::vector<double> all;
    for (const auto& table : t_.values) {
      all.insert(all.end(), table.begin(),
                 table.begin() + static_cast<int64_t>(shape_.size * shape_.dim));
    }
    return all;
  }

  void set_entries(std::span<const double> entries) override {
    const uint64_t n = shape_.size * shape_.dim;
    std::vector<std::vector<float>> tables(t_.values.size());
    for (uint64_t i = 0; i < entries.size(); ++i) {
      tables[i / n].push_back(static_cast<float>(entries[i]));
    }
    codebook_ = Codebook::rounded(shape_, tables);
    take(*codebook_);
  }

  void decode_with(std::span<const double> entries, uint64_t row, uint64_t column,
                   double* out) const override {
    std::fill_n(out, t_.dim, 0.0);
    for (uint64_t s = 0; s < t_.stages; ++s) {
      const double* entry = entries.data() + place(row, column, s);
      for (uint64_t d = 0; d < t_.dim; ++d) out[d] += entry[d];
    }
  }

  void add_products(uint64_t row, uint64_t column, const double* elements,
                    double* sums) const override {
    for (uint64_t s = 0; s < t_.stages; ++s) {
      double* to = sums + place(row, column, s);
      for (uint64_t d = 0; d < t_.dim; ++d) to[d] += elements[d];
    }
  }

  FormPtr form(Buffer scales) const override {
    return std::make_shared<CodebookForm>(
        form_.shape(), p_, codebook_ ? codebook_ : form_.codebook(), std::move(scales),
        Buffer(CodeStream::pack(t_.codes, shape_.bits())));
  }

 protected:
  uint64_t block_of(uint64_t row, uint64_t column) const override {
    return form_.block_of(row, column);
  }

 private:
  uint64_t place(uint64_t row, uint64_t column, uint64_t stage) const {
    const uint64_t table = block_of(row, column) * t_.stages + stage;
    return (table * shape_.size + t_.code(row, stage, column / t_.dim)) * t_.dim;
  }

  void take(const Codebook& codebook) {
    t_.values.clear();
    for (uint64_t b = 0; b < shape_.blocks; ++b) {
      for (uint64_t s = 0; s < t_.stages; ++s) {
        const float* table = codebook.table(b, s);
        t_.values.emplace_back(table, table + shape_.size * shape_.dim);
      }
    }
  }

  const CodebookForm& form_;
  CodebookParameters p_;
  CodebookShape shape_;
  std::shared_ptr<const Codebook> codebook_;
};

class E8Codes final : public TableCodes {
 public:
  explicit E8Codes(const E8Form& form) : form_(form), p_(form.parameters()) {
    t_.dim = kE8;
    t_.stages = p_.stages();
    t_.rows = form.shape().rows;
    t_.runs = form.shape().cols / kE8 + (form.shape().cols % kE8 != 0);
    t_.codes.resize(t_.rows * t_.stages * t_.runs);
    for (uint64_t s = 0; s < t_.stages; ++s) {
      const uint8_t* stored = form.codes()[s].data();
      for (uint64_t i = 0; i < t_.rows * t_.runs; ++i) {
        t_.code(i / t_.runs, s, i % t_.runs) =
            p_.is_short(s) ? stored[i] : load_le<uint16_t>(stored + 2 * i);
      }
      const float unit = kE8Unit * static_cast<float>(form.weights()[s]);
      t_.units.push_back(p_.is_short(s) ? 0 : unit);
      std::vector<float>& table = t_.values.emplace_back();
      for (uint32_t code = 0; code < (p_.is_short(s) ? 256u : 65536u); ++code) {
        const E8Vector v = p_.is_short(s) ? e8_short_vector(static_cast<uint8_t>(code))
                                          : e8_vector(static_cast<uint16_t>(code));
        for (const int8_t x : v) table.push_back(unit * static_cast<float>(x));
      }
    }
  }

  FormPtr form(Buffer scales) const override {
    std::vector<Buffer> stored;
    for (uint64_t s = 0; s < t_.stages; ++s) {
      Bytes codes;
      ByteWriter to(codes);
      for (uint64_t i = 0; i < t_.rows * t_.runs; ++i) {
        const uint16_t code = t_.code(i / t_.runs, s, i % t_.runs);
        p_.is_short(s) ? to.u8(static_cast<uint8_t>(code)) : to.u16(code);
      }
      stored.emplace_back(std::move(codes));
    }
    return std::make_shared<E8Form>(form_.shape(), p_, form_.weights(), std::move(scales),
                                    std::move(stored));
  }

 protected:
  uint64_t block_of(uint64_t, uint64_t) const override { return 0; }

 private:
  const E8Form& form_;
  E8Parameters p_;
};

}  // namespace

std::unique_ptr<VectorCodes> codes_of(const CodebookForm& form) {
  return std::make_unique<CodebookCodes>(form);
}
std::unique_ptr<VectorCodes> codes_of(const E8Form& form) {
  return std::make_unique<E8Codes>(form);
}

}  // namespace pith::form
