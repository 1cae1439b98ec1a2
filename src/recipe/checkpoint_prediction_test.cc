// What "An Efficient Compression of Deep Neural Network Checkpoints Based on Prediction and Context
// Modeling" claims, on checkpoints of a model that is trained here.
#include "pith/recipe/checkpoint_prediction.h"

#include <gtest/gtest.h>
#include <lzma.h>
#include <stdlib.h>

#include <numeric>

#include "../lossless/steps_find.h"
#include "../lossless/steps_index.h"
#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/entropy/binary_coder.h"
#include "pith/io/layout.h"
#include "residual_clusters.h"
#include "testing_lm.h"

namespace pith::recipe {
namespace {

namespace fs = std::filesystem;
using testing::Corpus;
using testing::TinyLm;

const Corpus& corpus() {
  static const Corpus c;
  return c;
}

TinyLm<float> new_model() { return TinyLm<float>({corpus().characters, 12, 24, 320}, 1); }

constexpr size_t kBatch = 16;
constexpr double kRate = 2e-3;

void train(TinyLm<float>& model, int steps, uint32_t order) {
  std::mt19937 random(order);
  for (int s = 0; s < steps; ++s) {
    for (size_t b = 0; b < kBatch; ++b) {
      const size_t at = 12 + random() % (corpus().held_out - 12);
      model.loss(corpus().text, at, true, 1.0f / kBatch);
    }
    model.step(kRate);
  }
}

double held_out_loss(TinyLm<float>& model) {
  double sum = 0;
  for (size_t at = corpus().held_out; at < corpus().text.size(); ++at) {
    sum += static_cast<double>(model.loss(corpus().text, at, false));
  }
  return sum / static_cast<double>(corpus().text.size() - corpus().held_out);
}

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "pith-checkpoints-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

constexpr int kSaves = 3, kBetween = 100;

// Three checkpoints: the first lossless, each other one lossy against the one before as restored.
struct Series {
  std::vector<Bytes> saved, restored;
  std::vector<archive::WriteReport> reports;
  std::vector<CheckpointLosses> losses;

  Series() {
    const Folder folder;
    TinyLm<float> model = new_model();
    train(model, 100, 1000);
    for (int s = 0; s < kSaves; ++s) {
      train(model, kBetween, 1001 + static_cast<uint32_t>(s));
      saved.push_back(save(model));
      store(folder / fmt::format("{}.pith", s), folder / fmt::format("{}.pith", s - 1), s > 0);
    }
  }

