// Attention that reads part of what is held: while a prompt is read, and while tokens are generated
// behind it, of models of several sizes.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <optional>

#include "../model/testing_sessions.h"
#include "../weights/testing_reference.h"
#include "pith/base/file.h"
#include "pith/math/cholesky.h"
#include "pith/model/prompt.h"
#include "pith/model/reduced_weights.h"
#include "pith/recipe/cache_recipes.h"

namespace pith::recipe {
namespace {

using model::LanguageModel;
using model::Logits;
using model::Session;
using Rows = std::vector<std::vector<float>>;

constexpr uint64_t kDecoded = 16, kBlock = 32;

// The reference model without this many of its layers, the last but one first.
LanguageModel without(uint32_t layers) {
  static const auto source = model::open_weights(weights::testing::reference().folder);
  std::vector<model::ReducedLayer> all(source->config().layers);
  for (uint32_t l = 0; l < layers; ++l)
    all[all.size() - 2 - l] = {.heads = std::vector<uint32_t>{}, .units = std::vector<uint32_t>{}};
  return model::make_model(model::ReducedWeights(*source, {.layers = all}));
}

// A bos and then tokens of the text of the repository, from one of them on.
std::vector<int32_t> text(uint64_t from, uint64_t tokens) {
  static const std::vector<int32_t> ids = [] {
    const Bytes bytes = read_file(model::testing::source_root() / "data/text/calibration.txt");
    return model::text_ids(weights::testing::reference().model,
                           std::string(bytes.begin(), bytes.begin() + 40000));
  }();
  const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(from);
  std::vector<int32_t> out = {*weights::testing::reference().model.tokenizer()->bos()};
  out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(tokens) - 1);
  return out;
}

kv::CacheOptions reading(double share) {
  return kv::CacheOptions::parse(fmt::format(
      "cache(dense(f32), window=16, tile=16, reads={:g}%, reads_by=mean)", 100 * share));
}

// A prompt, what is generated behind it, and what that loses where attention is sparse.
class Phases {
 public:
  Phases(const LanguageModel& model, uint64_t prompt, uint64_t from = 0)
      : model_(model), prompt_(prompt), ids_(text(from, prompt + kDecoded)) {
    Session s = session({});
    s.feed(std::span(ids_).first(prompt_), Logits::kNone);
    read_ = s.keys_values(0, prompt_);
    full_ = decode(s);
  }

  // Each block of queries of the prompt reads this share; then all is read.
  double prefill(double share) const {
    Session sparse = session(reading(share)), s = session({});
    for (uint64_t at = 0; at < prompt_; at += kBlock)
      sparse.feed(std::span(ids_).subspan(at, std::min(kBlock, prompt_ - at)), Logits::kNone);
    s.adopt(sparse.keys_values(0, prompt_));
    return lost(s);
  }
  // Likewise each query of what is generated.
  double decode(double share) const {
    Session s = session(reading(share));
    s.adopt(read_);
    return lost(s);
  }

 private:
  Session session(const std::optional<kv::CacheOptions>& cache) const {
    return Session(model_, ids_.size(), 2, 0, cache);
  }
  Rows decode(Session& s) const {
    Rows rows;
    for (uint64_t i = 0; i < kDecoded; ++i)
      rows.push_back(model::testing::floats(s.feed(std::span(ids_).subspan(prompt_ + i, 1))));
    return rows;
  }
  double lost(Session& s) const {
    const Rows rows = decode(s);
    double sum = 0;
    for (uint64_t i = 0; i < kDecoded; ++i)
      sum += model::testing::divergence(full_[i], rows[i]) / kDecoded;
    return sum;
  }

  const LanguageModel& model_;
  uint64_t prompt_;
  std::vector<int32_t> ids_;
  kv::Arrays read_;
  Rows full_;
};

// Contradicted on text: that more can be left unread while tokens are generated. What a prompt's
// tokens did not read is lost to them alone.
TEST(CachePhasesQuality, PromptsBearSparseAttentionBetter) {
  for (const uint32_t layers : {0U, 4U}) {
    const LanguageModel model = without(layers);
    const Phases phases(model, 448);
    for (const double share : {0.5, 0.25})
      EXPECT_LT(phases.prefill(share), 0.5 * phases.decode(share)) << layers << ", " << share;
    EXPECT_LT(phases.prefill(0.25), phases.decode(0.5)) << layers;
  }
}

// What one setting is, as the law sees it: log loss = a + b log share + c log length + d log
// layers.
struct Setting {
  std::array<double, 4> of;
  double loss = 0;
};

std::array<double, 4> fitted(const std::vector<Setting>& settings) {
  std::array<double, 16> moments{}, inverse{};
  std::array<double, 4> sums{}, out{};
  for (const Setting& s : settings) {
    for (size_t i = 0; i < 4; ++i) {
      for (size_t j = 0; j < 4; ++j) moments[4 * i + j] += s.of[i] * s.of[j];
      sums[i] += s.of[i] * s.loss;
    }
  }
  EXPECT_TRUE(math::cholesky(moments.data(), 4));
  math::inverse_of_factored(moments.data(), 4, inverse.data());
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 4; ++j) out[i] += inverse[4 * i + j] * sums[j];
  }
  return out;
}

double squared_error(const std::vector<Setting>& settings, const std::array<double, 4>& law) {
  double sum = 0;
  for (const Setting& s : settings) {
    double told = 0;
    for (size_t i = 0; i < 4; ++i) told += law[i] * s.of[i];
    sum += std::pow(s.loss - told, 2);
  }
  return sum;
}

// Of models of 8, 6 and 4 layers, behind 320 and 640 tokens.
std::vector<Setting> measured() {
  constexpr std::array<uint64_t, 2> kTexts = {0, 4000};
  std::vector<Setting> out;
  for (const uint32_t fewer : {0U, 2U, 4U}) {
    const LanguageModel model = without(fewer);
    for (const uint64_t length : {320U, 640U}) {
      const Phases one(model, length, kTexts[0]), other(model, length, kTexts[1]);
      for (const double share : {0.5, 0.25, 0.12})
        out.push_back(
            {{1, std::log(share), std::log(static_cast<double>(length)), std::log(8.0 - fewer)},
             std::log((one.decode(share) + other.decode(share)) / 2)});
    }
  }
  return out;
}

TEST(CachePhasesQuality, ALawPredictsASizeThatItHasNotSeen) {
  const std::vector<Setting> all = measured();
  for (const double layers : {6.0, 4.0}) {
    std::vector<Setting> seen, unseen;
    double mean = 0;
    for (const Setting& s : all) {
      const bool held_out = std::abs(s.of[3] - std::log(layers)) < 1e-9;
      (held_out ? unseen : seen).push_back(s);
      if (!held_out) mean += s.loss;
    }
    mean /= static_cast<double>(seen.size());
    const std::array<double, 4> law = fitted(seen);
    EXPECT_LT(law[1], -1);  // the less is read, the more is lost
    EXPECT_LT(law[2], 0);   // of longer texts less is needed
    EXPECT_LT(squared_error(unseen, law), 0.5 * squared_error(unseen, {mean, 0, 0, 0})) << layers;
  }
}

}  // namespace
}  // namespace pith::recipe
