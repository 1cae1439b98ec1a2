// Recovery: a lost tail at every frame, damage in the middle, nested archives.
#include "pith/archive/recover.h"

#include "frame.h"
#include "testing.h"

namespace pith::archive {
namespace {

using namespace testing;

struct Sample {
  Sample() {
    x.gap(as_bytes("x header")).bf16("x.w", 1500, 1024, 1).bf16("x.norm", 1, 512, 2);
    y.bf16("y.w", 700, 1024, 3).bf16("y.copy", 1500, 1024, 1);
    const std::vector<Input> inputs = {
        {"x.bin", x.source(), 0}, {"y.bin", y.source(), 0}, {"sub", nullptr, 0755}};
    file = archive_bytes(inputs);
    for (size_t at = kAlign; at < file.size();) {
      const auto header = read_frame_header(ByteView(file).subspan(at));
      if (!header) break;
      frames.emplace_back(at, header->kind);
      at += frame_span(header->stored);
    }
  }
  const Model& model(std::string_view path) const {
    return path == "x.bin" || path == "lost-name-0" ? x : y;
  }

  Model x, y;
  Bytes file;
  std::vector<std::pair<size_t, FrameKind>> frames;
};

void check_parts(const Recovery& r, const Sample& s) {
  for (const size_t t : r.whole_tensors) {
    const TensorInfo& info = r.archive.tensors()[t];
    const Model& m = s.model(r.archive.files()[info.file].path);
    EXPECT_TRUE(std::ranges::equal(r.archive.read_tensor(t),
                                   ByteView(m.data).subspan(info.region.offset, info.region.size)));
  }
  for (const size_t t : r.damaged_tensors) EXPECT_THROW(r.archive.read_tensor(t), Error);
  for (const size_t f : r.whole_files) {
    const FileInfo& info = r.archive.files()[f];
    if (info.kind == EntryKind::kRegular) {
      EXPECT_EQ(whole_file(r.archive, f), s.model(info.path).data);
    }
  }
  for (const size_t f : r.damaged_files) EXPECT_THROW(whole_file(r.archive, f), Error);
}

TEST(Recover, WholeArchiveKeepsEverything) {
  const Sample s;
  const Recovery r = recover_memory(s.file);
  EXPECT_TRUE(r.index_survived);
  EXPECT_EQ(r.whole_files.size(), 3u);
  EXPECT_EQ(r.whole_tensors.size(), 4u);
  EXPECT_EQ(r.lost_bytes, 0u);
  EXPECT_TRUE(r.notes.empty());
  check_parts(r, s);
}

TEST(Recover, TailLostAtEachFrame) {
  const Sample s;
  size_t before = 0;
  for (const auto& [at, kind] : s.frames) {
    if (at <= kAlign) continue;  // the header alone: nothing to recover
    const Recovery r = recover_memory(ByteView(s.file).first(at));
    EXPECT_FALSE(r.index_survived);
    EXPECT_GE(r.whole_tensors.size(), before) << "more bytes, no less recovered";
    before = r.whole_tensors.size();
    check_parts(r, s);
  }
  EXPECT_EQ(before, 4u);
}

TEST(Recover, FooterLost) {
  const Sample s;
  const Recovery r = recover_memory(ByteView(s.file).first(s.file.size() - 1));
  EXPECT_TRUE(r.index_survived);
  EXPECT_EQ(r.whole_files.size(), 3u);
}

TEST(Recover, EachFrameDestroyed) {
  const Sample s;
  for (const bool index_too : {false, true}) {
    for (const auto& [at, kind] : s.frames) {
      Bytes bad = s.file;
      std::fill_n(bad.begin() + static_cast<ptrdiff_t>(at), 100, uint8_t{0xEE});
      if (index_too) std::fill_n(bad.end() - 300, 300, uint8_t{0xEE});
      const Recovery r = recover_memory(bad);
      check_parts(r, s);
      EXPECT_GE(r.whole_tensors.size() + r.damaged_tensors.size(), 2u);
      const bool content = kind == FrameKind::kData || kind == FrameKind::kRef;
      EXPECT_EQ(r.lost_bytes > 0, content) << kind_name(kind);
      EXPECT_TRUE(index_too || content || r.whole_files.size() == 3) << kind_name(kind);
    }
  }
}

TEST(Recover, HeaderLost) {
  const Sample s;
  Bytes bad = s.file;
  std::fill_n(bad.begin(), 64, uint8_t{0});
  const Recovery r = recover_memory(bad);
  EXPECT_EQ(r.whole_files.size(), 3u);
  check_parts(r, s);
}

TEST(Recover, LostRangesAreNamed) {
  const Sample s;
  Bytes bad = s.file;
  const auto data =
      std::ranges::find(s.frames, FrameKind::kData, &std::pair<size_t, FrameKind>::second);
  bad[data->first + 70] ^= 1;
  const Recovery r = recover_memory(bad);
  ASSERT_FALSE(r.notes.empty());
  EXPECT_NE(r.notes.front().find("x.bin: bytes 0.."), std::string::npos) << r.notes.front();
  EXPECT_FALSE(r.archive.lost(0).empty());
}

TEST(Recover, FramesOfANestedArchiveAreNotTaken) {
  const Sample inner;
  Model outer;
  outer.gap(inner.file).bf16("w", 100, 1024, 9);
  const std::vector<Input> inputs = {{"outer.bin", outer.source(), 0}};
  Bytes file = archive_bytes(inputs);
  for (size_t at = 64; at < file.size(); at += 64) {
    const auto header = read_frame_header(ByteView(file).subspan(at));
    if (header && header->kind == FrameKind::kData) file[at] ^= 1;  // makes the scan look inside
  }
  const Recovery r = recover_memory(file);
  ASSERT_EQ(r.archive.files().size(), 1u);
  EXPECT_EQ(r.archive.files()[0].path, "outer.bin");
}

TEST(Recover, VerifyOfWhatIsLeft) {
  const Sample s;
  for (size_t n = s.file.size(); n > 1000; n -= std::min<size_t>(n, 9973)) {
    try {
      const Recovery r = recover_memory(ByteView(s.file).first(n));
      EXPECT_EQ(r.archive.verify(1).ok(), false);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kData);
    }
  }
  // A frame where the header should be (found by fuzzing).
  Bytes bad(s.file.begin() + 64, s.file.end() - 32);
  EXPECT_FALSE(recover_memory(bad).archive.verify(1).ok());
}

TEST(Recover, NoArchiveAtAll) {
  EXPECT_EQ(error_of([] { recover_memory(noise(10000, 1)); }).kind(), ErrorKind::kData);
  EXPECT_EQ(error_of([] { recover_memory({}); }).kind(), ErrorKind::kData);
}

TEST(Recover, DeltaFindsItsBase) {
  TempDir dir;
  const Sample s;
  const std::vector<Input> inputs = {{"x.bin", s.x.source(), 0}};
  write_archive(inputs, dir / "base.pith", {});
  const fs::path base = dir / "base.pith";
  Model changed = s.x;
  for (size_t i = 100; i < changed.data.size(); i += 1001) changed.data[i] ^= 1;
  const std::vector<Input> next = {{"x.bin", changed.source(), 0}};
  const Bytes file = archive_bytes(next, {.base = open_base({&base, 1})});
  write_whole(dir / "cut.pith", ByteView(file).first(file.size() - 100));
  const Recovery r = recover(dir / "cut.pith");
  EXPECT_EQ(r.whole_tensors.size(), 2u);
  EXPECT_EQ(whole_file(r.archive, 0), changed.data);
}

}  // namespace
}  // namespace pith::archive