 private:
  void store(const fs::path& path, const fs::path& before, bool has_base) {
    archive::WriteOptions options;
    options.level = lossless::Level::kMax;
    std::vector<archive::Input> inputs = {
        {"c.safetensors", archive::memory_source(saved.back(), "c.safetensors")}};
    auto lost = std::make_shared<CheckpointLosses>();
    if (has_base) {
      options.base = archive::open_base({&before, 1});
      inputs = predict_checkpoint(std::move(inputs), options.base, {}, lost);
    }
    reports.push_back(archive::write_archive(inputs, path, options));
    losses.push_back(*lost);
    const auto archive = archive::Archive::open(path);
    EXPECT_TRUE(archive.verify().ok());
    restored.emplace_back(saved.back().size());
    archive.read(0, 0, restored.back());
    EXPECT_EQ(hash128(restored.back()), reports.back().files[0].hash) << "exactly as archived";
  }
};

const Series& series() {
  static const Series s;
  return s;
}

io::Layout layout_of(const Bytes& file) { return io::describe(file, "c.safetensors").layout; }

TEST(TinyLm, GradientsAreThoseOfFiniteDifferences) {
  TinyLm<double> model({corpus().characters, 4, 5, 7}, 3);
  constexpr size_t kAt = 200;
  model.loss(corpus().text, kAt, true);
  for (auto& p : model.parameters) {
    for (size_t i = 0; i < p.w.size(); i += 1 + p.w.size() / 97) {
      constexpr double kStep = 1e-5;
      const double w = p.w[i];
      p.w[i] = w + kStep;
      const double above = model.loss(corpus().text, kAt, false);
      p.w[i] = w - kStep;
      const double below = model.loss(corpus().text, kAt, false);
      p.w[i] = w;
      ASSERT_NEAR(p.gradient[i], (above - below) / (2 * kStep), 1e-8) << p.name << " " << i;
    }
  }
}

// Bits of the same symbols under an adaptive order-0 arithmetic coder.
double order0_bytes(ByteView symbols) {
  std::array<entropy::AdaptiveBit, 256> tree;
  entropy::BinaryEncoder coder;
  for (const uint8_t s : symbols) {
    uint32_t node = 1;
    for (int bit = 7; bit >= 0; --bit) {
      const uint32_t b = s >> bit & 1u;
      coder.code(b, std::clamp<uint32_t>(tree[node].p16(), 1, 65535));
      tree[node].update(b, 1000);
      node = 2 * node + b;
    }
  }
  return static_cast<double>(coder.finish().size());
}

double lzma_bytes(ByteView symbols) {
  Bytes out(lzma_stream_buffer_bound(symbols.size()));
  size_t size = 0;
  const auto result =
      lzma_easy_buffer_encode(9 | LZMA_PRESET_EXTREME, LZMA_CHECK_NONE, nullptr, symbols.data(),
                              symbols.size(), out.data(), &size, out.size());
  EXPECT_EQ(result, LZMA_OK);
  return static_cast<double>(size);
}

struct IndexBytes {
  double context = 0, alone = 0, order0 = 0, lzma = 0, elements = 0;
};

// The indices of one tensor in every coding.
IndexBytes measure(ByteView raw, ByteView base, uint64_t row) {
  namespace steps = lossless::steps;
  steps::Found found;
  for (const Domain d : {Domain::kSum, Domain::kProduct, Domain::kValue}) {
    steps::Found other = steps::find<steps::F32>(raw, base, d);
    const bool fewer = found.steps.empty() || other.steps.size() < found.steps.size();
    if (!other.steps.empty() && fewer) found = std::move(other);
  }
  EXPECT_FALSE(found.steps.empty());
  EXPECT_LE(found.steps.size(), 16u);
  steps::IndexContext c{steps::sketch(base, 4, 23), row,
                        static_cast<uint32_t>(found.steps.size() + 1), 0};
  c.neutral = c.symbols / 2;
  Bytes context, alone;
  steps::encode_indices(found.indices, c, context);
  c.base.clear();
  steps::encode_indices(found.indices, c, alone);
  return {static_cast<double>(context.size()), static_cast<double>(alone.size()),
          order0_bytes(found.indices), lzma_bytes(found.indices),
          static_cast<double>(raw.size() / 4)};
}

TEST(CheckpointQuality, ThePreviousCheckpointSavesBits) {
  const io::Layout layout = layout_of(series().restored[2]);
  std::map<Role, IndexBytes> total;
  for (const io::TensorRegion& t : layout.tensors) {
    if (t.size < 4096) continue;
    const IndexBytes b =
        measure(ByteView(series().restored[2]).subspan(t.offset, t.size),
                ByteView(series().restored[1]).subspan(t.offset, t.size), t.shape.back());
    IndexBytes& sum = total[role_of(t.name)];
    sum = {sum.context + b.context, sum.alone + b.alone, sum.order0 + b.order0, sum.lzma + b.lzma,
           sum.elements + b.elements};
  }
  for (const auto& [role, b] : total) {
    const auto bits = [&](double bytes) { return 8 * bytes / b.elements; };
    fmt::print(
        "role {}: bits an index: {:.3f} in context, {:.3f} without the previous checkpoint, {:.3f} "
        "order-0, "
        "{:.3f} LZMA\n",
        static_cast<int>(role), bits(b.context), bits(b.alone), bits(b.order0), bits(b.lzma));
    EXPECT_LT(b.context, b.alone);
    EXPECT_LT(b.context, b.order0);
    EXPECT_LT(b.context, b.lzma);
  }
}

TEST(CheckpointQuality, IsManyTimesSmallerThanLossless) {
  const auto& reports = series().reports;
  fmt::print("lossless {} of {}; lossy {} and {}\n", reports[0].stored, reports[0].raw,
             reports[1].stored, reports[2].stored);
  EXPECT_GT(static_cast<double>(reports[2].raw), 9.0 * static_cast<double>(reports[2].stored));
}

double mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

double deviation(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += (x - mean(v)) * (x - mean(v));
  return std::sqrt(sum / static_cast<double>(v.size() - 1));
}

// Losses after training on from a checkpoint, for several orders of the data.
std::vector<double> resume(const Bytes& checkpoint, int steps) {
  std::vector<double> losses;
  for (uint32_t order = 0; order < 5; ++order) {
    TinyLm<float> model = new_model();
    load(checkpoint, layout_of(checkpoint).tensors, model);
    train(model, steps, 2000 + order);
    losses.push_back(held_out_loss(model));
  }
  return losses;
}

TEST(CheckpointQuality, TrainingResumesWithinTheNoise) {
  constexpr int kOn = 100;
  const std::vector<double> uninterrupted = resume(series().saved[2], kOn),
                            again = resume(series().restored[2], kOn);
  const std::vector<double> behind = resume(series().saved[0], kOn);
  const double noise = deviation(uninterrupted);
  fmt::print("loss {:.4f} +- {:.4f}, restored {:.4f}, from {} steps earlier {:.4f}\n",
             mean(uninterrupted), noise, mean(again), 2 * kBetween, mean(behind));
  EXPECT_LT(std::fabs(mean(again) - mean(uninterrupted)), noise);
  EXPECT_GT(mean(behind) - mean(uninterrupted), noise) << "the noise hides no real loss";
}

TEST(CheckpointPrediction, SaysWhatWasLost) {
  const io::Layout layout = layout_of(series().saved[2]);
  ASSERT_EQ(series().losses[2].size(), 9u) << "three matrices with two moments each";
  for (const TensorLoss& loss : series().losses[2]) {
    const auto t = std::ranges::find(layout.tensors, loss.tensor, &io::TensorRegion::name);
    ASSERT_NE(t, layout.tensors.end());
    double squares = 0, largest = 0;
    for (uint64_t at = t->offset; at < t->offset + t->size; at += 4) {
      const double error = static_cast<double>(load_le<float>(&series().restored[2][at])) -
                           static_cast<double>(load_le<float>(&series().saved[2][at]));
      squares += error * error;
      largest = std::max(largest, std::fabs(error));
    }
    EXPECT_DOUBLE_EQ(loss.max_error, largest);
    EXPECT_NEAR(loss.rms_error, std::sqrt(squares / static_cast<double>(loss.elements)),
                1e-9 * loss.rms_error);
    EXPECT_LT(loss.rms_error, 0.5 * loss.rms_residual) << loss.tensor;
    fmt::print("{:38} pruned {:4.1f}%  error/residual {:.3f}  error/value {:.4f}\n", loss.tensor,
               100.0 * static_cast<double>(loss.pruned) / static_cast<double>(loss.elements),
               loss.rms_error / loss.rms_residual, loss.rms_error / loss.rms_value);
  }
}

TEST(CheckpointPrediction, SecondMomentsStayPositiveAndSmallTensorsExact) {
  const io::Layout layout = layout_of(series().saved[2]);
  for (const io::TensorRegion& t : layout.tensors) {
    const ByteView saved = ByteView(series().saved[2]).subspan(t.offset, t.size);
    const ByteView restored = ByteView(series().restored[2]).subspan(t.offset, t.size);
    if (t.size < 4096) {
      EXPECT_TRUE(std::ranges::equal(saved, restored)) << t.name;
    }
    if (role_of(t.name) != Role::kSecondMoment) continue;
    for (size_t i = 0; i < t.size; i += 4) {
      const float before = load_le<float>(&saved[i]), after = load_le<float>(&restored[i]);
      ASSERT_GE(after, 0.0f);
      ASSERT_EQ(after == 0, before == 0) << "an update would be divided by nothing";
    }
  }
}

TEST(CheckpointPrediction, AnyRangeIsTheSameBytes) {
  const Bytes& file = series().saved[1];
  const Folder folder;
  const fs::path path = folder / "base.safetensors";
  AtomicFile out(path, false);
  out.write(series().saved[0]);
  out.commit();
  const auto base = archive::open_base({&path, 1});
  auto inputs =
      predict_checkpoint({{"c", archive::memory_source(file, "c.safetensors")}}, base, {});
  archive::Source& source = *inputs[0].source;
  source.layout();
  const Buffer whole = source.get(0, file.size());
  std::mt19937 random(1);
  for (int k = 0; k < 50; ++k) {
    const uint64_t at = random() % file.size(), n = random() % 5000;
    const Buffer part = source.get(at, n);
    ASSERT_TRUE(
        std::ranges::equal(part.bytes, whole.bytes.subspan(at, std::min(n, file.size() - at))));
  }
}

TEST(CheckpointPrediction, RefusesOptionsOutOfRange) {
  EXPECT_THROW(check({1, 0.5}), Error);
  EXPECT_THROW(check({9, 0.5}), Error);
  EXPECT_THROW(check({4, -1}), Error);
  EXPECT_THROW(check({4, NAN}), Error);
  EXPECT_NO_THROW(check({8, 0}));
}

TEST(Cluster, FindsTheGroups) {
  std::vector<double> v;
  for (int i = 0; i < 30; ++i) {
    for (const double center : {-1.0, 0.5, 2.0}) v.push_back(center + 0.001 * (i - 14.5));
  }
  std::ranges::sort(v);
  const std::vector<double> centers = cluster(v, 3);
  ASSERT_EQ(centers.size(), 3u);
  EXPECT_NEAR(centers[0], -1, 1e-9);
  EXPECT_NEAR(centers[1], 0.5, 1e-9);
  EXPECT_NEAR(centers[2], 2, 1e-9);
  EXPECT_EQ(cluster(std::vector<double>{1.0, 1.0}, 15).size(), 1u);
  EXPECT_TRUE(cluster({}, 15).empty());
}

}  // namespace
}  // namespace pith::recipe
