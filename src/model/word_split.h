// How byte-level models cut text into words before merging inside each: the regular expressions of
// their authors, written out by hand.
//
// Every byte of the text is in exactly one word. Bytes that are not UTF-8 count as punctuation.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace pith::model {

enum class WordRule {
  kNone,        // the whole text is one word
  kGpt2,        // contractions, letters, digits, others, each with one space in front
  kGpt2Digits,  // the same after each digit was set apart (StarCoder, SmolLM)
  kLlama3,      // digits by threes, one mark in front of letters, newlines kept together
  kQwen2,       // the same with single digits
};

// The rule that a regular expression in a tokenizer.json states; empty for one that is not known.
std::optional<WordRule> word_rule_of_pattern(std::string_view pattern);

// The rule of a GGUF file's "tokenizer.ggml.pre"; empty for one that is not known.
std::optional<WordRule> word_rule_of_gguf(std::string_view name);

// The first of the names of a rule there; empty for one that has none.
std::string_view gguf_name_of(WordRule rule);

// The end of the word that begins at `at` < text.size().
size_t word_end(WordRule rule, std::string_view text, size_t at);

}  // namespace pith::model
