#include "pith/weights/calibration_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "../model/testing_model.h"
#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/model/gradient.h"

namespace pith::weights {
namespace {

using namespace model::testing;
using form::Matrix;
using form::MatrixView;
using model::DecoderConfig;
using model::LanguageModel;

constexpr const char* kDown = "model.layers.1.mlp.down_proj.weight";

std::vector<int32_t> some_ids(const DecoderConfig& c, size_t n) {
  std::mt19937 random(3);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % c.vocabulary);
  return ids;
}

LanguageModel small_model(const DecoderConfig& c) {
  return make_model(MemoryWeights(c, random_tensors(c)));
}

ErrorKind kind_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "nothing was refused";
  return ErrorKind::kIo;
}

void expect_near(std::span<const double> got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-4 * wanted[i]) << i;
}

TEST(CalibrationStatistics, AreThoseOfWhatSessionsAndGradientsShow) {
  const DecoderConfig c = small_config();
  const LanguageModel model = small_model(c);
  const std::vector<int32_t> ids = some_ids(c, 60);
  const CalibrationStatistics s =
      calibrate(model, ids, 20, {.gradient_tokens = 45, .seed = 7, .input_moments = true});
  EXPECT_EQ(s.tokens, 60u);
  EXPECT_EQ(s.gradient_tokens, 40u);
  EXPECT_EQ(s.tensors.size(), c.layers * 7 + 1);
  EXPECT_EQ(s.entropies.size(), c.layers + 1);
  for (const double bits : s.entropies) EXPECT_TRUE(bits > 3 && bits < 8) << bits;
  ASSERT_EQ(s.attention.size(), c.layers);
  for (const auto& layer : s.attention) {
    ASSERT_EQ(layer.size(), c.heads);
    for (const model::HeadAttention& h : layer) {
      EXPECT_TRUE(h.entropy > 0 && h.entropy < std::log2(20)) << h.entropy;
      EXPECT_NEAR(h.recent, 1, 1e-9);  // texts are shorter
      EXPECT_TRUE(h.first > 0 && h.first < 1 && h.distance > 0 && h.distance < 20);
    }
  }

  std::vector<double> squares(c.feed_forward), sizes(c.feed_forward), products(c.feed_forward);
  for (size_t at = 0; at < 60; at += 20) {
    model::Session session(model, 20);
    session.observe([&](std::span<const std::string_view> names, MatrixView x) {
      if (names[0] != kDown) return;
      for (uint64_t t = 0; t < x.shape.rows; ++t) {
        for (uint64_t i = 0; i < x.shape.cols; ++i) {
          squares[i] += double{x.row(t)[i]} * x.row(t)[i] / 60;
          sizes[i] += std::fabs(double{x.row(t)[i]}) / 60;
          products[i] += double{x.row(t)[3]} * x.row(t)[i] / 60;
        }
      }
    });
    session.feed(std::span(ids).subspan(at, 20), model::Logits::kAll);
  }
  const VectorStatistics& inputs = *s.find(kDown)->inputs;
  EXPECT_EQ(inputs.count, 60u);
  expect_near(inputs.squares, squares);
  expect_near(inputs.sizes, sizes);
  const fit::Metric metric = inputs.metric();
  ASSERT_EQ(metric.kind(), fit::Metric::Kind::kSecondMoments);
  for (uint64_t i = 0; i < c.feed_forward; ++i) {
    EXPECT_NEAR(metric.matrix()[3 * c.feed_forward + i], products[i],
                1e-4 * std::sqrt(squares[3] * squares[i]));
    EXPECT_EQ(metric.matrix()[3 * c.feed_forward + i], metric.matrix()[i * c.feed_forward + 3]);
  }

  std::vector<double> gradients(c.width);
  model::GradientPass(model, 20, 1, model::sampled_loss(7))
      .run(std::span(ids).first(40), {.linear =
                                          [&](std::string_view tensor, MatrixView, MatrixView dy) {
                                            if (tensor != kDown) return;
                                            for (uint64_t t = 0; t < dy.shape.rows; ++t) {
                                              for (uint64_t i = 0; i < c.width; ++i) {
                                                gradients[i] +=
                                                    double{dy.row(t)[i]} * dy.row(t)[i] / 40;
                                              }
                                            }
                                          },
                                      .embedding = {}});
  EXPECT_EQ(s.find(kDown)->gradients->count, 40u);
  expect_near(s.find(kDown)->gradients->squares, gradients);

  // What takes the same inputs shares them.
  const std::string at = "model.layers.0.self_attn.";
  EXPECT_EQ(s.find(at + "q_proj.weight")->inputs, s.find(at + "v_proj.weight")->inputs);
  EXPECT_EQ(s.find("model.layers.0.mlp.gate_proj.weight")->inputs,
            s.find("model.layers.0.mlp.up_proj.weight")->inputs);
  EXPECT_EQ(s.find("lm_head.weight")->inputs->count, 60u);
  EXPECT_EQ(s.find("lm_head.weight")->gradients->size(), c.vocabulary);
  EXPECT_EQ(s.find("model.norm.weight"), nullptr);
}

