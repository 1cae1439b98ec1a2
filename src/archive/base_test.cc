// Deltas: chains, and every way in which a base can be missing or wrong.
#include "pith/archive/base.h"

#include "testing.h"

namespace pith::archive {
namespace {

using namespace testing;

// A fine-tuned step: the same model with a few bytes changed.
Model step(int number) {
  Model m;
  m.gap(as_bytes("header")).bf16("w", 600, 1024, 1).bf16("norm", 1, 1024, 2);
  for (int s = 1; s <= number; ++s) {
    for (size_t i = static_cast<size_t>(s) * 31; i < m.data.size(); i += 997) m.data[i] ^= 1;
  }
  m.bf16(fmt::format("new{}", number), 100, 100, 7);
  return m;
}

struct Steps {
  explicit Steps(int n) {
    for (int s = 0; s < n; ++s) {
      models.push_back(step(s));
      write_whole(dir / fmt::format("step{}.raw", s), models.back().data);
      WriteOptions options;
      if (s > 0) {
        const fs::path base = path(s - 1);
        options.base = open_base({&base, 1});
      }
      const std::vector<Input> inputs = {{"model.bin", models.back().source(), 0}};
      write_archive(inputs, path(s), options);
    }
  }
  fs::path path(int s) const { return dir / fmt::format("step{}.pith", s); }

