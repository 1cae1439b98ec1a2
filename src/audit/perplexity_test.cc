#include "pith/audit/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "pith/base/random.h"

namespace pith::audit {
namespace {

// A model whose logits at a position depend on the last two tokens and a seed, and that records
// what it read.
struct ToyModel {
  explicit ToyModel(uint64_t vocabulary, uint64_t seed = 1, double scale = 2)
      : size(vocabulary), seed_(seed), scale_(scale) {}

  std::vector<float> logits(int32_t before, int32_t last) const {
    std::vector<float> row;
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t where =
          (static_cast<uint64_t>(before + 1) * 1009 + static_cast<uint64_t>(last)) * size + i;
      row.push_back(static_cast<float>(scale_ * (random_unit(seed_, where) - 0.5)));
    }
    return row;
  }

  LogitSource source() {
    return {size, [this](std::span<const int32_t> ids, uint64_t position, bool wanted) {
              EXPECT_LE(position, read.size());
              if (position == 0) ++windows;
              read.resize(position);
              out = form::Matrix({ids.size(), size});
              for (size_t i = 0; i < ids.size(); ++i) {
                read.push_back(ids[i]);
                const int32_t before = read.size() > 1 ? read[read.size() - 2] : -1;
                const auto row = logits(before, ids[i]);
                std::copy(row.begin(), row.end(), out.row(i).begin());
              }
              return wanted ? out.view() : form::MatrixView{};
            }};
  }

  uint64_t size;
  int windows = 0;
  std::vector<int32_t> read;
  form::Matrix out;

 private:
  uint64_t seed_;
  double scale_;
};

std::vector<double> probabilities(const std::vector<float>& logits) {
  std::vector<double> p(logits.begin(), logits.end());
  double sum = 0;
  for (double& x : p) sum += x = std::exp(x);
  for (double& x : p) x /= sum;
  return p;
}

std::vector<int32_t> some_text(size_t size, uint64_t vocabulary) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < size; ++i)
    ids.push_back(static_cast<int32_t>(random_bits(9, i) % vocabulary));
  return ids;
}

TEST(Perplexity, OfAUniformModelIsTheVocabulary) {
  ToyModel model(50, 1, 0);
  const auto result = evaluate(model.source(), some_text(100, 50), {.context = 10});
  EXPECT_NEAR(result.model.perplexity(), 50, 1e-9);
  EXPECT_NEAR(*result.model.loss.token_error, 0, 1e-12);
  EXPECT_FALSE(result.reference);
  EXPECT_FALSE(result.divergence);
}

// Each token's loss by the definition, for every way to cut windows.
TEST(Perplexity, CountsTheTokensThatTheProtocolNames) {
  const auto ids = some_text(47, 20);
  ToyModel model(20);
  for (const bool bos : {false, true}) {
    for (const uint64_t stride : {0, 3, 10}) {
      for (const uint64_t skip : {0, 4, 9}) {
        PerplexityOptions options{.context = 10, .stride = stride, .skip_first = skip};
        if (bos) options.bos = 0;
        const uint64_t step = stride == 0 ? 10 : stride;
        double sum = 0;
        uint64_t count = 0, windows = 0;
        for (uint64_t a = 0; a + 10 + (bos ? 0 : 1) <= ids.size(); a += step, ++windows) {
          for (uint64_t i = 0; i < 10; ++i) {
            if (i < skip || (a > 0 && i < 10 - step)) continue;
            std::vector<int32_t> before(ids.begin() + static_cast<long>(a),
                                        ids.begin() + static_cast<long>(a + i + (bos ? 0 : 1)));
            if (bos) before.insert(before.begin(), 0);
            const auto p = probabilities(
                model.logits(before.size() > 1 ? before[before.size() - 2] : -1, before.back()));
            sum -= std::log(p[static_cast<size_t>(ids[a + i + (bos ? 0 : 1)])]);
            ++count;
          }
        }
        const auto result = evaluate(model.source(), ids, options);
        EXPECT_EQ(result.scored, count);
        EXPECT_EQ(result.windows, windows);
        EXPECT_EQ(result.bos, bos);
        EXPECT_NEAR(result.model.loss.mean, sum / static_cast<double>(count), 1e-6);
      }
    }
  }
}

TEST(Perplexity, ReadsEachWindowFromAnEmptyMemory) {
  ToyModel model(20);
  evaluate(model.source(), some_text(31, 20), {.context = 10});
  EXPECT_EQ(model.windows, 3);
  EXPECT_EQ(model.read.size(), 10u);
  model.windows = 0;
  evaluate(model.source(), some_text(31, 20), {.context = 10, .max_windows = 2});
  EXPECT_EQ(model.windows, 2);
}

TEST(Perplexity, LargeVocabulariesAreScoredInPieces) {
  // 2^24 logits at a time are 16 rows here.
  const uint64_t vocabulary = uint64_t{1} << 20;
  LogitSource flat{vocabulary, nullptr};
  form::Matrix zeros({16, vocabulary});
  std::vector<uint64_t> positions;
  flat.feed = [&](std::span<const int32_t> ids, uint64_t position, bool) {
    positions.push_back(position);
    EXPECT_LE(ids.size(), 16u);
    return form::MatrixView{zeros.values.data(), {ids.size(), vocabulary}};
  };
  const std::vector<int32_t> ids(21, 5);
  EXPECT_NEAR(evaluate(flat, ids, {.context = 20}).model.loss.mean, std::log(1048576.0), 1e-9);
  EXPECT_EQ(positions, (std::vector<uint64_t>{0, 16}));
}

