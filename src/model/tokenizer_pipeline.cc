#include "tokenizer_pipeline.h"

#include "pith/base/error.h"
#include "pith/io/text.h"
#include "tokenizer_settings.h"

namespace pith::model {
namespace {

using io::Json;

constexpr size_t kShownPattern = 400;

std::string_view text_in(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  return value && value->text() ? std::string_view(*value->text()) : std::string_view();
}

// The steps of a "Sequence", of a single step, or none.
std::vector<const Json*> steps(const Json* value, std::string_view list) {
  if (!value || !value->object()) return {};
  if (text_in(*value, "type") != "Sequence") return {value};
  const Json* items = value->find(list);
  if (!items || !items->array()) fail(ErrorKind::kData, "a Sequence has no \"{}\"", list);
  std::vector<const Json*> out;
  for (const Json& item : *items->array()) out.push_back(&item);
  return out;
}

[[noreturn]] void unsupported(std::string_view what, const Json& step) {
  fail(ErrorKind::kData, "the {} {} is not supported here", what,
       io::in_quotes(text_in(step, "type")));
}

// Which steps there are, of those that are known.
struct Seen {
  bool prepend = false, replace = false, digits = false, metaspace = false, split = false;
  const Json* byte_level = nullptr;
};

void read_normalizer(const Json& step, Pipeline& pipeline, Seen& seen) {
  const std::string_view type = text_in(step, "type");
  if (type == "NFC") {
    pipeline.bytes.compose = true;
  } else if (type == "Prepend" && text_in(step, "prepend") == kSpaceMark) {
    seen.prepend = true;
  } else if (type == "Replace" && text_in(step, "content") == kSpaceMark && step.find("pattern") &&
             text_in(*step.find("pattern"), "String") == " ") {
    seen.replace = true;
  } else {
    unsupported("normalizer", step);
  }
}

Prefix metaspace_prefix(const Json& step) {
  const std::string_view scheme = text_in(step, "prepend_scheme");
  if (scheme == "first") return Prefix::kFirstIfAbsent;
  if (scheme == "never") return Prefix::kNone;
  if (scheme.empty() && !flag(step, "add_prefix_space", true)) return Prefix::kNone;
  return Prefix::kEveryIfAbsent;
}

// A Split: by a known regular expression, or by spaces, of which none is left after Replace.
void read_split(const Json& step, Pipeline& pipeline, Seen& seen) {
  const Json* pattern = step.find("pattern");
  if (!pattern) fail(ErrorKind::kData, "a Split has no pattern");
  if (seen.replace && text_in(*pattern, "String") == " ") return;
  const std::string_view regex = text_in(*pattern, "Regex");
  const auto rule = word_rule_of_pattern(regex);
  if (!rule) {
    fail(ErrorKind::kData, "the pre-tokenizer splits by a pattern that is not supported: {}",
         io::utf8(regex.substr(0, kShownPattern)));
  }
  const std::string_view behavior = text_in(step, "behavior");
  const bool removed = behavior == "Removed" && flag(step, "invert", false);
  if (seen.split || !(behavior == "Isolated" || removed)) unsupported("pre-tokenizer", step);
  seen.split = true;
  pipeline.bytes.words = *rule;
}

void read_pre_tokenizer(const Json& step, Pipeline& pipeline, Seen& seen) {
  const std::string_view type = text_in(step, "type");
  if (seen.byte_level) unsupported("pre-tokenizer behind ByteLevel", step);
  if (type == "ByteLevel") {
    seen.byte_level = &step;
  } else if (type == "Split") {
    read_split(step, pipeline, seen);
  } else if (type == "Digits" && flag(step, "individual_digits", false) && !seen.split) {
    seen.digits = true;
  } else if (type == "Metaspace" && !seen.metaspace && text_in(step, "replacement") == kSpaceMark) {
    seen.metaspace = true;
    pipeline.text.prefix = metaspace_prefix(step);
    pipeline.split_spaces = flag(step, "split", true);
  } else {
    unsupported("pre-tokenizer", step);
  }
}

void finish_byte_level(Pipeline& pipeline, const Seen& seen) {
  if (seen.prepend || seen.replace || seen.metaspace) {
    fail(ErrorKind::kData, "a byte-level pre-tokenizer with ▁ for spaces is not supported");
  }
  pipeline.byte_level = true;
  pipeline.bytes.add_prefix_space = flag(*seen.byte_level, "add_prefix_space", true);
  const bool own_rule = flag(*seen.byte_level, "use_regex", true);
  if ((own_rule && seen.split) || (seen.digits && (!own_rule || seen.split))) {
    fail(ErrorKind::kData, "pre-tokenizers that split twice are not supported");
  }
  if (own_rule) pipeline.bytes.words = seen.digits ? WordRule::kGpt2Digits : WordRule::kGpt2;
  if (!own_rule && !seen.split) pipeline.bytes.words = WordRule::kNone;
}

void finish_escaped(Pipeline& pipeline, const Seen& seen) {
  if (seen.split || seen.digits || pipeline.bytes.compose || (seen.prepend && seen.metaspace)) {
    fail(ErrorKind::kData, "this combination of normalizer and pre-tokenizer is not supported");
  }
  pipeline.text.escape_spaces = seen.replace || seen.metaspace;
  if (!seen.metaspace) pipeline.text.prefix = seen.prepend ? Prefix::kEvery : Prefix::kNone;
}

}  // namespace

Pipeline read_pipeline(const Json& tokenizer) {
  Pipeline pipeline;
  Seen seen;
  for (const Json* step : steps(tokenizer.find("normalizer"), "normalizers")) {
    read_normalizer(*step, pipeline, seen);
  }
  for (const Json* step : steps(tokenizer.find("pre_tokenizer"), "pretokenizers")) {
    read_pre_tokenizer(*step, pipeline, seen);
  }
  if (seen.byte_level) {
    finish_byte_level(pipeline, seen);
  } else {
    finish_escaped(pipeline, seen);
  }
  return pipeline;
}

}  // namespace pith::model
