// Encoding and decoding a megabyte: prose, and one endless word, which is the worst for merging.
#include <benchmark/benchmark.h>

#include <filesystem>

#include "pith/base/file.h"
#include "pith/io/text.h"
#include "pith/model/load_tokenizer.h"

namespace pith::model {
namespace {

constexpr size_t kBytes = size_t{1} << 20;

std::filesystem::path source_root() {
  return std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
}

const Tokenizer& tokenizer(bool byte_level) {
  static const Tokenizer sentencepiece = load_tokenizer(source_root() / "data/lm");
  static const Tokenizer bytes =
      tokenizer_from_json(read_file(source_root() / "tests/golden/tokenizers/byte_level.json"));
  return byte_level ? bytes : sentencepiece;
}

// The project's own documents, over and over.
std::string prose() {
  std::string text;
  for (const char* name : {"README.md", "docs/formats.md", "docs/checkpoints.md"}) {
    text += io::as_text(read_file(source_root() / name));
  }
  while (text.size() < kBytes) text += std::string(text);
  text.resize(kBytes);
  return text;
}

std::string endless_word() {
  std::string text;
  for (uint32_t k = 1; text.size() < kBytes; k = k * 1664525 + 1013904223) {
    text += "etaoinshrdlu"[(k >> 16) % 12];
  }
  return text;
}

void BM_Encode(benchmark::State& state, bool byte_level, std::string (*make)()) {
  const std::string text = make();
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer(byte_level).encode(text));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK_CAPTURE(BM_Encode, sentencepiece_prose, false, prose);
BENCHMARK_CAPTURE(BM_Encode, sentencepiece_endless_word, false, endless_word);
BENCHMARK_CAPTURE(BM_Encode, byte_level_prose, true, prose);
BENCHMARK_CAPTURE(BM_Encode, byte_level_endless_word, true, endless_word);

void BM_Decode(benchmark::State& state, bool byte_level) {
  const std::string text = prose();
  const auto ids = tokenizer(byte_level).encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer(byte_level).decode(ids));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK_CAPTURE(BM_Decode, sentencepiece, false);
BENCHMARK_CAPTURE(BM_Decode, byte_level, true);

}  // namespace
}  // namespace pith::model
