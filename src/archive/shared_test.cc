// Equal bytes are stored once, wherever they lie.
#include "testing.h"

namespace pith::archive {
namespace {

using namespace testing;

TEST(Shared, EqualTensorsInOneFile) {
  Model once, twice;
  once.bf16("a", 2000, 1024, 1);
  twice.bf16("a", 2000, 1024, 1).gap(Bytes(100)).bf16("b", 2000, 1024, 1);
  const Bytes file = archive_bytes(twice);
  EXPECT_LT(file.size(), archive_bytes(once).size() + 1000);
  const Archive a = Archive::open_memory(file);
  EXPECT_EQ(whole_file(a, 0), twice.data);
  EXPECT_EQ(a.detail(1).shared, a.tensors()[1].region.size);
  EXPECT_TRUE(std::ranges::equal(a.read_tensor(1, 2), twice.bytes(1)));
  Bytes rows(a.row_bytes(1) * 700);
  a.read_rows(1, 900, 1600, rows);
  EXPECT_TRUE(std::ranges::equal(rows, twice.bytes(1).subspan(900 * 2048, rows.size())));
}

TEST(Shared, AcrossFilesAndAmongSmallTensors) {
  Model x, y;
  x.bf16("head", 100, 64, 1).bf16("small", 100, 128, 2).bf16("tail", 100, 64, 3);
  y.bf16("other", 100, 64, 4).bf16("copy", 100, 128, 2).bf16("more", 100, 64, 5);
  const std::vector<Input> inputs = {{"x", x.source(), 0}, {"y", y.source(), 0}};
  Bytes file;
  const WriteReport r =
      write_archive(inputs, [&](ByteView b) { file.insert(file.end(), b.begin(), b.end()); }, {});
  EXPECT_EQ(r.shared, 25600u);
  EXPECT_EQ(r.files[1].tensors[1].shared, 25600u);
  const Archive a = Archive::open_memory(file);
  EXPECT_EQ(whole_file(a, 0), x.data);
  EXPECT_EQ(whole_file(a, 1), y.data);
}

TEST(Shared, SameFileTwice) {
  TempDir dir;
  const Bytes data = weights(5000000, 3);
  write_whole(dir / "a/one.bin", data);
  write_whole(dir / "b/two.bin", data);
  const fs::path paths[] = {dir / "a", dir / "b"};
  const auto inputs = expand_inputs(paths);
  const WriteReport r = write_archive(inputs, dir / "x.pith", {});
  EXPECT_EQ(r.shared, data.size());
  const Archive a = Archive::open(dir / "x.pith");
  EXPECT_EQ(whole_file(a, a.find_file("b/two.bin"), 2), data);
}

}  // namespace
}  // namespace pith::archive