TEST(Perplexity, AShortTextIsOneWindow) {
  ToyModel model(20);
  const auto result = evaluate(model.source(), some_text(5, 20), {.context = 100});
  EXPECT_EQ(result.windows, 1u);
  EXPECT_EQ(result.scored, 4u);
  EXPECT_EQ(result.context, 4u);
  EXPECT_FALSE(result.model.loss.window_error);
  EXPECT_FALSE(result.model.loss.interval);
  EXPECT_TRUE(result.model.perplexity_error());
}

TEST(Divergence, OfAModelFromItselfIsNothing) {
  ToyModel a(20), b(20);
  const LogitSource reference = b.source();
  const auto d = *evaluate(a.source(), some_text(101, 20), {.context = 10}, &reference).divergence;
  EXPECT_EQ(d.kl.mean, 0);
  EXPECT_EQ(d.max, 0);
  EXPECT_EQ(d.same_best.mean, 1);
  EXPECT_EQ(d.mean_absolute_change, 0);
  EXPECT_EQ(d.loss_difference.mean, 0);
}

TEST(Divergence, IsThatOfTheDefinition) {
  const auto ids = some_text(41, 20);
  ToyModel model(20, 1), other(20, 2, 3);
  double kl = 0, same = 0, change = 0, difference = 0, largest = 0;
  for (size_t i = 0; i < 40; ++i) {
    const int32_t before = i % 10 == 0 ? -1 : ids[i - 1];
    const auto q = model.logits(before, ids[i]), p = other.logits(before, ids[i]);
    const auto pq = probabilities(q), pp = probabilities(p);
    double here = 0;
    for (size_t t = 0; t < 20; ++t) here += pp[t] * std::log(pp[t] / pq[t]);
    kl += here / 40;
    largest = std::max(largest, here);
    same += std::max_element(q.begin(), q.end()) - q.begin() ==
                    std::max_element(p.begin(), p.end()) - p.begin()
                ? 1.0 / 40
                : 0;
    const auto next = static_cast<size_t>(ids[i + 1]);
    change += std::abs(pq[next] - pp[next]) / 40;
    difference += std::log(pp[next] / pq[next]) / 40;
  }
  const LogitSource reference = other.source();
  PerplexityOptions options{.context = 10, .changed = 3, .threads = 2};
  const auto result = evaluate(model.source(), ids, options, &reference);
  const auto d = *result.divergence;
  EXPECT_NEAR(d.kl.mean, kl, 1e-6);
  EXPECT_NEAR(d.max, largest, 1e-6);
  EXPECT_NEAR(d.same_best.mean, same, 1e-12);
  EXPECT_NEAR(d.mean_absolute_change, change, 1e-6);
  EXPECT_NEAR(d.loss_difference.mean, difference, 1e-6);
  EXPECT_NEAR(result.model.loss.mean - result.reference->loss.mean, difference, 1e-6);
  ASSERT_EQ(d.changed.size(), 3u);
  EXPECT_EQ(d.changed[0].divergence, d.max);
  EXPECT_GE(d.changed[1].divergence, d.changed[2].divergence);
  for (const ChangedToken& c : d.changed) {
    EXPECT_EQ(c.token, ids[c.index]);
    EXPECT_NE(c.reference_probability, c.probability);
  }
  EXPECT_LE(d.median, d.p90);
  EXPECT_LE(d.p99, d.p999);
  EXPECT_LE(d.p999, d.max);
}

TEST(Divergence, ThreadsChangeNothing) {
  const auto ids = some_text(501, 20);
  double first = 0;
  for (const int threads : {1, 2, 5}) {
    ToyModel model(20, 1), other(20, 2);
    const LogitSource reference = other.source();
    const double kl = evaluate(model.source(), ids, {.context = 50, .threads = threads}, &reference)
                          .divergence->kl.mean;
    if (threads == 1) first = kl;
    EXPECT_EQ(kl, first);
  }
}

TEST(Perplexity, RefusesWhatCannotBeMeasured) {
  ToyModel model(20), other(30);
  const auto ids = some_text(50, 20);
  EXPECT_THROW(evaluate(model.source(), {}, {}), Error);
  EXPECT_THROW(evaluate(model.source(), std::vector<int32_t>{3}, {}), Error);
  EXPECT_THROW(evaluate(model.source(), std::vector<int32_t>{3, 20}, {}), Error);
  EXPECT_THROW(evaluate(model.source(), std::vector<int32_t>{3, -1}, {}), Error);
  EXPECT_THROW(evaluate(model.source(), ids, {.context = 0}), Error);
  EXPECT_THROW(evaluate(model.source(), ids, {.context = 10, .stride = 11}), Error);
  EXPECT_THROW(evaluate(model.source(), ids, {.context = 10, .skip_first = 10}), Error);
  EXPECT_THROW(evaluate(model.source(), ids, {.context = 10, .bos = 20}), Error);
  const LogitSource reference = other.source();
  EXPECT_THROW(evaluate(model.source(), ids, {}, &reference), Error);
  for (const float bad : {NAN, std::numeric_limits<float>::infinity()}) {
    LogitSource broken{2, nullptr};
    form::Matrix logits({4, 2});
    logits.values[5] = bad;
    broken.feed = [&](auto, auto, auto) { return logits.view(); };
    EXPECT_THROW(evaluate(broken, std::vector<int32_t>{0, 1, 0, 1, 0}, {.context = 4}), Error);
  }
  PerplexityOptions stopped{.context = 10};
  stopped.progress = [](uint64_t done, uint64_t) { return done < 20; };
  EXPECT_THROW(evaluate(model.source(), ids, stopped), Error);
}

}  // namespace
}  // namespace pith::audit
