// Archives with forms that were cut, changed, or made to deceive.
#include "damage_testing.h"
#include "form_chunk.h"
#include "pith/base/float_elements.h"

namespace pith::archive {
namespace {

using namespace testing;

Bytes wave(uint64_t n) {
  std::vector<float> values(n);
  for (uint64_t i = 0; i < n; ++i) values[i] = static_cast<float>(i * 37 % 101) / 101 - 0.5f;
  Bytes raw(2 * n);
  elements_from(values, DType::kBF16, false, raw);
  return raw;
}

Model small_model() {
  Model m;
  m.gap(as_bytes("small")).tensor("a", DType::kBF16, {6, 40}, wave(240));
  m.bf16("b", 8, 16, 2).tensor("c", DType::kBF16, {130, 64}, wave(130 * 64)).gap(Bytes(9, 'z'));
  m.tensor("d", DType::kBF16, {130, 64}, wave(130 * 64));  // equal to c: a reference
  return m;
}

WriteOptions forms() {
  WriteOptions options;
  options.threads = 1;
  options.forms = {parse_form_rule("uniform(2, group=32)"), lossless_rule("b")};
  return options;
}

struct Expected {
  Expected() : model(small_model()), file(archive_bytes(model, forms())) {
    const Archive a = Archive::open_memory(file);
    content = whole_file(a, 0);
    hash = hash128(content);
    form = form::write(*a.form(2));
  }
  // Everything that can be had is what was written, or an Error of data is thrown.
  void check(ByteView changed) const {
    try {
      const Archive a = Archive::open_memory(changed);
      if (const auto f = a.form(2)) {
        ASSERT_EQ(form::write(*f), form);
      }
      for (size_t t = 0; t < a.tensors().size(); ++t) {
        const io::TensorRegion& r = model.layout.tensors[t];
        ASSERT_TRUE(
            std::ranges::equal(a.read_tensor(t), ByteView(content).subspan(r.offset, r.size)));
      }
      ASSERT_EQ(whole_file(a, 0), content);
    } catch (const Error& e) {
      ASSERT_EQ(e.kind(), ErrorKind::kData) << e.what();
    }
  }

