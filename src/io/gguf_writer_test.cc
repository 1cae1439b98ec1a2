#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <fstream>

#include "pith/base/file.h"
#include "pith/io/gguf_write.h"
#include "pith/io/layout.h"

namespace pith::io {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "pith-gguf-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  bool empty() const { return fs::is_empty(path_); }

 private:
  fs::path path_;
};

std::string message(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// Not a constant: GCC would try for minutes to compute it.
GgufMetadata metadata() {
  GgufMetadata m;
  m.emplace_back("general.architecture", std::string("llama"));
  m.emplace_back("numbers", std::vector<uint32_t>{1, 2, 3});
  m.emplace_back("flag", true);
  return m;
}

RC_GTEST_PROP(GgufWriter, FilesAreReadBack, ()) {
  std::vector<TensorInfo> tensors;
  std::vector<Bytes> data;
  const int count = *rc::gen::inRange(0, 5);
  for (int i = 0; i < count; ++i) {
    const auto type = *rc::gen::element(DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ2_K);
    const uint64_t row = info(type).block_elements * *rc::gen::inRange<uint64_t>(0, 4);
    TensorInfo t{fmt::format("t{}", i), type, {*rc::gen::inRange<uint64_t>(0, 4), row}};
    if (*rc::gen::inRange(0, 3) == 0) t.shape = {row};
    data.emplace_back(*tensor_bytes(t.dtype, t.shape), static_cast<uint8_t>(i + 1));
    tensors.push_back(std::move(t));
  }
  const Folder folder;
  const fs::path path = folder / "model.gguf";
  GgufWriter out(path, false, metadata(), tensors);
  for (const Bytes& bytes : data) {
    const auto cut = *rc::gen::inRange<size_t>(0, bytes.size() + 1);
    out.write(ByteView(bytes).first(cut));
    out.write(ByteView(bytes).subspan(cut));
  }
  RC_ASSERT(!fs::exists(path));
  out.commit();
  const Bytes file = read_file(path);
  RC_ASSERT(read_gguf_metadata(file) == metadata());
  const Layout layout = describe(file, path).layout;
  RC_ASSERT(layout.notes.empty());
  RC_ASSERT(layout.tensors.size() == tensors.size());
  for (const TensorRegion& region : layout.tensors) {
    const auto i = static_cast<size_t>(region.name[1] - '0');
    RC_ASSERT(region.dtype == tensors[i].dtype);
    RC_ASSERT(region.shape == tensors[i].shape);
    RC_ASSERT(std::ranges::equal(ByteView(file).subspan(region.offset, region.size), data[i]));
  }
}

TEST(GgufWriter, LeavesNothingWhereItDoesNotEnd) {
  const Folder folder;
  const Bytes data(16);
  {
    GgufWriter out(folder / "a", false, {}, {{"t", DType::kF32, {4}}});
    EXPECT_EQ(message([&] { out.commit(); }), "gguf: 16 bytes are missing of tensor 't'");
    out.write(ByteView(data).first(12));
    EXPECT_EQ(message([&] { out.write(data); }), "gguf: 12 bytes too many for tensor 't'");
    EXPECT_EQ(message([&] { out.commit(); }), "gguf: 4 bytes are missing of tensor 't'");
    out.write(ByteView(data).first(4));
    EXPECT_EQ(message([&] { out.write(data); }), "gguf: 16 bytes too many for the file");
  }
  EXPECT_TRUE(folder.empty());
}

TEST(GgufWriter, DoesNotOverwriteUnasked) {
  const Folder folder;
  std::ofstream(folder / "a") << "here";
  EXPECT_THROW(GgufWriter(folder / "a", false, {}, {}), Error);
  GgufWriter(folder / "a", true, {}, {}).commit();
  EXPECT_EQ(describe(read_file(folder / "a"), "a").layout.format, "gguf");
}

TEST(GgufWriter, RefusesWhatCannotBeRead) {
  const Folder folder;
  const auto refused = [&](const GgufMetadata& metadata, std::vector<TensorInfo> tensors) {
    return message([&] { GgufWriter(folder / "a", false, metadata, std::move(tensors)); });
  };
  const std::string longest(63, 'n');
  EXPECT_EQ(refused({}, {{longest, DType::kF32, {2}}}), "");
  EXPECT_NE(refused({}, {{longest + "n", DType::kF32, {2}}}).find("64 bytes, more than 63"),
            std::string::npos);
  EXPECT_NE(refused({}, {{"t", DType::kF32, {1, 1, 1, 1, 2}}}).find("5 dimensions, more than 4"),
            std::string::npos);
  EXPECT_NE(refused({{"k", true}, {"k", true}}, {}).find("key 'k' stands twice"),
            std::string::npos);
  EXPECT_NE(refused({{"\xFF", true}}, {}).find("not UTF-8"), std::string::npos);
  EXPECT_NE(refused({{"k", std::string("\xC3")}}, {}).find("not UTF-8"), std::string::npos);
  EXPECT_NE(refused({}, {{"t", DType::kU8, {2}}}).find("no type u8"), std::string::npos);
  EXPECT_NE(refused({}, {{"t", DType::kQ8_0, {2, 33}}}).find("not whole blocks"),
            std::string::npos);
  EXPECT_NE(refused({}, {{"t", DType::kF32, {uint64_t{1} << 40, uint64_t{1} << 40}}}), "");
  EXPECT_TRUE(folder.empty());
}

}  // namespace
}  // namespace pith::io
