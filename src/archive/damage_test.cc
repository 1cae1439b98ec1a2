// Damage: every truncation, every flipped bit, and archives made to deceive.
#include "damage_testing.h"

namespace pith::archive {
namespace {

using namespace testing;

Model tiny_model() {
  Model m;
  m.gap(as_bytes("tiny")).bf16("a", 8, 32, 1).bf16("b", 130, 64, 2).gap(Bytes(9, 'z'));
  m.bf16("c", 130, 64, 2);  // equal to b: a reference
  return m;
}

// Everything that can be had from an archive is exact, or an Error is thrown.
bool exact_or_error(ByteView file, const Model& m) {
  try {
    const Archive a = Archive::open_memory(file);
    EXPECT_EQ(a.files().at(0).path, "model.bin");
    EXPECT_EQ(a.files()[0].hash, hash128(m.data));
    EXPECT_EQ(a.tensors().size(), m.layout.tensors.size());
    for (size_t t = 0; t < a.tensors().size(); ++t) {
      EXPECT_EQ(a.tensors()[t].region, m.layout.tensors[t]);
      EXPECT_TRUE(std::ranges::equal(a.read_tensor(t), m.bytes(t)));
    }
    EXPECT_EQ(whole_file(a, 0), m.data);
    return true;
  } catch (const Error& e) {
    EXPECT_TRUE(e.kind() == ErrorKind::kData) << e.what();
    return false;
  }
}

// What recovery gives is exact as well, with less of it.
void exact_parts(ByteView file, const Model& m) {
  try {
    const Recovery r = recover_memory(file);
    for (const size_t t : r.whole_tensors) {
      const TensorInfo& info = r.archive.tensors()[t];
      EXPECT_TRUE(
          std::ranges::equal(r.archive.read_tensor(t),
                             ByteView(m.data).subspan(info.region.offset, info.region.size)));
    }
    for (const size_t f : r.whole_files) EXPECT_EQ(whole_file(r.archive, f), m.data);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kData) << e.what();
  }
}

TEST(Damage, TruncationAtEveryByte) {
  const Model m = tiny_model();
  const Bytes file = archive_bytes(m);
  for (size_t n = 0; n < file.size(); ++n) {
    EXPECT_FALSE(exact_or_error(ByteView(file).first(n), m)) << n;
    if (n % 16 == 0) exact_parts(ByteView(file).first(n), m);
  }
  Bytes longer = file;
  longer.push_back(0);
  EXPECT_FALSE(exact_or_error(longer, m));
}

TEST(Damage, EveryBitFlipped) {
  const Model m = tiny_model();
  Bytes file = archive_bytes(m);
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    file[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    exact_or_error(file, m);
    if (bit % 61 == 0) exact_parts(file, m);
    file[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    if (HasFailure()) FAIL() << "bit " << bit;
  }
}

TEST(Damage, VerifySeesEveryFlippedByte) {
  const Model m = tiny_model();
  expect_verify_sees(archive_bytes(m), 1);
}

TEST(Damage, VerifyNamesTheTensors) {
  const Model m = tiny_model();
  Bytes file = archive_bytes(m);
  const Archive whole = Archive::open_memory(file);
  ASSERT_TRUE(whole.verify(1).ok());
  file[64 + 64 * 4 + 8000] ^= 1;  // within the coded bytes of b, which c refers to
  const VerifyReport report = Archive::open_memory(file).verify(1);
  ASSERT_FALSE(report.ok());
  std::vector<size_t> touched;
  for (const auto& p : report.problems) {
    touched.insert(touched.end(), p.tensors.begin(), p.tensors.end());
  }
  EXPECT_NE(std::ranges::find(touched, 1u), touched.end());
  EXPECT_NE(std::ranges::find(touched, 2u), touched.end());
}

TEST(Damage, TextModeAndOtherVersionsAreNamed) {
  Bytes file = archive_bytes(tiny_model());
  Bytes text = file;
  text.erase(text.begin() + 4);  // CR LF became LF
  EXPECT_NE(std::string(error_of([&] { Archive::open_memory(text); }).what()).find("text mode"),
            std::string::npos);
  const auto with_header = [&](ArchiveHeader header) {
    const Bytes head = write_header(header);
    Bytes other = file;
    std::ranges::copy(head, other.begin());
    return std::string(error_of([&] { Archive::open_memory(other); }).what());
  };
  EXPECT_NE(with_header({2, 3, 1, 0, 0}).find("version 2.3"), std::string::npos);
  EXPECT_NE(with_header({1, 7, 1, 0x30, 0}).find("4, 5"), std::string::npos);
  EXPECT_EQ(error_of([] { Archive::open_memory(as_bytes("PK\3\4")); }).kind(), ErrorKind::kData);
}

TEST(Damage, OptionalFeaturesAreIgnored) {
  const Model m = tiny_model();
  Bytes file = archive_bytes(m);
  ArchiveHeader header = read_header(file);
  header.minor = 9;
  header.optional = 0xFF00;
  std::ranges::copy(write_header(header), file.begin());
  EXPECT_TRUE(exact_or_error(file, m));
}

// The archive with another index in place of its own.
Bytes with_index(ByteView file, const Bytes& raw, uint64_t claimed_raw = 0) {
  const Footer old = read_footer(file);
  Bytes out(file.begin(), file.begin() + static_cast<ptrdiff_t>(old.index_at));
  append_index(raw, old.id, out, claimed_raw);
  return out;
}

class Hostile : public ::testing::Test {
 protected:
  Hostile() : model_(tiny_model()), file_(archive_bytes(model_)) { index_ = index_of(file_); }
  // Opening with the changed index must fail cleanly.
  void refused(std::string_view why) {
    const Bytes bad = with_index(file_, write_index(index_));
    const Error e = error_of([&] { Archive::open_memory(bad); });
    EXPECT_EQ(e.kind(), ErrorKind::kData) << why;
    EXPECT_NE(std::string(e.what()).find(why), std::string::npos) << e.what();
  }
  std::vector<Chunk>& chunks() { return index_.files[0].chunks; }

  Model model_;
  Bytes file_;
  Index index_;
};

TEST_F(Hostile, SameIndexIsFine) {
  EXPECT_TRUE(exact_or_error(with_index(file_, write_index(index_)), model_));
}
TEST_F(Hostile, ChunkBeyondTheEnd) {
  chunks().back().at = 1 << 30;
  refused("beyond the end");
}
TEST_F(Hostile, StoredLengthBeyondTheEnd) {
  chunks().back().stored = uint64_t{1} << 62;
  refused("beyond the end");
}
TEST(Damage, LengthsThatOverflow) {
  EXPECT_THROW(frame_span(UINT64_MAX - 10), Error);
  EXPECT_THROW(round_up(UINT64_MAX), Error);
}
TEST_F(Hostile, ChunkExpandsBeyondTheLimit) {
  chunks()[0].raw = lossless::kMaxBlock + 1;
  refused("too large");
}
TEST_F(Hostile, SizesDoNotAddUp) {
  index_.files[0].size += 1;
  refused("add up");
}
TEST_F(Hostile, NoChunksAtAll) {
  chunks().clear();
  refused("add up");
}
TEST_F(Hostile, EmptyChunk) {
  chunks()[0].raw = 0;
  refused("empty chunk");
}
TEST_F(Hostile, ReferenceToItself) {
  Chunk& ref = chunks().back();
  ASSERT_EQ(ref.kind, ChunkKind::kRef);
  ref.ref_offset = ref.offset;
  refused("reference");
}
TEST_F(Hostile, ReferenceForward) {
  chunks().back().ref_file = 7;
  refused("reference");
}
TEST_F(Hostile, ReferenceOverflows) {
  chunks().back().ref_offset = UINT64_MAX - 3;
  refused("overflows");
}
TEST_F(Hostile, ReferenceToReference) {
  Chunk again = chunks().back();
  again.offset += again.raw;
  again.ref_offset = chunks().back().offset;
  again.at += frame_span(again.stored);
  chunks().push_back(again);
  index_.files[0].size += again.raw;
  refused("reference");
}
TEST_F(Hostile, TensorOutsideItsFile) {
  index_.files[0].record.tensors.back().region.offset += 100;
  refused("within the file");
}
TEST_F(Hostile, TensorOfAnotherSize) {
  index_.files[0].record.tensors.back().region.shape[0] += 1;
  refused("shape");
}
TEST_F(Hostile, UnsafePaths) {
  for (const char* path : {"/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "", "a\\b"}) {
    index_.files[0].record.path = path;
    refused("unsafe path");
  }
  index_.files[0].record.path = std::string("a\0b", 3);
  refused("unsafe path");
}
TEST_F(Hostile, TwoFilesOfOnePath) {
  IndexedFile folder;
  folder.record.path = "model.bin";
  folder.record.kind = EntryKind::kDirectory;
  index_.files.push_back(folder);
  refused("same path");
}
TEST_F(Hostile, BaseNameThatIsAPath) {
  index_.base = BaseRecord{"../../secret", {}, 0, 0};
  refused("unsafe path");
  index_.base->name = "sub/base.pith";
  refused("is a path");
}

TEST_F(Hostile, HugeCountsAllocateNothing) {
  const auto opening = [&](const Bytes& raw, uint64_t claimed = 0) {
    const Bytes bad = with_index(file_, raw, claimed);
    return error_of([&] { Archive::open_memory(bad); });
  };
  Bytes raw;
  ByteWriter w(raw);
  w.varint(0);
  w.varint(uint64_t{1} << 60);
  EXPECT_EQ(opening(raw).kind(), ErrorKind::kData);
  EXPECT_EQ(opening(raw, uint64_t{1} << 40).kind(), ErrorKind::kLimit);
  EXPECT_EQ(opening(raw, uint64_t{200} << 20).kind(), ErrorKind::kData);
  for (size_t cut = 0; cut < 40; ++cut) {
    Bytes part = write_index(index_);
    part.resize(part.size() * cut / 40);
    EXPECT_EQ(opening(part).kind(), ErrorKind::kData);
  }
}

TEST(Damage, SwappedFramesAreNoticed) {
  // Two whole frames of equal length change places: each checksum holds, the places do not.
  Model m;
  m.tensor("a", DType::kU8, {1, 300000}, noise(300000, 1));
  m.tensor("b", DType::kU8, {1, 300000}, noise(300000, 2));
  Bytes file = archive_bytes(m);
  std::vector<size_t> frames;
  for (size_t at = 64; at < file.size(); at += 64) {
    const auto h = read_frame_header(ByteView(file).subspan(at));
    if (h && h->kind == FrameKind::kData) frames.push_back(at);
  }
  ASSERT_EQ(frames.size(), 2u);
  const auto length = static_cast<ptrdiff_t>(frames[1] - frames[0]);
  const auto first = file.begin() + static_cast<ptrdiff_t>(frames[0]);
  std::swap_ranges(first, first + length, first + length);
  EXPECT_FALSE(exact_or_error(file, m));
}

TEST_F(Hostile, MemoryLimitIsKept) {
  OpenOptions options;
  options.memory_limit = 1000;
  const Archive a = Archive::open_memory(file_, options);
  EXPECT_EQ(error_of([&] { a.read_tensor(1); }).kind(), ErrorKind::kLimit);
  Bytes one(1);
  EXPECT_EQ(error_of([&] { a.read(0, 1000, one); }).kind(), ErrorKind::kLimit);
}

}  // namespace
}  // namespace pith::archive
