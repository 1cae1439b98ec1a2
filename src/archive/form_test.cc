// Tensors in compressed forms: what is written is what reads back, everywhere, on any number of
// threads, and when it is written again.
#include <cmath>

#include "../base/testing_targets.h"
#include "form_testing.h"
#include "pith/base/hash.h"

namespace pith::archive {
namespace {

using namespace testing;

std::vector<float> floats(ByteView raw, DType dtype) {
  std::vector<float> out(raw.size() / info(dtype).block_bytes);
  floats_from(raw, dtype, false, out.data());
  return out;
}

// The file as it must read: each tensor with a form decoded by the form itself.
Bytes expected_file(const Model& m, const Archive& a) {
  Bytes file = m.data;
  for (size_t t = 0; t < a.tensors().size(); ++t) {
    const form::FormPtr form = a.form(t);
    if (!form) continue;
    const io::TensorRegion& r = a.tensors()[t].region;
    const form::Matrix decoded = form::decode(*form);
    elements_from(decoded.values, r.dtype, r.big_endian,
                  MutableByteView(file).subspan(r.offset, r.size));
  }
  return file;
}

TEST(Forms, ReadBackAsTheirElementsEverywhere) {
  const Model m = mixed_model();
  const Bytes file = archive_bytes(
      m, with_forms({"uniform(4, group=32)", "layer.q=uniform(8)", "f8|f64=dense(bf16)"}));
  const Archive a = Archive::open_memory(file);
  const Bytes expected = expected_file(m, a);
  EXPECT_NE(expected, m.data);
  EXPECT_EQ(whole_file(a, 0), expected);
  EXPECT_EQ(whole_file(a, 0, 2), expected);
  EXPECT_EQ(a.files()[0].hash, hash128(expected));
  EXPECT_TRUE(a.verify(2).ok());
  for (size_t t = 0; t < a.tensors().size(); ++t) {
    const io::TensorRegion& r = a.tensors()[t].region;
    EXPECT_TRUE(std::ranges::equal(a.read_tensor(t), ByteView(expected).subspan(r.offset, r.size)));
  }
  // Any range, across the edges of tensors, gaps and rows.
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    const uint64_t at = random() % expected.size(), n = random() % (expected.size() - at);
    Bytes part(i % 2 ? n : std::min<uint64_t>(n, 50));
    a.read(0, at, part);
    ASSERT_TRUE(std::ranges::equal(part, ByteView(expected).subspan(at, part.size())));
  }
}

TEST(Forms, FittedBeforehandAreStoredAsTheyAre) {
  Model m;
  m.tensor("a", DType::kF32, {40, 64}, normal(DType::kF32, 40 * 64, 1));
  m.tensor("b", DType::kF32, {40, 64}, m.bytes_copy(0));
  m.tensor("c", DType::kF32, {40, 64}, normal(DType::kF32, 40 * 64, 2));
  form::Matrix zeros({40, 64}), ones({40, 64});
  std::ranges::fill(ones.values, 1.0f);
  // Equal elements, but forms of their own; what has none is left to the rules.
  WriteOptions options = with_forms({"uniform(8)"});
  options.fitted = [&](std::string_view, const io::TensorRegion& t) -> form::FormPtr {
    if (t.name == "c") return nullptr;
    return form::encode(form::parse("uniform(2)"), (t.name == "a" ? zeros : ones).view());
  };
  const Bytes file = archive_bytes(m, options);
  const Archive a = Archive::open_memory(file);
  EXPECT_EQ(form::decode(*a.form(0)).values, zeros.values);
  EXPECT_EQ(form::decode(*a.form(1)).values, ones.values);
  EXPECT_EQ(form::to_string(a.form(2)->expression()), "uniform(8, group=64)");
  EXPECT_NEAR(a.tensors()[0].form->error, 1, 1e-6);
  EXPECT_EQ(whole_file(a, 0), expected_file(m, a));

  options.fitted = [&](std::string_view, const io::TensorRegion&) {
    return form::encode(form::parse("uniform(2)"), form::MatrixView{zeros.values.data(), {64, 40}});
  };
  const Bytes other = archive_bytes(m, options);
  const Archive refused = Archive::open_memory(other);
  for (const auto& t : refused.tensors()) EXPECT_FALSE(t.form) << "a form of another shape";
}

TEST(Forms, ReportAndIndexTellTheErrorThatThereIs) {
  const Model m = mixed_model();
  const std::vector<Input> inputs = {{"model.bin", m.source(), 0}};
  Bytes file;
  const WriteReport report = write_archive(
      inputs, [&](ByteView b) { file.insert(file.end(), b.begin(), b.end()); },
      with_forms({"uniform(4, group=32)"}));
  const Archive a = Archive::open_memory(file);
  EXPECT_EQ(report.forms, 6u);
  for (size_t t = 0; t < a.tensors().size(); ++t) {
    const TensorReport& told = report.files[0].tensors[t];
    const auto& form = a.tensors()[t].form;
    ASSERT_EQ(told.form.has_value(), form.has_value());
    if (!form) continue;
    EXPECT_EQ(told.form->error, form->error);
    EXPECT_EQ(told.form->bytes, form->bytes);
    EXPECT_EQ(form::bits(*a.form(t)), 8 * form->bytes);
    EXPECT_EQ(form::to_string(a.form(t)->expression()), form->expression);
    const auto w = floats(m.bytes(t), told.dtype), v = floats(a.read_tensor(t), told.dtype);
    double squares = 0, differences = 0, largest = 0;
    for (size_t i = 0; i < w.size(); ++i) {
      const double d = double{w[i]} - v[i];
      squares += double{w[i]} * w[i];
      differences += d * d;
      largest = std::max(largest, std::fabs(d));
    }
    EXPECT_NEAR(form->error, differences / squares, 1e-9);
    EXPECT_EQ(form->max_error, largest);
    EXPECT_GT(form->error, 0);
    EXPECT_LT(form->error, 0.02);
  }
}

TEST(Forms, TheSameBytesOnAnyNumberOfThreads) {
  const Model m = mixed_model();
  const Bytes one = archive_bytes(m, with_forms({"uniform(4)", "q=uniform(3) + sparse(1%)"}, 1));
  EXPECT_EQ(one, archive_bytes(m, with_forms({"uniform(4)", "q=uniform(3) + sparse(1%)"}, 2)));
  EXPECT_EQ(one, archive_bytes(m, with_forms({"uniform(4)", "q=uniform(3) + sparse(1%)"}, 8)));
}

// The hash of a file with forms is over what they decode to, so that must not depend on the
// machine.
TEST(Forms, TheSameOnEveryInstructionSet) {
  const Model m = mixed_model();
  for (const char* expression :
       {"dense(f16)", "uniform(4, group=32)", "uniform(3, zero=true, grid=gaussian)",
        "uniform(4, grid=nf4)", "sparse(5%)", "sparse(2:4)", "lowrank(3)", "hadamard | uniform(4)",
        "scale | uniform(4)", "uniform(2) + lowrank(2) + sparse(1%)"}) {
    SCOPED_TRACE(expression);
    const Bytes file = archive_bytes(m, with_forms({expression}));
    const Archive a = Archive::open_memory(file);
    const Bytes content = whole_file(a, 0);
    for_each_target([&] {
      EXPECT_EQ(whole_file(Archive::open_memory(file), 0), content);
      EXPECT_EQ(archive_bytes(m, with_forms({expression})), file);
    });
  }
}

TEST(Forms, EqualTensorsAreStoredOnce) {
  const Model m = mixed_model();
  const Stored stored(archive_bytes(m, with_forms({"uniform(4)"})));
  const Archive& a = stored.get();
  const size_t head = a.find("lm_head"), embed = a.find("embed");
  EXPECT_EQ(a.detail(head).shared, m.bytes(head).size());
  EXPECT_EQ(a.detail(head).stored, 0u);
  ASSERT_TRUE(a.form(head));
  EXPECT_EQ(form::write(*a.form(head)), form::write(*a.form(embed)));
  EXPECT_EQ(a.read_tensor(head), a.read_tensor(embed));
  // Of another form they are apart.
  const Stored other(archive_bytes(m, with_forms({"uniform(4)", "head=uniform(8)"})));
  const Archive& b = other.get();
  EXPECT_EQ(b.detail(b.find("lm_head")).shared, 0u);
  EXPECT_LT(b.tensors()[head].form->error, b.tensors()[embed].form->error / 20);
}

TEST(Forms, WrittenAgainTheyAreKept) {
  const Model m = mixed_model();
  const Bytes first = archive_bytes(m, with_forms({"uniform(3, group=32)"}));
  const Archive a = Archive::open_memory(first);
  WriteOptions options = with_forms({"uniform(8)"});  // does not touch what is in a form already
  options.level = lossless::Level::kMax;
  const Bytes second = archive_bytes(archive_inputs(a), options);
  const Archive b = Archive::open_memory(second);
  EXPECT_EQ(whole_file(b, 0), whole_file(a, 0));
  EXPECT_EQ(b.content_hash(), a.content_hash());
  for (size_t t = 0; t < a.tensors().size(); ++t) {
    ASSERT_EQ(a.form(t) != nullptr, b.form(t) != nullptr);
    if (a.form(t)) {
      EXPECT_EQ(form::write(*a.form(t)), form::write(*b.form(t)));
      EXPECT_EQ(a.tensors()[t].form->error, b.tensors()[t].form->error);
    }
  }
  EXPECT_EQ(b.detail(b.find("lm_head")).shared, m.bytes(0).size());
  EXPECT_EQ(archive_bytes(archive_inputs(a), {.threads = 1}),
            archive_bytes(archive_inputs(a), {.threads = 2}));
}

TEST(Forms, MappedFormsLieAlignedAndOutliveTheArchive) {
  const TempDir dir;
  const Model m = mixed_model();
  const std::vector<Input> inputs = {{"model.bin", m.source(), 0}};
  write_archive(inputs, dir / "m.pith", with_forms({"uniform(4, group=32)"}, 2));
  form::FormPtr form;
  Bytes raw;
  {
    const Archive a = Archive::open(dir / "m.pith");
    form = a.form(0);
    raw = a.read_tensor(0);
    EXPECT_EQ(form::write(*a.form(0, false)), form::write(*form));
  }
  const form::Matrix decoded = form::decode(*form);
  EXPECT_EQ(decoded.values, floats(raw, DType::kF32));
  const Bytes file = read_file(dir / "m.pith");
  const Bytes stored = form::write(*form);
  const auto at = std::search(file.begin(), file.end(), stored.begin(), stored.end());
  ASSERT_NE(at, file.end());
  EXPECT_EQ((at - file.begin()) % 64, 0);
}

TEST(Forms, DeltasIgnoreTheBaseOfTensorsInForms) {
  const Model m = mixed_model();
  const Stored base(archive_bytes(m, with_forms({"uniform(4)"})));
  WriteOptions options = with_forms({"uniform(5)"});
  options.forms.push_back(lossless_rule("q"));
  options.base = archive_base(base.get(), "base.pith");
  Model changed = m;
  changed.data[changed.layout.tensors[2].offset] ^= 1;
  const TempDir dir;
  write_whole(dir / "base.pith", archive_bytes(m, with_forms({"uniform(4)"})));
  const std::vector<Input> inputs = {{"model.bin", changed.source(), 0}};
  write_archive(inputs, dir / "delta.pith", options);
  const Archive a = Archive::open(dir / "delta.pith");
  EXPECT_FALSE(a.tensors()[0].has_base);
  EXPECT_TRUE(a.tensors()[2].has_base);
  EXPECT_EQ(whole_file(a, 0), expected_file(changed, a));
  EXPECT_TRUE(a.verify(1).ok());
  // The base in forms is a base like any other, by what it reads as.
  EXPECT_TRUE(std::ranges::equal(a.read_tensor(2), changed.bytes(2)));
}

TEST(Forms, InterruptedNothingIsThere) {
  const TempDir dir;
  WriteOptions options = with_forms({"uniform(4)"}, 2);
  options.progress = [](uint64_t, uint64_t) { return false; };
  const Model m = mixed_model();
  const std::vector<Input> inputs = {{"model.bin", m.source(), 0}};
  EXPECT_EQ(error_of([&] { write_archive(inputs, dir / "m.pith", options); }).kind(),
            ErrorKind::kIo);
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

}  // namespace
}  // namespace pith::archive
