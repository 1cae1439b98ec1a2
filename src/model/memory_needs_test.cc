#include "memory_needs.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expert_rows.h"
#include "pith/form/ggml_tensor.h"
#include "pith/model/session.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;

constexpr uint64_t kMiB = 1 << 20;

// A machine with 1000 MiB available and the files of control groups.
class Machine {
 public:
  Machine() {
    write("proc/meminfo", "MemTotal: 9000000 kB\nMemFree: 5 kB\nMemAvailable: 1024000 kB\n");
  }
  void write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((folder_.path() / file).parent_path());
    write_file(folder_.path() / file, as_bytes(text));
  }
  std::optional<uint64_t> left() const { return memory_left(folder_.path()).memory; }

 private:
  Folder folder_;
};

TEST(MemoryNeeds, WhatTheMachineHas) {
  Machine m;
  EXPECT_EQ(m.left(), 1000 * kMiB);
  m.write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(m.left(), 1000 * kMiB);
  EXPECT_FALSE(memory_left("/nowhere").memory);
  EXPECT_GT(available_memory().value_or(0), 0U);
}

TEST(MemoryNeeds, GroupsAndThoseAroundThemLimit) {
  Machine m;
  const std::string at = "sys/fs/cgroup/";
  m.write("proc/self/cgroup", "0::/outer/inner\n");
  m.write(at + "outer/inner/memory.max", "max\n");
  m.write(at + "outer/inner/memory.current", "1048576\n");
  EXPECT_EQ(m.left(), 1000 * kMiB);
  m.write(at + "outer/memory.max", fmt::format("{}\n", 500 * kMiB));
  EXPECT_EQ(m.left(), 500 * kMiB);
  m.write(at + "outer/memory.current", fmt::format("{}\n", 300 * kMiB));
  EXPECT_EQ(m.left(), 200 * kMiB);
  // Pages of files can be dropped.
  m.write(at + "outer/memory.stat",
          fmt::format("anon 5\ninactive_file {}\nactive_file {}\n", 150 * kMiB, 50 * kMiB));
  EXPECT_EQ(m.left(), 400 * kMiB);
  m.write(at + "outer/memory.current", fmt::format("{}\n", 900 * kMiB));
  EXPECT_EQ(m.left(), 0U) << "above its limit";
  m.write("proc/self/cgroup", "0::/../../outer\n");
  EXPECT_TRUE(m.left()) << "a path out of the mount is none of ours, and no endless walk";
}

