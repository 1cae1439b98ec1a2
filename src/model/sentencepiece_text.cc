#include "sentencepiece_text.h"

#include <algorithm>

namespace pith::model {
namespace {

bool blank(std::string_view text, size_t at) {
  return text[at] == ' ' || text.substr(at).starts_with(kSpaceMark);
}

// As SentencePiece does it: a ▁ of the text itself is no space here.
std::string without_extra_spaces(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
  }
  return out;
}

void trim_end(std::string& text, std::string_view space) {
  while (text.ends_with(space)) text.erase(text.size() - space.size());
}

std::string with_spaces(std::string_view text, bool prefixed, std::string_view space) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  if (prefixed) out.append(space);
  for (const char c : text) {
    if (c == ' ') {
      out.append(space);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

std::string SentencePieceText::replaced(std::string_view section) const {
  if (!charsmap) return std::string(section);
  std::string out;
  for (size_t at = 0; at < section.size();) {
    if (const auto whole = verbatim.longest(section, at); whole.length > 0) {
      out += section.substr(at, whole.length);
      at += whole.length;
    } else {
      at += charsmap->replace(section, at, out);
    }
  }
  return out;
}

std::string SentencePieceText::prepare(std::string_view section, bool first) const {
  if (section.empty()) return {};
  std::string text = replaced(section);
  if (remove_extra_spaces) text = without_extra_spaces(text);
  if (text.empty()) return text;
  const bool every = prefix == Prefix::kEvery || prefix == Prefix::kEveryIfAbsent;
  const bool absent = prefix == Prefix::kFirstIfAbsent || prefix == Prefix::kEveryIfAbsent;
  const bool prefixed = prefix != Prefix::kNone && (first || every) && !(absent && blank(text, 0));
  const std::string_view space = escape_spaces ? kSpaceMark : " ";
  std::string out = with_spaces(text, prefixed, space);
  if (remove_extra_spaces) trim_end(out, space);
  return out;
}

void WordBoundaries::add_piece(std::string_view piece) {
  if (!apart_) return;
  while (piece.starts_with(kSpaceMark)) piece.remove_prefix(kSpaceMark.size());
  apart_ = piece.find(kSpaceMark) == std::string_view::npos;
}

size_t WordBoundaries::next(std::string_view text, size_t at) const {
  if (!apart_) return text.size();
  while (text.substr(at).starts_with(kSpaceMark)) at += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, at), text.size());
}

}  // namespace pith::model
