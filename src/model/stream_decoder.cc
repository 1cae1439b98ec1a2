#include "pith/io/text.h"
#include "pith/model/tokenizer.h"

namespace pith::model {
namespace {

// What stands from `at` to the end of the text is the beginning of a UTF-8 sequence, which more
// bytes can make whole.
bool can_go_on(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  const size_t have = text.size() - at;
  if (lead < 0xC2 || lead > 0xF4 || have >= length) return false;
  // Whole with some continuation: the second byte's range depends on the lead, the others' do not.
  for (const char second : {'\x80', '\x90', '\xA0'}) {
    std::string whole(text.substr(at));
    if (whole.size() == 1) whole += second;
    whole.resize(length, '\x80');
    if (io::utf8_sequence(whole, 0) == length) return true;
  }
  return false;
}

// The length of the longest beginning of a sequence at `at`, where no whole one stands: what one
// U+FFFD replaces.
size_t broken_length(std::string_view text, size_t at) {
  size_t length = 1;
  while (at + length < text.size() && can_go_on(text.substr(0, at + length + 1), at)) ++length;
  return length;
}

}  // namespace

StreamDecoder::StreamDecoder(Tokenizer tokenizer, const DecodeOptions& options)
    : tokenizer_(std::move(tokenizer)), options_(options) {}

std::string StreamDecoder::push(int32_t id) {
  DecodeOptions options = options_;
  options.continues |= begun_;
  held_ += tokenizer_.decode(std::span(&id, 1), options);
  if (tokenizer_.kind(id) != PieceKind::kControl) begun_ = true;
  std::string out;
  size_t at = 0;
  while (at < held_.size()) {
    if (const size_t length = io::utf8_sequence(held_, at)) {
      out.append(held_, at, length);
      at += length;
    } else if (can_go_on(held_, at)) {
      break;
    } else {
      out += "\uFFFD";
      at += broken_length(held_, at);
    }
  }
  held_.erase(0, at);
  return out;
}

std::string StreamDecoder::finish() {
  begun_ = false;
  const bool rest = !held_.empty();
  held_.clear();
  return rest ? "\uFFFD" : "";
}

}  // namespace pith::model
