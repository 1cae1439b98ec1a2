// The loaders of tokenizers on any bytes, and what they load on a text.
//
// The first byte chooses the format, the rest is the file; its last bytes are encoded as text as
// well. Asserted, beyond what the sanitizers see:
//   - nothing but pith::Error is thrown;
//   - every id that encode() gives is in the vocabulary, with special tokens and without;
//   - decode() and the stream decoder take those ids, and the latter gives UTF-8.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "pith/base/error.h"
#include "pith/io/text.h"
#include "pith/model/load_tokenizer.h"

namespace {

using pith::ByteView;
using pith::model::Tokenizer;

constexpr std::string_view kText =
    "The  quick\n\n brown's 123 caf\u00e9 e\u0301 \u65e5\u672c \u2581x <s></s>\t\xFF\xC3!";

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

Tokenizer load(uint8_t format, ByteView file) {
  switch (format % 3) {
    case 0:
      return pith::model::tokenizer_from_sentencepiece(file);
    case 1:
      return pith::model::tokenizer_from_json(file);
    default:
      return pith::model::tokenizer_from_gguf(pith::io::read_gguf_metadata(file));
  }
}

void check(const Tokenizer& tokenizer, std::string_view text, bool special) {
  const auto ids = tokenizer.encode(text, {.parse_special = special});
  pith::model::StreamDecoder stream(tokenizer);
  std::string shown;
  for (const int32_t id : ids) {
    require(id >= 0 && id < tokenizer.size(), "ids are in the vocabulary");
    shown += stream.push(id);
  }
  shown += stream.finish();
  require(pith::io::utf8(shown) == shown, "the stream decoder gives UTF-8");
  tokenizer.decode(ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const ByteView file(data + 1, size - 1);
  try {
    const Tokenizer tokenizer = load(data[0], file);
    for (const bool special : {false, true}) {
      check(tokenizer, kText, special);
      check(tokenizer, pith::io::as_text(file.last(std::min<size_t>(file.size(), 200))), special);
    }
  } catch (const pith::Error&) {
    return 0;
  }
  return 0;
}
