// Which tensors get which form: rules, and what cannot be a form and stays as it is.
#include <cfloat>
#include <cmath>

#include "form_testing.h"

namespace pith::archive {
namespace {

using namespace testing;

TEST(FormRules, RulesChooseTheLastMatchOfFloatMatrices) {
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

TEST(FormRules, WhatStaysLosslessIsExact) {
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

TEST(FormRules, WithoutRulesNothingChanges) {
  const Bytes file = archive_bytes(mixed_model());
  EXPECT_EQ(Archive::open_memory(file).version(), (std::pair<uint16_t, uint16_t>(1, 0)));
  EXPECT_EQ(
      Archive::open_memory(archive_bytes(mixed_model(), with_forms({"uniform(4)"}))).version(),
      (std::pair<uint16_t, uint16_t>(1, 1)));
}

TEST(FormRules, NotNumbersKeepTheirTensorLossless) {
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

TEST(FormRules, NumbersThatWouldBecomeInfiniteAndTheReverseKeepTheirTensorLossless) {
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

TEST(FormRules, DoublesBeyondTheRangeOfFloatsStayLossless) {
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

TEST(FormRules, ExpressionsThatNeedRowsOfSomeLengthAreNoWrongUsage) {
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

TEST(FormRules, NamesOfAnyLengthAreMatchedOrNot) {
  Model m;
  m.tensor(std::string(100000, 'a'), DType::kF32, {8, 64}, normal(DType::kF32, 512, 1));
  m.tensor(std::string(1024, 'a'), DType::kF32, {8, 64}, normal(DType::kF32, 512, 2));
  for (const char* pattern : {"", "(a|b)*c=", "^(.*)*a$=", "(a*)*b="}) {
    const std::string rule = pattern + std::string("uniform(4)");
    const Stored stored(archive_bytes(m, with_forms({rule.c_str()})));
    EXPECT_TRUE(stored.get().verify(1).ok());
  }
}

TEST(FormRules, BadRulesAreUsageErrorsThatShowThePlace) {
  const auto error = [](const char* rule) {
    return error_of([&] { archive_bytes(mixed_model(), with_forms({rule})); });
  };
  EXPECT_EQ(error("uniform(4").kind(), ErrorKind::kUsage);
  EXPECT_EQ(error("q=nothing(4)").kind(), ErrorKind::kUsage);
  EXPECT_NE(std::string(error("q=uniform(99)").what()).find("^"), std::string::npos);
  EXPECT_EQ(error("(=uniform(4)").kind(), ErrorKind::kUsage);
  EXPECT_EQ(error("=uniform(4)").kind(), ErrorKind::kUsage);
  std::string nested(5000, '(');
  nested.append(5000, ')').append("=uniform(4)");
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

}  // namespace
}  // namespace pith::archive
