// Tensors in compressed forms: what is written is what reads back, everywhere, on any number of
// threads; what cannot be a form stays as it is.
#include <cfloat>
#include <cmath>
#include <numeric>

#include "../base/testing_targets.h"
#include "pith/base/float_elements.h"
#include "pith/base/hash.h"
#include "testing.h"

namespace pith::archive {
namespace {

using namespace testing;

Bytes normal(DType dtype, uint64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  Bytes raw(n * info(dtype).block_bytes);
  elements_from(values, dtype, false, raw);
  return raw;
}

std::vector<float> floats(ByteView raw, DType dtype) {
  std::vector<float> out(raw.size() / info(dtype).block_bytes);
  floats_from(raw, dtype, false, out.data());
  return out;
}

// Tensors of every kind that matters, with gaps between them.
Model mixed_model() {
  Model m;
  m.gap(as_bytes("header of the file"));
  m.tensor("embed", DType::kF32, {70, 96}, normal(DType::kF32, 70 * 96, 1));
  m.tensor("layer.norm", DType::kF32, {96}, normal(DType::kF32, 96, 2));
  m.tensor("layer.q", DType::kBF16, {33, 100}, normal(DType::kBF16, 3300, 3));
  m.tensor("layer.conv", DType::kF16, {8, 5, 20}, normal(DType::kF16, 800, 4));
  m.tensor("ids", DType::kI32, {40, 10}, noise(1600, 5));
  m.tensor("empty", DType::kF32, {0, 64}, {});
  m.tensor("layer.f8", DType::kF8E4M3, {16, 64}, normal(DType::kF8E4M3, 1024, 6));
  m.tensor("layer.f64", DType::kF64, {4, 64}, normal(DType::kF64, 256, 7));
  m.gap(Bytes(77, 'z'));
  m.tensor("lm_head", DType::kF32, {70, 96}, m.bytes_copy(0));
  return m;
}

WriteOptions with_forms(std::initializer_list<const char*> rules, int threads = 1) {
  WriteOptions options;
  options.threads = threads;
  for (const char* rule : rules) options.forms.push_back(parse_form_rule(rule));
  return options;
}

// An archive with its bytes.
class Stored {
 public:
  explicit Stored(Bytes bytes) : bytes_(std::move(bytes)), archive_(Archive::open_memory(bytes_)) {}
  Stored(const Stored&) = delete;
  Stored& operator=(const Stored&) = delete;
  const Archive& get() const { return archive_; }

