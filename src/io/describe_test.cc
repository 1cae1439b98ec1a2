// Every format, damaged in every small way: describe() must neither fail nor break its contract.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <memory>

#include "layout_builder.h"
#include "pith/io/text.h"
#include "testing_samples.h"

namespace pith::io {
namespace {

using namespace testing;

// On the heap with its exact size, so that the address sanitizer sees every read past the end.
std::string check(const Bytes& file, const std::string& name) {
  const auto exact = std::make_unique<uint8_t[]>(file.size());
  std::ranges::copy(file, exact.get());
  return broken_promise(describe({exact.get(), file.size()}, name), file.size());
}

TEST(Describe, RecognisesEverySample) {
  for (const Sample& sample : samples()) {
    const Description description = describe(sample.file, sample.name);
    EXPECT_EQ(description.layout.format, sample.format);
    EXPECT_EQ(check(sample.file, sample.name), "") << sample.name;
    EXPECT_TRUE(!description.layout.tensors.empty() || !description.companions.empty() ||
                !description.parts.empty())
        << sample.name;
  }
}

TEST(Describe, SurvivesEveryTruncation) {
  for (const Sample& sample : samples()) {
    for (size_t size = 0; size < sample.file.size(); ++size) {
      const Bytes cut(sample.file.begin(), sample.file.begin() + static_cast<ptrdiff_t>(size));
      ASSERT_EQ(check(cut, sample.name), "") << sample.name << " cut to " << size;
    }
  }
}

TEST(Describe, SurvivesEveryFlippedBit) {
  for (const Sample& sample : samples()) {
    Bytes file = sample.file;
    for (size_t bit = 0; bit < 8 * file.size(); ++bit) {
      file[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      ASSERT_EQ(check(file, sample.name), "") << sample.name << " bit " << bit;
      file[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    }
  }
}

TEST(Describe, SurvivesEveryExtremeNumber) {
  for (const Sample& sample : samples()) {
    for (size_t at = 0; at + 4 <= sample.file.size(); ++at) {
      for (const uint32_t value : {0u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu}) {
        Bytes file = sample.file;
        store_le(&file[at], value);
        ASSERT_EQ(check(file, sample.name), "") << sample.name << " at " << at;
      }
    }
  }
}

RC_GTEST_PROP(Describe, SurvivesAnyBytes, (const Bytes& file)) {
  for (const Sample& sample : samples()) RC_ASSERT(check(file, sample.name) == "");
}

RC_GTEST_PROP(Describe, SurvivesAnySplice, ()) {
  const auto all = samples();
  const Sample& one = *rc::gen::elementOf(all);
  const Sample& other = *rc::gen::elementOf(all);
  const auto cut = [](const Bytes& file) {
    return static_cast<ptrdiff_t>(*rc::gen::inRange<size_t>(0, file.size() + 1));
  };
  Bytes file(one.file.begin(), one.file.begin() + cut(one.file));
  file.insert(file.end(), other.file.begin() + cut(other.file), other.file.end());
  RC_ASSERT(check(file, one.name) == "");
  RC_ASSERT(check(file, other.name) == "");
}

// Whatever regions a reader finds, the builder keeps the contract and loses only what breaks it.
RC_GTEST_PROP(LayoutBuilder, KeepsTheContract, ()) {
  const auto size = *rc::gen::inRange<uint64_t>(0, 100);
  LayoutBuilder builder("test", size, LayoutBuilder::Broken::kLeave);
  for (auto n = *rc::gen::inRange(0, 12); n > 0; --n) {
    builder.add({*rc::gen::elementOf(std::vector<std::string>{"a", "a#2", "b"}),
                 DType::kU16,
                 {*rc::gen::inRange<uint64_t>(0, 12)},
                 *rc::gen::inRange<uint64_t>(0, 110)});
  }
  RC_ASSERT(broken_promise(builder.finish().tensors, size) == "");
}

TEST(LayoutBuilder, JoinsNotesAndBoundsThem) {
  LayoutBuilder builder("test", 0, LayoutBuilder::Broken::kLeave);
  builder.note("is odd", "a");
  builder.note("is odd", "b");
  builder.note("alone");
  for (int k = 0; k < 1000; ++k) builder.note(std::to_string(k), "x");
  const Layout layout = builder.finish();
  EXPECT_EQ(layout.notes[0], "'a' and 1 more: is odd");
  EXPECT_EQ(layout.notes[1], "alone");
  EXPECT_LT(layout.notes.size(), 100u);
}

TEST(Text, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(utf8("aä€😀"), "aä€😀");
  EXPECT_EQ(utf8("\xff"), "\uFFFD");
  EXPECT_EQ(utf8("\xc0\x80"), "\uFFFD\uFFFD");            // overlong
  EXPECT_EQ(utf8("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(utf8("\xf4\x90\x80\x80").size(), 12u);        // above U+10FFFF
  EXPECT_EQ(utf8("\xe2\x82"), "\uFFFD\uFFFD");            // cut short
  EXPECT_EQ(utf8(""), "");
}

TEST(Text, ShortensAndCleansQuotedNames) {
  EXPECT_EQ(in_quotes("a\nb"), "'a?b'");
  EXPECT_LT(in_quotes(std::string(10'000, 'x')).size(), 100u);
  const std::string cut = in_quotes("x" + std::string(100, 'x') + "€");
  EXPECT_EQ(utf8(cut), cut);
}

}  // namespace
}  // namespace pith::io
