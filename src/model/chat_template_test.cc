#include "pith/model/chat_template.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using testing::message_of;

// What Jinja itself makes of templates in the manner of the model families, and of expressions.
const nlohmann::json& golden() {
  static const nlohmann::json file = [] {
    const Bytes bytes = read_file(testing::source_root() / "tests/golden/chat/templates.json");
    return nlohmann::json::parse(bytes.begin(), bytes.end());
  }();
  return file;
}

std::vector<ChatMessage> messages_of(const nlohmann::json& list) {
  std::vector<ChatMessage> out;
  for (const auto& message : list) out.push_back({message["role"], message["content"]});
  return out;
}

ChatOptions at_noon() {
  ChatOptions options;
  options.now.emplace();
  options.now->tm_year = 124;
  options.now->tm_mon = 6;
  options.now->tm_mday = 26;
  options.now->tm_hour = 13;
  options.now->tm_min = 5;
  options.now->tm_sec = 9;
  return options;
}

const std::vector<ChatMessage> kTalk = {{"user", "Hi"}, {"assistant", "Ho"}, {"user", "Why?"}};

std::string render(std::string_view source, const std::vector<ChatMessage>& messages = kTalk) {
  return ChatTemplate(source).render(messages);
}

ErrorKind kind_of(const std::string& source) {
  try {
    render(source);
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "no error";
  return ErrorKind::kIo;
}

TEST(ChatTemplate, ConversationsAsJinjaWritesThem) {
  int texts = 0, refusals = 0;
  for (const auto& c : golden()["conversations"]) {
    SCOPED_TRACE(c.dump());
    const ChatTemplate chat(golden()["templates"][c["template"]].get<std::string>());
    const auto messages = messages_of(golden()["messages"][c["messages"]]);
    ChatOptions options = at_noon();
    options.add_generation_prompt = c["add_generation_prompt"];
    options.bos_token = golden()["bos"];
    options.eos_token = golden()["eos"];
    if (c.contains("error")) {
      ++refusals;
      EXPECT_SAYS(([&] { chat.render(messages, options); }), c["error"].get<std::string>());
    } else {
      ++texts;
      EXPECT_EQ(chat.render(messages, options), c["text"].get<std::string>());
    }
  }
  EXPECT_GT(texts, 60);
  EXPECT_GT(refusals, 4);
}

TEST(ChatTemplate, ExpressionsAsJinjaComputesThem) {
  const auto messages = messages_of(golden()["messages"]["talk"]);
  for (const auto& c : golden()["expressions"]) {
    const auto expression = c["expression"].get<std::string>();
    SCOPED_TRACE(expression);
    EXPECT_EQ(ChatTemplate(fmt::format("{{{{ {} }}}}", expression)).render(messages, at_noon()),
              c["text"].get<std::string>());
  }
}

TEST(ChatTemplate, ContentIsNoMarkup) {
  EXPECT_EQ(render("{% for m in messages %}{{ m.content }}{% endfor %}", {{"user", "{{ 1 + 1 }}"}}),
            "{{ 1 + 1 }}");
  EXPECT_EQ(render("{{ messages[0].content | length }}", {{"user", "\xFF\xC3x"}}), "3");
}

TEST(ChatTemplate, ErrorsNameThePlace) {
  EXPECT_SAYS([] { ChatTemplate("line\n  {{ 1 + }}"); },
              "line 2, column 10: expected a value, found `}}`");
  EXPECT_SAYS([] { ChatTemplate("{% if x %}"); }, "line 1, column 11: expected `{% endif %}`");
  EXPECT_SAYS([] { ChatTemplate("{% endfor %}"); }, "`endfor` ends nothing");
  EXPECT_SAYS([] { ChatTemplate("{% for x in y %}{% endif %}"); },
              "`endif` where `endfor` is open");
  EXPECT_SAYS([] { ChatTemplate("{{ 'abc }}"); }, "line 1, column 4: a string without its end");
  EXPECT_SAYS([] { ChatTemplate("{{ (1 }}"); }, "`}` where `(` is open");
  EXPECT_SAYS([] { ChatTemplate("{{ [1 }"); }, "`}` where `[` is open");
  EXPECT_SAYS([] { ChatTemplate("{{ 1 }"); }, "`}` closes nothing");
  EXPECT_SAYS([] { ChatTemplate("{{ 1"); }, "`{{` without `}}`");
  EXPECT_SAYS([] { ChatTemplate("a{# b"); }, "`{#` without `#}`");
  EXPECT_SAYS([] { ChatTemplate("{% import 'x' %}"); }, "the statement `import` is not supported");
  EXPECT_SAYS([] { ChatTemplate("{% break %}"); }, "outside of a loop");
  EXPECT_SAYS([] { ChatTemplate("{{ 99999999999999999999 }}"); }, "an integer too large");
  EXPECT_SAYS([] { render("\n{{ 1 }}{{ a.b }}"); }, "line 2, column 12: `a` is undefined");
  EXPECT_SAYS([] { render("{{ 'a' + 1 }}"); }, "`+` of a string and an integer");
  EXPECT_SAYS([] { render("{{ 'a' | frobnicate }}"); }, "the filter `frobnicate` is not supported");
  EXPECT_SAYS([] { render("{{ 'a'.frobnicate() }}"); }, "no method `frobnicate`");
  EXPECT_SAYS([] { render("{{ frobnicate() }}"); }, "no function `frobnicate`");
  EXPECT_SAYS([] { render("{{ 1 is frobnicated }}"); }, "the test `frobnicated` is not supported");
  EXPECT_SAYS([] { render("{{ 1 // 0 }}"); }, "division by zero");
  EXPECT_SAYS([] { render("{{ 9223372036854775807 + 1 }}"); }, "too large");
  EXPECT_SAYS([] { render("{% set a, b = [1] %}"); }, "1 values for 2 variables");
  EXPECT_SAYS([] { render("{% set messages.x = 1 %}"); }, "`messages` is no namespace");
  EXPECT_EQ(kind_of("{{ raise_exception('no') }}"), ErrorKind::kUsage);
  EXPECT_EQ(kind_of("{{ 1 // 0 }}"), ErrorKind::kData);
}

TEST(ChatTemplate, WorkAndDepthAreBounded) {
  const auto repeat = [](std::string_view text, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += text;
    return out;
  };
  EXPECT_EQ(kind_of(std::string(2 << 20, 'x')), ErrorKind::kLimit);
  EXPECT_EQ(kind_of(fmt::format("{{{{ {}1{} }}}}", repeat("(", 50000), repeat(")", 50000))),
            ErrorKind::kLimit);
  EXPECT_EQ(kind_of(fmt::format("{{{{ {}1 }}}}", repeat("1+", 50000))), ErrorKind::kLimit);
  EXPECT_EQ(kind_of(fmt::format("{{{{ {}1 }}}}", repeat("-", 50000))), ErrorKind::kLimit);
  EXPECT_EQ(kind_of(fmt::format("{{{{ {}1 }}}}", repeat("not ", 50000))), ErrorKind::kLimit);
  EXPECT_EQ(kind_of(fmt::format("{{{{ 1{} }}}}", repeat("|abs", 50000))), ErrorKind::kLimit);
  EXPECT_EQ(kind_of(fmt::format("{{{{ 1{} }}}}", repeat(" if 1 else 1", 50000))),
            ErrorKind::kLimit);
  EXPECT_EQ(kind_of(repeat("{% if 1 %}", 50000) + repeat("{% endif %}", 50000)), ErrorKind::kLimit);
  EXPECT_EQ(kind_of("{{ 'a' * 1000000000000 }}"), ErrorKind::kLimit);
  EXPECT_EQ(kind_of("{{ [1] * 9223372036854775807 }}"), ErrorKind::kLimit);
  EXPECT_EQ(kind_of("{{ range(1000000000) | length }}"), ErrorKind::kLimit);
  EXPECT_EQ(kind_of("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"),
            ErrorKind::kLimit);
  EXPECT_EQ(kind_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), ErrorKind::kLimit);
  EXPECT_EQ(kind_of("{% set n = namespace(x=[]) %}{% for i in range(999) %}"
                    "{% set n.x = [n.x] %}{% endfor %}"),
            ErrorKind::kLimit);
  EXPECT_EQ(kind_of("{% set n = namespace(x='ab') %}{% for i in range(99) %}"
                    "{% set n.x = n.x + n.x %}{% endfor %}"),
            ErrorKind::kLimit);
  // Searches that would compare billions of bytes.
  for (const std::string_view search : {"p in s", "s.find(p)", "s.split(p)", "s | replace(p, '')",
                                        "s.count(p)", "s.strip(p)", "s | trim(p)"}) {
    EXPECT_EQ(kind_of(fmt::format("{{% set s = 'a' * 4000000 %}}{{% set p = 'a' * 2000000 ~ 'b' %}}"
                                  "{{{{ {} }}}}",
                                  search)),
              ErrorKind::kLimit)
        << search;
  }
  EXPECT_EQ(kind_of("{% set n = namespace() %}{% set n.x = n %}"), ErrorKind::kData);
  EXPECT_EQ(kind_of("{{ [1] | tojson(indent=99999999) }}"), ErrorKind::kData);
  // What a long conversation needs is not too much.
  std::vector<ChatMessage> talk;
  for (int i = 0; i < 2000; ++i)
    talk.push_back({i % 2 ? "assistant" : "user", std::string(500, 'x')});
  const std::string loop = "{% for m in messages %}{{ m.content | trim }}{% endfor %}";
  EXPECT_EQ(render(loop, talk).size(), 1000000u);
}

// Templates cut and changed anywhere are refused or rendered, without anything worse.
RC_GTEST_PROP(ChatTemplateProperty, DamagedTemplatesAreHarmless, ()) {
  const auto& all = golden()["templates"];
  const auto which = *rc::gen::inRange<size_t>(0, all.size());
  auto source = std::next(all.begin(), static_cast<std::ptrdiff_t>(which))->get<std::string>();
  const int changes = *rc::gen::inRange(1, 4);
  for (int i = 0; i < changes; ++i) {
    const size_t at = *rc::gen::inRange<size_t>(0, source.size());
    if (*rc::gen::arbitrary<bool>()) {
      source.erase(at, *rc::gen::inRange<size_t>(1, 20));
    } else {
      source.insert(at, *rc::gen::element<std::string>("{%", "%}", "}}", "(", "|", "'", " if ", "-",
                                                       ".", "\xFF"));
    }
    if (source.empty()) break;
  }
  try {
    render(source);
  } catch (const Error&) {
  }
}

}  // namespace
}  // namespace pith::model