TEST(MemoryNeeds, TheOldKindOfGroups) {
  Machine m;
  const std::string at = "sys/fs/cgroup/memory/job/";
  m.write("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/job\n0::/\nodd\n");
  m.write(at + "memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(m.left(), 1000 * kMiB);
  m.write(at + "memory.limit_in_bytes", fmt::format("{}\n", 100 * kMiB));
  m.write(at + "memory.usage_in_bytes", fmt::format("{}\n", 60 * kMiB));
  m.write(at + "memory.stat", fmt::format("cache 1\ntotal_inactive_file {}\n", 20 * kMiB));
  EXPECT_EQ(m.left(), 60 * kMiB);
}

TEST(MemoryNeeds, CachesOfAnySize) {
  DecoderConfig c = small_config();
  EXPECT_GE(cache_bytes(c, 1000), uint64_t{1000} * c.layers * c.kv_heads * c.head_size * 8);
  EXPECT_LT(cache_bytes(c, 1000), uint64_t{2000} * c.layers * c.kv_heads * (c.head_size + 16) * 8);
  EXPECT_EQ(cache_bytes(c, UINT64_MAX), UINT64_MAX);
  const MemoryWeights source(c, random_tensors(c));
  const uint64_t cache = cache_bytes(c, 50), all = source.bytes() + cache;
  EXPECT_NO_THROW(make_model(source, {.memory_limit = all, .positions = 50}));
  EXPECT_SAYS([&] { make_model(source, {.memory_limit = all - 1, .positions = 50}); },
              "keys and values of 50 positions");
  EXPECT_SAYS([&] { make_model(source, {.positions = UINT64_MAX}); }, "than any machine has");
}

TEST(MemoryNeeds, BlocksAreCountedUntilTheyAreRearranged) {
  DecoderConfig c = small_config();
  c.width = 64;
  c.feed_forward = 96;
  c.head_size = 32;
  c.rope_size = 32;
  const Tensors tensors = random_tensors(c);
  EXPECT_EQ(make_model(MemoryWeights(c, tensors)).unprepared_bytes(), 0U);
  const Folder folder;
  const auto path = folder.path() / "model.gguf";
  std::vector<io::TensorInfo> infos;
  Bytes data;
  uint64_t blocks = 0;
  for (const auto& [name, t] : gguf_tensors(c, tensors)) {
    const bool matrix = t.shape.size() == 2;
    infos.push_back({name, matrix ? DType::kQ8_0 : DType::kF32, t.shape});
    Bytes bytes = stored(t.values, DType::kF32);
    if (matrix) {
      const Buffer coded = form::to_ggml(DType::kQ8_0, {t.values.data(), {t.shape[0], t.shape[1]}});
      bytes.assign(coded.bytes.begin(), coded.bytes.end());
      if (name != "token_embd.weight") blocks += bytes.size();
    }
    data.insert(data.end(), bytes.begin(), bytes.end());
    data.resize((data.size() + 31) / 32 * 32);
  }
  Bytes file = io::gguf_header(testing::gguf_metadata(c), infos);
  file.insert(file.end(), data.begin(), data.end());
  write_file(path, file);
  const LanguageModel model = load_model(path), copy = model;
  EXPECT_GE(model.unprepared_bytes(), blocks);
  EXPECT_LE(model.unprepared_bytes(), blocks + blocks / 8);
  Session(model, 4).feed(std::vector<int32_t>{1});
  EXPECT_EQ(copy.unprepared_bytes(), 0U);
}

TEST(MemoryNeeds, RearrangedBlocksOfEachTypeAreForeseen) {
  const form::Shape shape{32, 512};
  const auto bytes = [&](const char* type) {
    DecoderWeights weights;
    weights.head.weight =
        form::encode(form::parse(fmt::format("ggml({})", type)), form::Matrix(shape).view());
    return rearranged_bytes(weights);
  };
  // Digits of three lie in two bits each, with a scale of 16 bits for 256.
  EXPECT_GE(bytes("tq1_0"), shape.size() / 4 + shape.size() / 128);
  EXPECT_GE(bytes("tq2_0"), shape.size() / 4 + shape.size() / 128);
  // Codes of 3 bits, sub-scales of a byte.
  EXPECT_GE(bytes("q3_K"), shape.size() * 3 / 8 + shape.size() / 16 + shape.size() / 128);
}

TEST(MemoryNeeds, ATensorOfManyExpertsCountsOnce) {
  const form::FormPtr all = form::encode(form::parse("ggml(q8_0)"), form::Matrix({24, 64}).view());
  DecoderWeights weights;
  Experts& experts = weights.layers.emplace_back().experts.emplace();
  for (uint64_t first = 0; first < 24; first += 8) {
    const Linear rows{expert_rows(all, first, first + 8), {}};
    experts.experts.push_back({rows, rows, rows});
  }
  EXPECT_GE(rearranged_bytes(weights), form::bits(*all) / 8);
  EXPECT_LE(rearranged_bytes(weights), form::bits(*all) / 8 * 9 / 8);
}

TEST(MemoryNeeds, WhatOthersWerePromisedIsNotThere) {
  const DecoderConfig c = small_config();
  const MemoryWeights source(c, random_tensors(c));
  EXPECT_NO_THROW(make_model(source, {.memory_limit = source.bytes() + 10, .others = 10}));
  EXPECT_SAYS([&] { make_model(source, {.memory_limit = source.bytes() + 10, .others = 11}); },
              "for others");
  const LanguageModel model = make_model(source);
  const Session first(model, 50);
  EXPECT_GT(first.needed_bytes(), first.cache_bytes());
  EXPECT_NO_THROW(Session(model, 50, 1, first.needed_bytes()));
  EXPECT_SAYS([&] { Session(model, 50, 1, UINT64_MAX); }, "for others");
}

// In a process of its own: the limit stays.
TEST(MemoryNeeds, ALimitOfAddressesIsAsGoodAsMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers take terabytes of addresses";
#endif
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{uint64_t{64} << 30, uint64_t{64} << 30};
    ::setrlimit(RLIMIT_AS, &limit);
    const auto left = memory_left().addresses;
    bool right = left && *left < limit.rlim_cur;
    try {
      Session(model, (uint64_t{65} << 30) / 1000);
      right = false;
    } catch (const Error& e) {
      right = right && e.kind() == ErrorKind::kLimit &&
              std::string_view(e.what()).find("shorter context") != std::string_view::npos;
    }
    ::_exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace pith::model
