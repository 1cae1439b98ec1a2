// The golden archives of every format version stay readable; and how one is made.
//
// To add one after a change of the format (never to repair an old one):
//   PITH_WRITE_GOLDEN=tests/golden/v1.0.pith archive_test --gtest_filter=Golden.MadeNow
//   PITH_WRITE_GOLDEN=tests/golden/v1.1.pith archive_test --gtest_filter=Golden.FormsMadeNow
#include <cmath>
#include <cstdlib>

#include "pith/base/float_elements.h"
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

// The same with matrices in forms. How forms are fitted may change; what these bytes decode to may
// not, and the hash in the archive says what that was.
Bytes golden_forms_archive() {
  const auto [x, y] = golden_models();
  const std::vector<Input> inputs = {{"model/a.bin", x.source(), 0},
                                     {"model/b.bin", y.source(), 0},
                                     {"model/empty", nullptr, 0755}};
  WriteOptions options;
  options.threads = 1;
  options.forms = {parse_form_rule("uniform(5, group=32)"),
                   parse_form_rule("head=hadamard | uniform(3, zero=true) + sparse(1%)"),
                   parse_form_rule("scale.3=dense(bf16)")};
  return archive_bytes(inputs, options);
}

void expect_golden_forms(const Archive& a) {
  const auto [x, y] = golden_models();
  EXPECT_TRUE(a.verify(1).ok());
  EXPECT_TRUE(std::ranges::equal(a.read_tensor(a.find("q")), x.bytes(22)));
  EXPECT_TRUE(std::ranges::equal(a.read_tensor(a.find("ids")), x.bytes(1)));
  for (const auto& [name, original] :
       {std::pair{"model/a.bin:embed", x.bytes(0)}, std::pair{"model/b.bin:embed", y.bytes(0)},
        std::pair{"head", y.bytes(1)}, std::pair{"scale.3", x.bytes(5)}}) {
    const size_t t = a.find(name);
    const form::FormPtr form = a.form(t);
    ASSERT_TRUE(form) << name;
    const DType dtype = a.tensors()[t].region.dtype;
    const Bytes raw = a.read_tensor(t);
    std::vector<float> read(form->shape().size()), there(read.size());
    floats_from(raw, dtype, false, read.data());
    floats_from(original, dtype, false, there.data());
    double squares = 0, differences = 0;
    for (size_t i = 0; i < read.size(); ++i) {
      squares += double{there[i]} * there[i];
      differences += (double{there[i]} - read[i]) * (double{there[i]} - read[i]);
    }
    EXPECT_LT(differences, 0.1 * squares) << name;
    EXPECT_NEAR(differences / squares, a.tensors()[t].form->error, 1e-9) << name;
  }
}

TEST(Golden, FormsMadeNow) {
  const Bytes file = golden_forms_archive();
  expect_golden_forms(Archive::open_memory(file));
  if (const char* target = std::getenv("PITH_WRITE_GOLDEN")) write_whole(target, file);
}

TEST(Golden, OfEveryVersion) {
  const fs::path folder =
      fs::path(__FILE__).parent_path().parent_path().parent_path() / "tests/golden";
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no golden archives yet";
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".pith") continue;
    SCOPED_TRACE(entry.path().string());
    const Archive archive = Archive::open(entry.path());
    if (archive.version().second == 0) {
      expect_golden(archive);
    } else {
      expect_golden_forms(archive);
    }
  }
}

}  // namespace
}  // namespace pith::archive
