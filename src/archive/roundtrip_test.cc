// What goes in comes out: whole, by tensor, by row, by byte range, for every kind of input.
#include <rapidcheck.h>
#include <unistd.h>

#include <thread>

#include "plan.h"
#include "testing.h"

namespace pith::archive {
namespace {

using namespace testing;
using lossless::Level;

Model small_model() {
  Model m;
  m.gap(as_bytes("header of the file"));
  m.bf16("embed", 300, 512, 1).bf16("norm", 1, 512, 2);
  m.gap(Bytes(6)).tensor("bias", DType::kF32, {7}, noise(28, 3)).bf16("up", 700, 1024, 4);
  return m;
}

TEST(RoundTrip, FileTensorsRowsAndRanges) {
  const Model m = small_model();
  for (const Level level : {Level::kFast, Level::kDefault, Level::kMax}) {
    const Bytes file = archive_bytes(m, {.level = level});
    const Archive a = Archive::open_memory(file);
    ASSERT_EQ(a.files().size(), 1u);
    EXPECT_EQ(a.files()[0].path, "model.bin");
    EXPECT_EQ(a.files()[0].format, "test");
    EXPECT_EQ(a.files()[0].metadata, m.layout.metadata);
    EXPECT_EQ(a.files()[0].hash, hash128(m.data));
    EXPECT_EQ(a.content_hash(), hash128(m.data));
    EXPECT_EQ(whole_file(a, 0, 2), m.data);
    ASSERT_EQ(a.tensors().size(), m.layout.tensors.size());
    for (size_t t = 0; t < a.tensors().size(); ++t) {
      EXPECT_EQ(a.tensors()[t].region, m.layout.tensors[t]);
      EXPECT_TRUE(std::ranges::equal(a.read_tensor(t, 2), m.bytes(t)));
    }
    const size_t up = a.find("up");
    Bytes rows(3 * a.row_bytes(up));
    a.read_rows(up, 511, 514, rows);
    EXPECT_TRUE(std::ranges::equal(rows, m.bytes(up).subspan(511 * 2048, 3 * 2048)));
    EXPECT_TRUE(a.verify(2).ok());
  }
}

TEST(RoundTrip, FindNamesCandidates) {
  Model m1, m2;
  m1.bf16("a.weight", 2, 8, 1).bf16("only", 2, 8, 2);
  m2.bf16("a.weight", 2, 8, 3);
  const std::vector<Input> inputs = {{"x.bin", m1.source(), 0}, {"y:z.bin", m2.source(), 0}};
  const Bytes file = archive_bytes(inputs);
  const Archive a = Archive::open_memory(file);
  EXPECT_EQ(a.find("only"), 1u);
  EXPECT_EQ(a.find("x.bin:a.weight"), 0u);
  EXPECT_EQ(a.find("y:z.bin:a.weight"), 2u);
  EXPECT_NE(std::string(error_of([&] { a.find("a.weight"); }).what()).find("'y:z.bin:a.weight'"),
            std::string::npos);
  EXPECT_NE(std::string(error_of([&] { a.find("b.weight"); }).what()).find("a.weight"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { a.find("nothing"); }).kind(), ErrorKind::kUsage);
}

TEST(RoundTrip, ReadsOutsideAreRefused) {
  const Model m = small_model();
  const Bytes file = archive_bytes(m);
  const Archive a = Archive::open_memory(file);
  Bytes out(10);
  EXPECT_EQ(error_of([&] { a.read(0, m.data.size() - 9, out); }).kind(), ErrorKind::kUsage);
  EXPECT_EQ(error_of([&] { a.read(0, UINT64_MAX - 4, out); }).kind(), ErrorKind::kUsage);
  EXPECT_EQ(error_of([&] { a.read_rows(0, 300, 301, out); }).kind(), ErrorKind::kUsage);
  EXPECT_EQ(error_of([&] { a.read_tensor(0, out); }).kind(), ErrorKind::kUsage);
  a.read(0, m.data.size(), {});
}

Model random_model() {
  static constexpr DType kTypes[] = {DType::kBF16,   DType::kF32,   DType::kI8, DType::kQ4_K,
                                     DType::kF6E2M3, DType::kBytes, DType::kF16};
  Model m;
  const int regions = *rc::gen::inRange(0, 24);
  for (int i = 0; i < regions; ++i) {
    const uint64_t seed = *rc::gen::inRange<uint64_t>(0, 6);  // few, so that some are equal
    if (*rc::gen::inRange(0, 3) == 0) {
      m.gap(noise(*rc::gen::element<uint64_t>(1, 7, 63, 64, 500, 20000, 200000), seed));
      continue;
    }
    const DType dtype =
        *rc::gen::elementOf(std::vector<DType>(std::begin(kTypes), std::end(kTypes)));
    const uint64_t columns =
        info(dtype).block_elements * *rc::gen::element<uint64_t>(1, 3, 32, 300);
    const std::vector<uint64_t> shape = {*rc::gen::element<uint64_t>(0, 1, 2, 17, 130), columns};
    m.tensor(fmt::format("t{}", i), dtype, shape, weights(*tensor_bytes(dtype, shape), seed));
  }
  return m;
}

TEST(RoundTrip, AnyLayout) {
  EXPECT_TRUE(rc::check([] {
    const Model m = random_model();
    // The highest level takes its time; FileTensorsRowsAndRanges has it.
    const auto level = static_cast<Level>(*rc::gen::inRange(0, 2));
    const Bytes one = archive_bytes(m, {.level = level, .threads = 1});
    RC_ASSERT(one == archive_bytes(m, {.level = level, .threads = 3}));
    RC_ASSERT(one.size() <= m.data.size() + m.data.size() / 1000 + 4096);
    const Archive a = Archive::open_memory(one);
    RC_ASSERT(whole_file(a, 0) == m.data);
    for (size_t t = 0; t < a.tensors().size(); ++t) {
      RC_ASSERT(std::ranges::equal(a.read_tensor(t), m.bytes(t)));
      a.detail(t);
    }
    for (int i = 0; i < 5 && !m.data.empty(); ++i) {
      const uint64_t first = *rc::gen::inRange<uint64_t>(0, m.data.size());
      Bytes part(*rc::gen::inRange<uint64_t>(0, std::min<uint64_t>(m.data.size() - first, 5000)));
      a.read(0, first, part);
      RC_ASSERT(std::ranges::equal(part, ByteView(m.data).subspan(first, part.size())));
    }
    RC_ASSERT(a.verify(1).ok());
  }));
}

TEST(RoundTrip, PlanCoversTheFile) {
  EXPECT_TRUE(rc::check([] {
    const Model m = random_model();
    uint64_t at = 0;
    for (const Unit& u : plan_units(m.layout.tensors, m.data.size(), Level::kDefault)) {
      RC_ASSERT(u.offset == at);
      RC_ASSERT(u.size > 0u);
      RC_ASSERT(u.size <= lossless::kMaxBlock);
      at += u.size;
    }
    RC_ASSERT(at == m.data.size());
  }));
}

TEST(RoundTrip, ManySmallTensorsCostLittle) {
  Model m;
  m.gap(Bytes(4000, 'x'));
  for (int i = 0; i < 10000; ++i) {
    m.tensor(fmt::format("layers.{}.scale", i), DType::kF32, {16}, Bytes(64, 7));
  }
  const Bytes file = archive_bytes(m);
  EXPECT_LT(file.size(), 120000u);
  EXPECT_TRUE(std::ranges::equal(Archive::open_memory(file).read_tensor(7777), m.bytes(7777)));
}

TEST(RoundTrip, NoiseGrowsByLessThanATenthOfAPercent) {
  Model m;
  for (int i = 0; i < 2000; ++i) {
    const auto type = i % 2 ? DType::kF32 : DType::kI8;
    m.tensor(fmt::format("{}", i), type, {i % 2 ? 64u : 256u}, noise(256, 1000 + i));
  }
  m.tensor("large", DType::kF16, {3000, 1000}, noise(6000000, 5));
  const Bytes file = archive_bytes(m);
  // The names stand in the layout only here, unlike in a real file.
  EXPECT_LE(file.size(), m.data.size() + m.data.size() / 1000 + 4096 + 2 * 2000 * 6);
}

TEST(RoundTrip, StreamOfUnknownLength) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{4 << 20}, uint64_t{9000001}}) {
    const Bytes data = weights(size, 9);
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    std::thread feeder([&] {
      fd_sink(ends[1])(data);
      ::close(ends[1]);
    });
    const std::vector<Input> inputs = {{"stdin", stream_source(ends[0]), 0}};
    const Bytes file = archive_bytes(inputs, {.threads = 2});
    feeder.join();
    ::close(ends[0]);
    const Archive a = Archive::open_memory(file);
    EXPECT_EQ(a.files()[0].size, size);
    EXPECT_EQ(whole_file(a, 0, 2), data);
  }
}