void expect_same(const VectorStatistics* a, const VectorStatistics* b) {
  ASSERT_EQ(a == nullptr, b == nullptr);
  if (!a) return;
  EXPECT_EQ(a->count, b->count);
  EXPECT_EQ(a->squares, b->squares);
  EXPECT_EQ(a->sizes, b->sizes);
  EXPECT_EQ(a->moments, b->moments);
}

void expect_same(const CalibrationStatistics& a, const CalibrationStatistics& b) {
  EXPECT_EQ(a.model, b.model);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.window, b.window);
  EXPECT_EQ(a.gradient_tokens, b.gradient_tokens);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.entropies, b.entropies);
  ASSERT_EQ(a.attention.size(), b.attention.size());
  for (size_t l = 0; l < a.attention.size(); ++l) EXPECT_TRUE(a.attention[l] == b.attention[l]);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    SCOPED_TRACE(name);
    const TensorStatistics* other = b.find(name);
    ASSERT_NE(other, nullptr);
    expect_same(tensor.inputs.get(), other->inputs.get());
    expect_same(tensor.gradients.get(), other->gradients.get());
  }
}

CalibrationStatistics mixed_statistics(int threads = 1) {
  DecoderConfig c = small_experts(model::Architecture::kQwen2Moe);
  c.tied_embeddings = true;
  return calibrate(small_model(c), some_ids(c, 30), 10,
                   {.input_moments = true, .gradient_moments = true, .threads = threads});
}

TEST(CalibrationStatistics, AreTheSameOnAllThreads) {
  const CalibrationStatistics one = mixed_statistics();
  expect_same(mixed_statistics(2), one);
  EXPECT_EQ(one.find("model.embed_tokens.weight")->gradients->moments.size(), 0u);
  EXPECT_NE(one.find("model.layers.0.mlp.shared_expert.up_proj.weight"), nullptr);
  EXPECT_NE(one.find("model.layers.0.self_attn.k_proj.weight")->gradients->moments.size(), 0u);
}

TEST(CalibrationStatistics, AreReadAsTheyWereWritten) {
  const Folder folder;
  const CalibrationStatistics s = mixed_statistics();
  const auto path = folder.path() / "stats.pith", other = folder.path() / "other.pith";
  write_statistics(s, path, false);
  expect_same(read_statistics(path), s);
  write_statistics(s, other, false);
  EXPECT_EQ(read_file(path), read_file(other));
  EXPECT_EQ(kind_of([&] { write_statistics(s, path, false); }), ErrorKind::kIo);
  write_statistics({}, path, true);
  expect_same(read_statistics(path), {});
  EXPECT_TRUE(archive::Archive::open(other).verify().ok());
}