 private:
  Bytes bytes_;
  Archive archive_;
};

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

TEST(Forms, RulesChooseTheLastMatchOfFloatMatrices) {
  const Stored stored(archive_bytes(
      mixed_model(),
      with_forms({"uniform(4, group=32)", "q|conv=uniform(8)", "layer.conv=uniform(2)",
                  "layer.f64=uniform(6)", "layer.norm=dense(f16)"})));
  const Archive& a = stored.get();
  const auto expression = [&](const char* name) {
    const auto& form = a.tensors()[a.find(name)].form;
    return form ? form->expression : "";
  };
  EXPECT_EQ(expression("embed").substr(0, 10), "uniform(4,");
  EXPECT_EQ(expression("layer.q").substr(0, 9), "uniform(8");
  EXPECT_EQ(expression("layer.conv").substr(0, 9), "uniform(2");
  EXPECT_EQ(expression("layer.f64").substr(0, 9), "uniform(6");
  EXPECT_EQ(expression("layer.norm"), "dense(f16)");  // named itself
  EXPECT_EQ(expression("ids"), "");
  EXPECT_EQ(expression("empty"), "");
  EXPECT_EQ(a.form(a.find("layer.conv"))->shape(), (form::Shape{40, 20}));
}

TEST(Forms, WhatStaysLosslessIsExact) {
  const Model m = mixed_model();
  WriteOptions options = with_forms({"uniform(2)"});
  options.forms.push_back(lossless_rule("q$|head"));
  const Stored stored(archive_bytes(m, options));
  const Archive& a = stored.get();
  for (const char* name : {"layer.norm", "layer.q", "ids", "empty", "lm_head"}) {
    const size_t t = a.find(name);
    EXPECT_FALSE(a.form(t)) << name;
    EXPECT_TRUE(std::ranges::equal(a.read_tensor(t), m.bytes(t))) << name;
  }
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

TEST(Forms, WithoutRulesNothingChanges) {
  const Bytes file = archive_bytes(mixed_model());
  EXPECT_EQ(Archive::open_memory(file).version(), (std::pair<uint16_t, uint16_t>(1, 0)));
  EXPECT_EQ(
      Archive::open_memory(archive_bytes(mixed_model(), with_forms({"uniform(4)"}))).version(),
      (std::pair<uint16_t, uint16_t>(1, 1)));
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

TEST(Forms, NotNumbersKeepTheirTensorLossless) {
  Model m;
  Bytes odd = normal(DType::kF32, 300 * 400, 1);
  store_le(&odd[4 * (7 * 400 + 5)], NAN);
  m.tensor("odd", DType::kF32, {300, 400}, odd);
  m.tensor("even", DType::kF32, {30, 40}, normal(DType::kF32, 1200, 2));
  const std::vector<Input> inputs = {{"model.bin", m.source(), 0}};
  Bytes file;
  const WriteReport report = write_archive(
      inputs, [&](ByteView b) { file.insert(file.end(), b.begin(), b.end()); },
      with_forms({"uniform(4)"}, 2));
  const Archive a = Archive::open_memory(file);
  EXPECT_TRUE(std::ranges::equal(a.read_tensor(0), m.bytes(0)));
  EXPECT_FALSE(a.form(0));
  EXPECT_TRUE(a.form(1));
  EXPECT_TRUE(a.verify(1).ok());
  ASSERT_EQ(report.files[0].notes.size(), 1u);
  EXPECT_NE(report.files[0].notes[0].find("odd stays lossless"), std::string::npos);
  EXPECT_NE(report.files[0].notes[0].find("row 7, column 5"), std::string::npos);
  // A form that holds them is fine.
  const Stored dense(archive_bytes(m, with_forms({"dense(f32)"})));
  const Archive& b = dense.get();
  ASSERT_TRUE(b.form(0));
  EXPECT_EQ(b.tensors()[0].form->error, 0);
  EXPECT_TRUE(std::ranges::equal(b.read_tensor(0), m.bytes(0)));
}

TEST(Forms, NumbersThatWouldBecomeInfiniteAndTheReverseKeepTheirTensorLossless) {
  const auto notes = [](float value, const char* rule) {
    Model m;
    Bytes odd = normal(DType::kF32, 30 * 40, 1);
    store_le(&odd[4 * (7 * 40 + 5)], value);
    m.tensor("odd", DType::kF32, {30, 40}, odd);
    const std::vector<Input> inputs = {{"model.bin", m.source(), 0}};
    Bytes file;
    const WriteReport report = write_archive(
        inputs, [&](ByteView b) { file.insert(file.end(), b.begin(), b.end()); },
        with_forms({rule}));
    const Archive a = Archive::open_memory(file);
    EXPECT_EQ(!a.form(0), std::ranges::equal(a.read_tensor(0), m.bytes(0)));
    return report.files[0].notes.empty() ? "" : report.files[0].notes[0];
  };
  EXPECT_NE(notes(3e38F, "dense(f16)").find("makes inf of 3e+38 (row 7, column 5)"),
            std::string::npos);
  EXPECT_NE(notes(3e38F, "lowrank(4)").find("makes nan of"), std::string::npos);
  EXPECT_NE(notes(FLT_MAX, "dense(bf16)").find("odd stays lossless"), std::string::npos);
  EXPECT_NE(notes(NAN, "zeros").find("zeros makes 0 of nan"), std::string::npos);
  EXPECT_EQ(notes(INFINITY, "dense(f16)"), "");
  EXPECT_EQ(notes(60000, "dense(f16)"), "");
}

TEST(Forms, DoublesBeyondTheRangeOfFloatsStayLossless) {
  Model m;
  Bytes odd = normal(DType::kF64, 30 * 40, 1);
  store_le(&odd[8 * (7 * 40 + 5)], 1e300);
  m.tensor("odd", DType::kF64, {30, 40}, odd);
  store_le(&odd[8 * (7 * 40 + 5)], static_cast<double>(INFINITY));
  m.tensor("infinite", DType::kF64, {30, 40}, odd);
  const Stored stored(archive_bytes(m, with_forms({"dense(f32)"})));
  const Archive& a = stored.get();
  EXPECT_FALSE(a.form(a.find("odd")));
  EXPECT_TRUE(a.form(a.find("infinite")));
  EXPECT_TRUE(std::ranges::equal(a.read_tensor(0), m.bytes(0)));
  EXPECT_TRUE(a.verify(1).ok());
}

TEST(Forms, ExpressionsThatNeedRowsOfSomeLengthAreNoWrongUsage) {
  Model m;
  m.tensor("narrow", DType::kF32, {8, 96}, normal(DType::kF32, 8 * 96, 1));
  m.tensor("wide", DType::kF32, {256, 256}, normal(DType::kF32, 256 * 256, 2));
  for (const char* rule :
       {"ggml(q4_K)", "ggml(iq4_xs)", "blockdiag(64) * permutation(stride=64) * blockdiag(64)",
        "tiles(part(uniform(2), rows=0..-6), part(dense(f16), rows=-6..))"}) {
    const Stored stored(archive_bytes(m, with_forms({rule})));
    const Archive& a = stored.get();
    EXPECT_TRUE(a.form(a.find("wide"))) << rule;
    EXPECT_TRUE(a.verify(1).ok()) << rule;
  }
  const Stored blocks(archive_bytes(m, with_forms({"ggml(q4_K)"})));
  EXPECT_FALSE(blocks.get().form(blocks.get().find("narrow")));
}

TEST(Forms, NamesOfAnyLengthAreMatchedOrNot) {
  Model m;
  m.tensor(std::string(100000, 'a'), DType::kF32, {8, 64}, normal(DType::kF32, 512, 1));
  m.tensor(std::string(4000, 'a'), DType::kF32, {8, 64}, normal(DType::kF32, 512, 2));
  for (const char* pattern : {"", "(a|b)*c=", "^(.*)*a$="}) {
    const std::string rule = pattern + std::string("uniform(4)");
    const Stored stored(archive_bytes(m, with_forms({rule.c_str()})));
    EXPECT_TRUE(stored.get().verify(1).ok());
  }
}

TEST(Forms, BadRulesAreUsageErrorsThatShowThePlace) {
  const auto error = [](const char* rule) {
    return error_of([&] { archive_bytes(mixed_model(), with_forms({rule})); });
  };
  EXPECT_EQ(error("uniform(4").kind(), ErrorKind::kUsage);
  EXPECT_EQ(error("q=nothing(4)").kind(), ErrorKind::kUsage);
  EXPECT_NE(std::string(error("q=uniform(99)").what()).find("^"), std::string::npos);
  EXPECT_EQ(error("(=uniform(4)").kind(), ErrorKind::kUsage);
  EXPECT_EQ(error("=uniform(4)").kind(), ErrorKind::kUsage);
  std::string nested(5000, '(');
  nested += std::string(5000, ')') + "=uniform(4)";
  EXPECT_NE(std::string(error(nested.c_str()).what()).find("at most 4096"), std::string::npos);
  // What is not closed is told where it is, with a pattern before it and without.
  EXPECT_NE(std::string(error("uniform(4, group=64").what()).find("column 20"), std::string::npos);
  EXPECT_NE(std::string(error("q=uniform(4, group=64").what()).find("column 20"),
            std::string::npos);
  EXPECT_NE(std::string(error("a(b=uniform(4)").what()).find("`)`"), std::string::npos);
  EXPECT_EQ(parse_form_rule("a\\(=[)(=]=ref(\"x)=(\")").pattern, "a\\(=[)(=]");
  EXPECT_EQ(parse_form_rule("(?=a)b=c=uniform(4)").pattern, "(?=a)b=c");
  EXPECT_EQ(parse_form_rule("ref(\"a=b\")").pattern, "");
  EXPECT_EQ(parse_form_rule("(q|k)_proj = uniform(4, group=32)").pattern, "(q|k)_proj");
  EXPECT_EQ(parse_form_rule("uniform(4, group=32)").pattern, "");
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
