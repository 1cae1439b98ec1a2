#include "pith/weights/joined_heads.h"

#include <gtest/gtest.h>

#include <random>

#include "head_blocks.h"
#include "linears.h"
#include "pith/base/error.h"
#include "pith/form/kept_lines.h"
#include "pith/math/matrix_product.h"
#include "testing_tiny.h"

namespace pith::weights {
namespace {

using form::Matrix;
using testing::tiny;
using testing::tiny_config;

Matrix normal(form::Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  Matrix m(shape);
  for (float& v : m.values) v = draw(random);
  return m;
}

// x Wᵀ.
Matrix through(const Matrix& x, const Matrix& w) {
  Matrix y({x.shape.rows, w.shape.rows});
  math::matrix_product(math::row_major(x.values.data(), x.shape.rows, x.shape.cols),
                       math::row_major(w.values.data(), w.shape.rows, w.shape.cols).transposed(),
                       y.values.data(), y.shape.cols);
  return y;
}

std::vector<double> identity(uint64_t n) {
  std::vector<double> m(n * n);
  for (uint64_t i = 0; i < n; ++i) m[i * n + i] = 1;
  return m;
}

// What a layer's attention gives where each head of queries has mixed the stream in its own way.
class Attended {
 public:
  explicit Attended(uint32_t seed) {
    const model::DecoderConfig c = tiny_config();
    const Matrix mix = normal({c.width, c.width}, 7);
    for (uint32_t h = 0; h < c.heads; ++h) {
      streams_.push_back(through(normal({kTokens, c.width}, seed + h), mix));
    }
  }

  // The inputs of the output matrix.
  Matrix values(const Matrix& v) const {
    const model::DecoderConfig c = tiny_config();
    const uint64_t size = c.head_size, group = c.heads / c.kv_heads;
    Matrix out({kTokens, c.heads * size});
    for (uint64_t h = 0; h < c.heads; ++h) {
      const Matrix all = through(streams_[h], v);
      for (uint64_t t = 0; t < kTokens; ++t) {
        std::copy_n(all.view().row(t).data() + h / group * size, size,
                    out.row(t).data() + h * size);
      }
    }
    return out;
  }
  // Of outputs by other matrices, as a share of all.
  double error(const Matrix& v, const Matrix& o, const Matrix& other_v,
               const Matrix& other_o) const {
    const Matrix was = through(values(v), o), is = through(values(other_v), other_o);
    double errors = 0, squares = 0;
    for (size_t i = 0; i < was.values.size(); ++i) {
      const double e = double{was.values[i]} - is.values[i];
      errors += e * e;
      squares += double{was.values[i]} * was.values[i];
    }
    return errors / squares;
  }
  fit::Metric stream() const { return moments(streams_); }
  const Matrix& tokens() const { return streams_[0]; }
  fit::Metric attended(const Matrix& v) const { return moments({values(v)}); }