TEST(CalibrationStatistics, DamagedOrOtherFilesAreRefused) {
  const Folder folder;
  const auto path = folder.path() / "stats.pith", damaged = folder.path() / "damaged.pith";
  CalibrationStatistics s;
  s.tensors["w"].inputs =
      std::make_shared<VectorStatistics>(VectorStatistics{3, {1, 2}, {1, 1}, {1, 0.5F, 2}});
  write_statistics(s, path, false);
  const Bytes whole = read_file(path);
  for (size_t size = 0; size < whole.size(); size += 7) {
    write_file(damaged, ByteView(whole).first(size));
    EXPECT_EQ(kind_of([&] { read_statistics(damaged); }), ErrorKind::kData) << size;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    Bytes bytes = whole;
    bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1 << random() % 8);
    write_file(damaged, bytes);
    try {
      read_statistics(
          damaged);  // where nothing of it was touched, or the flip is in what is unused
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::kIo) << error.what();
    }
  }
  write_file(folder.path() / "a.txt", as_bytes("no statistics"));
  const archive::Input input = {"a.txt", archive::mapped_source(folder.path() / "a.txt"), 0};
  archive::write_archive({&input, 1}, folder.path() / "a.pith", archive::WriteOptions{});
  EXPECT_EQ(kind_of([&] { read_statistics(folder.path() / "a.pith"); }), ErrorKind::kData);
  EXPECT_EQ(kind_of([&] { read_statistics(folder.path() / "b.pith"); }), ErrorKind::kIo);
}

TEST(CalibrationStatistics, NumbersThatCannotBeAreRefused) {
  const Folder folder;
  const auto path = folder.path() / "stats.pith";
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const VectorStatistics wrong[] = {{3, {1, 2}, {1}, {}},
                                    {3, {}, {}, {}},
                                    {3, {1, kNan}, {1, 1}, {}},
                                    {3, {1, 2}, {-1, 1}, {}},
                                    {3, {1, 2}, {1, 1}, {1, 2, 3, 4}},
                                    {3, {1, 2}, {1, 1}, {1, 2, std::nanf("")}}};
  for (const VectorStatistics& some : wrong) {
    CalibrationStatistics s;
    s.tensors["w"].gradients = std::make_shared<VectorStatistics>(some);
    write_statistics(s, path, true);
    EXPECT_EQ(kind_of([&] { read_statistics(path); }), ErrorKind::kData);
  }
}

TEST(CalibrationStatistics, BelongToTheirWeights) {
  const Folder folder;
  const DecoderConfig c = small_config();
  Tensors tensors = random_tensors(c);
  const LanguageModel model = make_model(MemoryWeights(c, tensors));
  const CalibrationStatistics s = calibrate(model, some_ids(c, 10), 10, {.gradient_tokens = 0});
  EXPECT_EQ(s.find(kDown)->gradients, nullptr);
  write_hf(folder.path(), c, tensors);
  require_model(s, model::load_model(folder.path(), {.tokenizer = false}), "stats.pith");
  for (const char* name : {kDown, "model.layers.2.input_layernorm.weight", "lm_head.weight"}) {
    Tensors changed = tensors;
    changed[name].values[1] += 1e-3F;
    const LanguageModel other = make_model(MemoryWeights(c, changed));
    EXPECT_EQ(kind_of([&] { require_model(s, other, "stats.pith"); }), ErrorKind::kUsage) << name;
  }
}