  Model model;
  Bytes file, content, form;
  Hash128 hash;
};

TEST(FormDamage, CutAnywhere) {
  const Expected e;
  e.check(e.file);
  for (size_t n = 0; n < e.file.size(); n += n % 7 + 1) {
    EXPECT_ANY_THROW(Archive::open_memory(ByteView(e.file).first(n)));
  }
}

TEST(FormDamage, AnyBitFlipped) {
  const Expected e;
  Bytes file = e.file;
  for (size_t bit = 0; bit < file.size() * 8; bit += bit % 3 + 1) {
    file[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    e.check(file);
    file[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    if (HasFailure()) FAIL() << "bit " << bit;
  }
}

TEST(FormDamage, VerifySeesEveryFlippedByte) {
  const Expected e;
  expect_verify_sees(e.file, 3);
}

TEST(FormDamage, RecoveredWithoutTheIndex) {
  const Expected e;
  const Footer footer = read_footer(e.file);
  const Recovery r = recover_memory(ByteView(e.file).first(footer.index_at));
  EXPECT_FALSE(r.index_survived);
  EXPECT_EQ(r.whole_files.size(), 1u);
  EXPECT_EQ(whole_file(r.archive, 0), e.content);
  EXPECT_EQ(form::write(*r.archive.form(2)), e.form);
  EXPECT_GT(r.archive.tensors()[2].form->error, 0);
  EXPECT_TRUE(r.archive.form(3));
}

TEST(FormDamage, ALostFormLosesItsTensorsAndNoOther) {
  const Expected e;
  Bytes file = e.file;
  const auto at = std::search(file.begin(), file.end(), e.form.begin(), e.form.end());
  ASSERT_NE(at, file.end());
  *(at + static_cast<ptrdiff_t>(e.form.size()) - 1) ^= 1;
  const Recovery r = recover_memory(file);
  EXPECT_EQ(r.damaged_tensors, (std::vector<size_t>{2, 3}));
  EXPECT_EQ(r.whole_tensors, (std::vector<size_t>{0, 1}));
  EXPECT_FALSE(r.archive.form(2));
  EXPECT_THROW(r.archive.read_tensor(2), Error);
}

// The archive of one tensor in a form, put together by hand.
Bytes one_form(const FormRecord& record, ByteView form, const io::TensorRegion& tensor,
               uint64_t raw) {
  Bytes out;
  ArchiveHeader header;
  header.minor = kMinorWithForms;
  header.id = 7;
  header.required = kFeatureForms;
  out = write_header(header);
  const Bytes payload = form_payload(record, form);
  FrameHeader frame{FrameKind::kForm, 0, 7};
  frame.stored = payload.size();
  frame.raw = raw;
  frame.payload_hash = hash64(payload);
  write_frame_header(frame, out);
  out.insert(out.end(), payload.begin(), payload.end());
  out.resize(round_up(out.size()));
  Index index;
  IndexedFile file;
  file.record.path = "f";
  file.record.size = file.size = raw;
  file.record.tensors.push_back({tensor, {}});
  file.chunks.push_back({0, raw, 64, payload.size(), 0, 0, ChunkKind::kForm, 0});
  file.forms.push_back(record);
  index.files.push_back(file);
  append_index(write_index(index), 7, out);
  return out;
}

class HostileForm : public ::testing::Test {
 protected:
  Error read_error(const Bytes& file, OpenOptions options = {}) {
    const Archive a = Archive::open_memory(file, options);
    Bytes some(2);
    return error_of([&] { a.read(0, 0, some); });
  }
  static Bytes form_of(uint64_t rows, uint64_t cols, const char* expression) {
    return form::write(*form::encode(form::parse(expression), form::Matrix({rows, cols}).view()));
  }

  FormRecord record_{DType::kF32, false, {"dense(f32)", 0, 0, 0}};
  io::TensorRegion tensor_{"t", DType::kF32, {4, 8}, 0, 128, false};
};

TEST_F(HostileForm, WhatIsRightIsRead) {
  const Bytes file = one_form(record_, form_of(4, 8, "dense(f32)"), tensor_, 128);
  const Archive a = Archive::open_memory(file);
  EXPECT_EQ(a.read_tensor(0), Bytes(128));
  EXPECT_EQ(a.form(0)->shape(), (form::Shape{4, 8}));
}

TEST_F(HostileForm, OfAnotherSizeOrShape) {
  EXPECT_EQ(read_error(one_form(record_, form_of(4, 9, "dense(f32)"), tensor_, 128)).kind(),
            ErrorKind::kData);
  const Bytes turned = one_form(record_, form_of(8, 4, "dense(f32)"), tensor_, 128);
  const Archive a = Archive::open_memory(turned);
  EXPECT_EQ(error_of([&] { a.form(0); }).kind(), ErrorKind::kData);
}

TEST_F(HostileForm, OfNoFormAtAll) {
  EXPECT_EQ(read_error(one_form(record_, noise(300, 1), tensor_, 128)).kind(), ErrorKind::kData);
  EXPECT_EQ(read_error(one_form(record_, Bytes{5, 'd', 'e', 'n', 's', 'e'}, tensor_, 128)).kind(),
            ErrorKind::kData);
}

TEST_F(HostileForm, OfElementsThatAreNoFloats) {
  record_.dtype = DType::kQ4_0;
  const Bytes file = one_form(record_, form_of(4, 8, "dense(f32)"), tensor_, 128);
  EXPECT_EQ(error_of([&] { Archive::open_memory(file); }).kind(), ErrorKind::kData);
}

TEST_F(HostileForm, OfARowBeyondTheMemoryLimit) {
  // Next to nothing is stored, and a row of 16 GiB is declared.
  const uint64_t cols = uint64_t{1} << 32;
  Bytes form;
  ByteWriter w(form);
  w.string("sparse");
  w.varint(1);
  w.varint(cols);
  const Bytes small = form_of(1, 8, "sparse(0%)");
  const size_t head = 7 + 1 + 1;
  form.insert(form.end(), small.begin() + head, small.end());
  tensor_.shape = {1, cols};
  tensor_.size = 4 * cols;
  OpenOptions options;
  options.memory_limit = 1 << 20;
  const ErrorKind kind = read_error(one_form(record_, form, tensor_, 4 * cols), options).kind();
  EXPECT_TRUE(kind == ErrorKind::kLimit || kind == ErrorKind::kData);
}

TEST_F(HostileForm, CyclesAndForwardReferencesAreStillRefused) {
  const Expected e;
  const Footer footer = read_footer(e.file);
  Index index = index_of(e.file);
  const Bytes same = write_index(index);
  EXPECT_NO_THROW(read_index(same, footer.index_at));
  Chunk& ref = index.files[0].chunks.back();
  ASSERT_EQ(ref.kind, ChunkKind::kRef);
  ref.ref_offset = ref.offset;
  EXPECT_THROW(read_index(write_index(index), footer.index_at), Error);
}

}  // namespace
}  // namespace pith::archive