 private:
  static constexpr uint64_t kTokens = 400;
  static fit::Metric moments(const std::vector<Matrix>& all) {
    fit::SecondMoment sum(all[0].shape.cols);
    for (const Matrix& m : all) sum.add(m.view(), 1);
    return fit::Metric::of(std::move(sum));
  }
  std::vector<Matrix> streams_;
};

struct Heads {
  const model::DecoderLayer& layer = tiny().model->weights().layers[1];
  Matrix v = form::decode(*layer.v.weight), o = form::decode(*layer.output.weight);
  Attended seen{10}, other{20};
  HeadBlocks blocks{tiny_config(), 1, layer, seen.attended(v), std::vector<double>(64, 1.0),
                    1e-4,          2};
};

Matrix truncated(const Matrix& w, const fit::Metric& inputs, double share) {
  const uint64_t rank = fit::rank_of_share(w.shape, share);
  const fit::Truncation t({.name = "w", .weights = w.view(), .inputs = inputs}, rank,
                          {.damping = 1e-4});
  const Matrix left = t.left(rank), right = t.right(rank);
  Matrix out(w.shape);
  math::matrix_product(math::row_major(left.values.data(), left.shape.rows, rank),
                       math::row_major(right.values.data(), rank, right.shape.cols),
                       out.values.data(), w.shape.cols);
  return out;
}

TEST(HeadBlocks, AreWhatTheyWereAtFullRank) {
  const Heads h;
  const auto [v, o] = h.blocks.joined({16, 16});
  EXPECT_EQ(v.values, h.v.values);
  EXPECT_EQ(o.values, h.o.values);
  const auto [some_v, some_o] = h.blocks.joined({16, 8});
  EXPECT_EQ(std::vector<float>(some_v.values.begin(), some_v.values.begin() + 16 * 64),
            std::vector<float>(h.v.values.begin(), h.v.values.begin() + 16 * 64));
}

TEST(HeadBlocks, LoseLessOfAttentionThanLowRanksOfEachMatrix) {
  const Heads h;
  for (const uint64_t rank : {4, 8, 12}) {
    const auto [v, o] = h.blocks.joined({rank, rank});
    // Of as many elements: rank rows and columns of each head in place of 16.
    const double share = static_cast<double>(rank) / 16;
    const double joined = h.other.error(h.v, h.o, v, o);
    const double separate = h.other.error(h.v, h.o, truncated(h.v, h.seen.stream(), share),
                                          truncated(h.o, h.seen.attended(h.v), share));
    EXPECT_LT(joined, 0.7 * separate) << rank;
  }
}

TEST(HeadBlocks, KeepTheirRowsAndColumnsAlone) {
  const Heads h;
  const auto [v, o] = h.blocks.joined({4, 8});
  const form::Expression values = form::parse("dense(f16)");
  const form::FormPtr rows = form::kept_rows(v, values), columns = form::kept_columns(o, values);
  EXPECT_EQ(form::to_string(rows->expression()), "sparse(0.375, pattern=rows)");
  EXPECT_LT(form::bits(*rows), 12 * 64 * 16 + 2048);
  EXPECT_LT(form::bits(*columns), 24 * 64 * 16 + 2048);
  const Matrix decoded = form::decode(*columns);
  for (size_t i = 0; i < decoded.values.size(); ++i) {
    EXPECT_NEAR(decoded.values[i], o.values[i], 1e-3 * std::abs(o.values[i]) + 1e-6);
  }
}

TEST(HeadBlocks, LeaveOutPairsOfRowsThatAreTurnedTogether) {
  Heads h;
  std::vector<double> queries(64, 1.0);
  h.blocks.weigh_pairs(h.seen.stream(), queries);
  EXPECT_EQ(h.blocks.pairs(), 8u);
  EXPECT_EQ(h.blocks.lost_without_pairs(0, 8), 0);
  EXPECT_GT(h.blocks.lost_without_pairs(0, 3), h.blocks.lost_without_pairs(0, 4));
  const Matrix q = h.blocks.queries({3, 8}), k = h.blocks.keys({3, 8});
  for (uint64_t head = 0; head < 4; ++head) {
    for (uint64_t p = 0; p < 8; ++p) {
      const auto gone = [](const Matrix& m, uint64_t row) { return m.view().row(row)[0] == 0; };
      const bool here = gone(q, head * 16 + p);
      EXPECT_EQ(here, gone(q, head * 16 + p + 8));
      EXPECT_EQ(here, gone(k, head / 2 * 16 + p));
      EXPECT_EQ(here, gone(k, head / 2 * 16 + p + 8));
      if (head >= 2) {
        EXPECT_FALSE(here);
      }
    }
  }
}

// Of the scores of queries and keys of a head by other matrices, as a share of all.
double score_error(const Heads& h, const Matrix& q, const Matrix& k) {
  const Matrix was_q = form::decode(*h.layer.q.weight), was_k = form::decode(*h.layer.k.weight);
  const Matrix stream = h.other.tokens();
  const auto scores = [&](const Matrix& queries, const Matrix& keys, uint64_t head) {
    const auto of_head = [&](const Matrix& m, uint64_t at) {
      Matrix rows({16, m.shape.cols});
      std::copy_n(m.view().row(at * 16).data(), rows.values.size(), rows.values.begin());
      return through(stream, rows);
    };
    return through(of_head(queries, head), of_head(keys, head / 2));
  };
  double errors = 0, squares = 0;
  for (uint64_t head = 0; head < 4; ++head) {
    const Matrix was = scores(was_q, was_k, head), is = scores(q, k, head);
    for (size_t i = 0; i < was.values.size(); ++i) {
      const double e = double{was.values[i]} - is.values[i];
      errors += e * e;
      squares += double{was.values[i]} * was.values[i];
    }
  }
  return errors / squares;
}

TEST(HeadBlocks, PairsLeftOutByWhatTheyGiveCostLessThanByMagnitude) {
  Heads h;
  h.blocks.weigh_pairs(h.seen.stream(), std::vector<double>(64, 1.0));
  // By magnitude: as if all inputs were alike.
  Heads alike;
  alike.blocks.weigh_pairs(fit::Metric::second_moments(64, identity(64)),
                           std::vector<double>(64, 1.0));
  for (const uint64_t kept : {3, 5}) {
    const double by_inputs =
        score_error(h, h.blocks.queries({kept, kept}), h.blocks.keys({kept, kept}));
    const double by_magnitude =
        score_error(h, alike.blocks.queries({kept, kept}), alike.blocks.keys({kept, kept}));
    EXPECT_LT(by_inputs, 0.95 * by_magnitude) << kept;
  }
}

CompressModelOptions options(const JoinedOptions& joined) {
  CompressModelOptions o = testing::tiny_options();
  o.rules.push_back(archive::lossless_rule("embed"));
  o.refine = [joined](const Refining& r) { return join_heads(r, joined); };
  return o;
}

CompressedModel made(const JoinedOptions& joined, const Limits& limits = {}) {
  return ModelCompressor(*tiny().model, tiny().inputs, default_calibration_text(), options(joined))
      .compress(limits);
}

double bits(const CompressedModel& m) {
  double sum = 0;
  for (const PlannedTensor& t : m.plan.tensors) sum += t.bits * static_cast<double>(t.elements);
  return sum;
}

TEST(JoinedHeads, KeepWhatTheyAreAskedTo) {
  const CompressedModel whole = made({.keep = 1});
  EXPECT_EQ(whole.tensors.size(), 28u);
  EXPECT_LT(whole.measured->divergence, 1e-4);
  for (const Joined joined : {Joined::kNothing, Joined::kPairs}) {
    const CompressedModel half = made({.keep = 0.5, .joined = joined});
    EXPECT_LE(bits(half), 0.5 * bits(whole));
    EXPECT_GT(bits(half), 0.4 * bits(whole));
    EXPECT_GT(half.measured->divergence, whole.measured->divergence);
  }
}

TEST(JoinedHeads, LeaveTheRestWhole) {
  const CompressedModel heads = made({.keep = 0.5, .joined = Joined::kPairs, .others = false});
  double joined = 0, all = 0;
  for (const model::DecoderLayer& layer : tiny().model->weights().layers) {
    for (const model::Linear* l : linears(layer)) {
      const form::Form& form = *heads.tensors.at(l->name);
      const bool is_head = l->name.find("self_attn") != std::string::npos;
      if (is_head) {
        joined += static_cast<double>(form::bits(form));
        all += static_cast<double>(l->weight->shape().size()) * 16;
      } else {
        EXPECT_EQ(form::decode(form).values, form::decode(*l->weight).values) << l->name;
      }
    }
  }
  EXPECT_LE(joined, 0.51 * all);  // with what marks rows
  EXPECT_GT(joined, 0.4 * all);
}

TEST(JoinedHeads, KeepToALimitWithSearchedRanks) {
  const CompressedModel same = made({.keep = 0.6, .searched = false});
  const CompressedModel searched =
      made({.searched = true}, {.bytes = static_cast<uint64_t>(same.plan.bytes)});
  EXPECT_LE(searched.plan.bytes, same.plan.bytes);
  EXPECT_LT(searched.measured->divergence, same.measured->divergence);
}

TEST(JoinedHeads, RefuseWhatCannotBe) {
  EXPECT_THROW(made({.keep = 0}), Error);
  EXPECT_THROW(made({}, {.bytes = 1000}), Error);
  CompressModelOptions o = options({});
  o.calibrated = false;
  ModelCompressor blind(*tiny().model, tiny().inputs, {}, std::move(o));
  EXPECT_THROW(blind.compress({}), Error);
}

}  // namespace
}  // namespace pith::weights