TEST(CalibrationStatistics, RefuseWhatCannotBeCalibrated) {
  const DecoderConfig c = small_config();
  const LanguageModel model = small_model(c);
  EXPECT_EQ(kind_of([&] { calibrate(model, {}, 10); }), ErrorKind::kUsage);
  EXPECT_EQ(kind_of([&] { calibrate(model, some_ids(c, 15), 10); }), ErrorKind::kUsage);
  EXPECT_EQ(kind_of([&] { calibrate(model, some_ids(c, 15), 0); }), ErrorKind::kUsage);
  Tensors tensors = random_tensors(c);
  tensors["model.layers.1.mlp.up_proj.weight"].values[0] = std::nanf("");
  const LanguageModel broken = make_model(MemoryWeights(c, tensors));
  EXPECT_EQ(kind_of([&] { calibrate(broken, some_ids(c, 10), 10); }), ErrorKind::kData);
  int told = 0;
  const auto stop = [&](uint64_t done, uint64_t all) { return done <= all && ++told < 3; };
  EXPECT_EQ(kind_of([&] { calibrate(model, some_ids(c, 10), 10, {.progress = stop}); }),
            ErrorKind::kIo);
  EXPECT_EQ(told, 3);
}

// The divergence after small errors of one weight is about half the sum of G_r E_r A E_rᵀ.
TEST(CalibrationQuality, PredictsTheDivergenceOfTheReferenceModel) {
  const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  const LanguageModel model = model::load_model(root / "data/lm");
  const Bytes text = read_file(root / "docs/command.md");
  std::vector<int32_t> ids =
      model.tokenizer()->encode({reinterpret_cast<const char*>(text.data()), text.size()});
  ASSERT_GE(ids.size(), 512u);
  ids.resize(512);
  const CalibrationStatistics s =
      calibrate(model, ids, 128, {.gradient_tokens = 512, .input_moments = true, .threads = 2});
  model::Session plain(model, 128);
  for (const std::string name :
       {"model.layers.0.mlp.up_proj.weight", "model.layers.3.self_attn.v_proj.weight",
        "model.layers.6.mlp.down_proj.weight", "model.layers.7.self_attn.o_proj.weight"}) {
    LanguageModel::Parts parts;
    parts.config = model.config();
    parts.weights = model.weights();
    model::DecoderLayer& layer =
        parts.weights.layers[static_cast<size_t>(name[std::string("model.layers.").size()] - '0')];
    for (model::Linear* l :
         {&layer.v, &layer.output, &layer.feed_forward->up, &layer.feed_forward->down}) {
      if (l->name != name) continue;
      const Matrix exact = form::decode(*l->weight);
      l->weight = form::encode(form::parse("uniform(4, group=32)"), exact.view());
      const Matrix rounded = form::decode(*l->weight);
      const TensorStatistics& t = *s.find(name);
      const fit::Metric metric = t.inputs->metric();
      double wanted = 0;
      for (uint64_t r = 0; r < exact.shape.rows; ++r) {
        const form::Shape one = {1, exact.shape.cols};
        wanted += 0.5 * t.gradients->squares[r] *
                  fit::error(metric, {exact.view().row(r).data(), one},
                             {rounded.view().row(r).data(), one}, 1);
      }
      // The true one.
      const LanguageModel other(std::move(parts));
      model::Session after(other, 128);
      double divergence = 0;
      for (size_t at = 0; at < ids.size(); at += 128) {
        plain.rewind(0);
        after.rewind(0);
        const auto window = std::span(ids).subspan(at, 128);
        const MatrixView p = plain.feed(window, model::Logits::kAll);
        const MatrixView q = after.feed(window, model::Logits::kAll);
        for (uint64_t t_at = 0; t_at < 128; ++t_at) {
          double sum_p = 0, sum_q = 0, cross = 0;
          for (uint64_t i = 0; i < p.shape.cols; ++i) {
            const double e = std::exp(double{p.row(t_at)[i]});
            sum_p += e;
            sum_q += std::exp(double{q.row(t_at)[i]});
            cross += e * (double{p.row(t_at)[i]} - q.row(t_at)[i]);
          }
          divergence += cross / sum_p + std::log(sum_q) - std::log(sum_p);
        }
      }
      divergence /= static_cast<double>(ids.size());
      EXPECT_GT(wanted, 0.5 * divergence) << name;
      EXPECT_LT(wanted, 2 * divergence) << name;
      break;
    }
  }
}

}  // namespace
}  // namespace pith::weights
