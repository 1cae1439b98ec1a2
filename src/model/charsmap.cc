#include "charsmap.h"

#include "pith/io/text.h"
#include "unicode.h"

namespace pith::model {
namespace {

// A unit of the trie: how far its children are, whether it has a value, the byte that leads to it.
uint32_t children(uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }
bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label(uint32_t unit) { return unit & (1U << 31 | 0xFF); }
uint32_t value_of(uint32_t unit) { return unit & ((1U << 31) - 1); }

}  // namespace

Charsmap::Charsmap(ByteView blob) {
  ByteReader in(blob, "precompiled charsmap");
  const uint32_t size = in.u32();
  if (size % 4 != 0 || size == 0) in.bad("the trie's size is not possible");
  const ByteView trie = in.bytes(size);
  for (size_t k = 0; k < trie.size(); k += 4) units_.push_back(load_le<uint32_t>(&trie[k]));
  replacements_ = io::as_text(in.bytes(in.remaining()));
}

Charsmap::Match Charsmap::longest(std::string_view text, size_t at) const {
  Match best;
  uint64_t node = children(units_[0]);
  for (size_t k = at; k < text.size(); ++k) {
    const auto byte = static_cast<uint8_t>(text[k]);
    node ^= byte;
    if (node >= units_.size() || label(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= children(unit);
    if (!has_value(unit)) continue;
    if (node >= units_.size()) break;
    best = {k + 1 - at, value_of(units_[node])};
  }
  return best;
}

size_t Charsmap::replace(std::string_view text, size_t at, std::string& out) const {
  const Match match = longest(text, at);
  if (match.length == 0 || match.value >= replacements_.size()) {
    const size_t size = character_at(text, at).size;
    out += text.substr(at, size);
    return size;
  }
  out += std::string_view(replacements_.c_str() + match.value);
  return match.length;
}

}  // namespace pith::model
