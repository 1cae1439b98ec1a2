// The golden archives of every format version stay readable; and how one is made.
//
// To add one after a change of the format (never to repair an old one):
//   PITH_WRITE_GOLDEN=tests/golden/v1.0.pith archive_test --gtest_filter=Golden.*
#include <cstdlib>

#include "testing.h"

namespace pith::archive {
namespace {

using namespace testing;

// Fixed content of every kind: gaps, several types, tiny tensors, an equal tensor, two files, a
// folder. Integer arithmetic only, so that it is the same everywhere.
std::pair<Model, Model> golden_models() {
  Model x, y;
  x.gap(as_bytes("golden header"));
  x.bf16("embed", 128, 256, 1).tensor("ids", DType::kI32, {500}, noise(2000, 2));
  for (int i = 0; i < 20; ++i)
    x.tensor(fmt::format("scale.{}", i), DType::kF32, {16}, Bytes(64, 7));
  x.tensor("q", DType::kQ4_0, {20, 64}, noise(20 * 2 * 18, 3));
  y.bf16("embed", 128, 256, 1).bf16("head", 300, 512, 4).gap(Bytes(100, 0));
  return {x, y};
}

Bytes golden_archive() {
  const auto [x, y] = golden_models();
  const std::vector<Input> inputs = {{"model/a.bin", x.source(), 0},
                                     {"model/b.bin", y.source(), 0},
                                     {"model/empty", nullptr, 0755}};
  return archive_bytes(inputs, {.threads = 1});
}

void expect_golden(const Archive& a) {
  const auto [x, y] = golden_models();
  ASSERT_EQ(a.files().size(), 3u);
  EXPECT_EQ(a.files()[2].kind, EntryKind::kDirectory);
  EXPECT_EQ(whole_file(a, a.find_file("model/a.bin")), x.data);
  EXPECT_EQ(whole_file(a, a.find_file("model/b.bin")), y.data);
  EXPECT_TRUE(std::ranges::equal(a.read_tensor(a.find("q")), x.bytes(22)));
  EXPECT_EQ(a.detail(a.find("model/b.bin:embed")).shared, 128u * 256 * 2);
  EXPECT_TRUE(a.verify(1).ok());
}

TEST(Golden, MadeNow) {
  const Bytes file = golden_archive();
  expect_golden(Archive::open_memory(file));
  if (const char* target = std::getenv("PITH_WRITE_GOLDEN")) write_whole(target, file);
}

TEST(Golden, OfEveryVersion) {
  const fs::path folder =
      fs::path(__FILE__).parent_path().parent_path().parent_path() / "tests/golden";
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no golden archives yet";
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".pith") continue;
    SCOPED_TRACE(entry.path().string());
    expect_golden(Archive::open(entry.path()));
  }
}

}  // namespace
}  // namespace pith::archive