  TempDir dir;
  std::vector<Model> models;
};

TEST(Base, ChainOfThree) {
  const Steps steps(4);
  for (int s = 0; s < 4; ++s) {
    const Archive a = Archive::open(steps.path(s));
    EXPECT_EQ(a.base_depth(), static_cast<uint32_t>(s));
    EXPECT_EQ(whole_file(a, 0, 2), steps.models[s].data);
    EXPECT_EQ(a.content_hash(), hash128(steps.models[s].data));
    EXPECT_LT(a.stored_size(), s > 0 ? 40000u : 2000000u) << "a few differences only";
    EXPECT_TRUE(a.verify(2).ok());
  }
}

TEST(Base, OriginalFileServesAsWell) {
  const Steps steps(2);
  fs::remove(steps.path(0));
  OpenOptions options;
  options.bases = {steps.dir / "step0.raw"};
  EXPECT_EQ(whole_file(Archive::open(steps.path(1), options), 0), steps.models[1].data);
  // Beside the archive, under the recorded name.
  fs::rename(steps.dir / "step0.raw", steps.path(0));
  EXPECT_EQ(whole_file(Archive::open(steps.path(1)), 0), steps.models[1].data);
}

TEST(Base, RawBaseOfAnotherPath) {
  TempDir dir;
  const Model m = step(0), n = step(1);
  write_whole(dir / "a/old-name.bin", m.data);
  const Bytes standalone = archive_bytes(m);
  const Archive base = Archive::open_memory(standalone);
  const Bytes delta = archive_bytes(n, {.base = archive_base(base, "old.pith")});
  OpenOptions options;
  options.bases = {dir / "a/old-name.bin"};
  EXPECT_EQ(whole_file(Archive::open_memory(delta, options), 0), n.data);
}

TEST(Base, MissingIsNamedButOnlyWhenNeeded) {
  const Steps steps(2);
  fs::remove(steps.path(0));
  const Archive a = Archive::open(steps.path(1));
  EXPECT_EQ(a.tensors().size(), 3u);
  EXPECT_TRUE(std::ranges::equal(a.read_tensor(2), steps.models[1].bytes(2))) << "no base";
  const Error e = error_of([&] { a.read_tensor(0); });
  EXPECT_EQ(e.kind(), ErrorKind::kBase);
  const std::string text = e.what();
  EXPECT_NE(text.find(hash128(steps.models[0].data).hex()), std::string::npos) << text;
  EXPECT_NE(text.find("step0.pith (looked in "), std::string::npos) << text;
  EXPECT_NE(text.find("--base"), std::string::npos) << text;
  EXPECT_EQ(error_of([&] { a.verify(1); }).kind(), ErrorKind::kBase);
}

TEST(Base, WrongOneIsNamedWithBothHashes) {
  const Steps steps(3);
  fs::copy_file(steps.path(1), steps.path(0), fs::copy_options::overwrite_existing);
  OpenOptions options;
  options.bases = {steps.dir / "step2.raw"};
  const Archive a = Archive::open(steps.path(1), options);
  const std::string text = error_of([&] { a.read_tensor(0); }).what();
  EXPECT_NE(text.find(hash128(steps.models[0].data).hex()), std::string::npos) << text;
  EXPECT_NE(text.find(hash128(steps.models[1].data).hex()), std::string::npos) << text;
  EXPECT_NE(text.find("step2.raw"), std::string::npos) << text;
}

TEST(Base, DamagedOrAbsentExplicitBaseIsReported) {
  const Steps steps(2);
  fs::remove(steps.path(0));
  write_whole(steps.dir / "bad.pith", ByteView(read_file(steps.path(1))).first(100));
  OpenOptions options;
  options.bases = {steps.dir / "bad.pith", steps.dir / "absent"};
  const Error e = error_of([&] { Archive::open(steps.path(1), options).open_base(); });
  EXPECT_EQ(e.kind(), ErrorKind::kBase);
  EXPECT_NE(std::string(e.what()).find("absent"), std::string::npos) << e.what();
}

TEST(Base, CircleIsRefused) {
  TempDir dir;
  const Model a = step(0), b = step(1);
  const Bytes plain_a = archive_bytes(a), plain_b = archive_bytes(b);
  const auto base_of = [](const Bytes& file, const char* name) {
    return archive_base(Archive::open_memory(file), name);
  };
  // Each claims to be a difference to the other.
  write_whole(dir / "a.pith", archive_bytes(a, {.base = base_of(plain_b, "b.pith")}));
  write_whole(dir / "b.pith", archive_bytes(b, {.base = base_of(plain_a, "a.pith")}));
  const Error e = error_of([&] { Archive::open(dir / "a.pith").read_tensor(0); });
  EXPECT_EQ(e.kind(), ErrorKind::kBase);
  EXPECT_NE(std::string(e.what()).find("circle"), std::string::npos) << e.what();
}

TEST(Base, DepthIsBounded) {
  class Deep : public Base {
   public:
    BaseRecord record() const override { return {"deep.pith", {}, 0, kMaxBaseDepth}; }
    size_t file_count() const override { return 0; }
    std::string path(size_t) const override { return ""; }
    std::span<const io::TensorRegion> tensors(size_t) const override { return {}; }
    uint64_t size(size_t) const override { return 0; }
    void read(size_t, uint64_t, MutableByteView) const override {}
  };
  EXPECT_EQ(error_of([] { archive_bytes(step(0), {.base = std::make_shared<Deep>()}); }).kind(),
            ErrorKind::kBase);
}

TEST(Base, RebaseThroughAnArchive) {
  const Steps steps(3);
  const Archive a = Archive::open(steps.path(2));
  const Bytes alone = archive_bytes(archive_inputs(a));
  const Archive b = Archive::open_memory(alone);
  EXPECT_EQ(b.base_depth(), 0u);
  EXPECT_EQ(whole_file(b, 0), steps.models[2].data);
}

TEST(Base, ContentHashIgnoresPathsButNotOrder) {
  const Hash128 h1 = hash128(as_bytes("1")), h2 = hash128(as_bytes("2"));
  EXPECT_EQ(content_hash({{"a", 1, h1}}), h1);
  EXPECT_EQ(content_hash({{"a", 1, h1}, {"b", 1, h2}}), content_hash({{"d", 1, h2}, {"c", 1, h1}}));
  EXPECT_NE(content_hash({{"a", 1, h1}, {"b", 1, h2}}), content_hash({{"a", 1, h2}, {"b", 1, h1}}));
}

}  // namespace
}  // namespace pith::archive