TEST(RoundTrip, AnotherLevelFromTheArchive) {
  const Model m = small_model();
  const Bytes first = archive_bytes(m, {.level = Level::kFast});
  const Archive a = Archive::open_memory(first);
  const Bytes second = archive_bytes(archive_inputs(a), {.level = Level::kMax});
  const Archive b = Archive::open_memory(second);
  EXPECT_EQ(whole_file(b, 0), m.data);
  EXPECT_EQ(a.content_hash(), b.content_hash());
  EXPECT_EQ(b.tensors().size(), a.tensors().size());
  // Through an archive or directly: the same bytes.
  EXPECT_EQ(second, archive_bytes(m, {.level = Level::kMax}));
}

TEST(RoundTrip, SoundnessOfLayoutsIsChecked) {
  Model m;
  m.bf16("a", 10, 10, 1);
  m.layout.tensors.push_back({"beyond", DType::kBF16, {10, 10}, 100, 200, false});
  const Bytes file = archive_bytes(m);
  const Archive a = Archive::open_memory(file);
  EXPECT_TRUE(a.tensors().empty());
  ASSERT_EQ(a.files()[0].notes.size(), 1u);
  EXPECT_EQ(whole_file(a, 0), m.data);
}

TEST(RoundTrip, ReportAddsUp) {
  const Model m = small_model();
  Bytes out;
  uint64_t seen = 0;
  const std::vector<Input> inputs = {{"model.bin", m.source(), 0755}};
  const WriteOptions options{.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_EQ(total, m.data.size());
    seen = done;
    return true;
  }};
  const WriteReport r = write_archive(
      inputs, [&](ByteView b) { out.insert(out.end(), b.begin(), b.end()); }, options);
  EXPECT_EQ(seen, m.data.size());
  EXPECT_EQ(r.raw, m.data.size());
  EXPECT_EQ(r.stored, out.size());
  EXPECT_EQ(r.content_hash, hash128(m.data));
  const Archive a = Archive::open_memory(out);
  ASSERT_EQ(r.files.at(0).tensors.size(), a.tensors().size());
  for (size_t t = 0; t < a.tensors().size(); ++t) {
    EXPECT_EQ(r.files[0].tensors[t].stored, a.detail(t).stored);
  }
}

TEST(RoundTrip, ManyThreadsReadOneArchive) {
  const Model m = small_model();
  const Bytes file = archive_bytes(m);
  const Archive a = Archive::open_memory(file);
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const size_t t = a.find("up");
      Bytes row(a.row_bytes(t));
      for (uint64_t r = static_cast<uint64_t>(i); r < 700; r += 8) {
        a.read_rows(t, r, r + 1, row);
        EXPECT_TRUE(std::ranges::equal(row, m.bytes(t).subspan(r * row.size(), row.size())));
      }
    });
  }
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace pith::archive
