#include "byte_level_bpe.h"

#include "byte_alphabet.h"
#include "nfc.h"
#include "pith/base/error.h"
#include "word_cache.h"

namespace pith::model {
ByteLevelBpe::ByteLevelBpe(const Vocabulary& vocabulary, RankedMerges merges,
                           const ByteLevelOptions& options, int32_t unknown)
    : merges_(std::move(merges)), options_(options) {
  for (size_t byte = 0; byte < 256; ++byte) {
    const int32_t id = vocabulary.find(byte_letter(static_cast<uint8_t>(byte)));
    bytes_[byte] = id >= 0 ? id : unknown;
  }
  if (!options_.ignore_merges) return;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.kind(id) != PieceKind::kNormal) continue;
    words_.insert(bytes_of_letters(vocabulary.piece(id)), id);
  }
}

// One call of encode: its work space, and the words that it has met.
class ByteLevelBpe::Run {
 public:
  Run(const ByteLevelBpe& model, std::vector<int32_t>& out)
      : model_(model), out_(out), cache_(out) {}

  void word(std::string_view word) {
    cache_.append(word, [&] { merge(word); });
  }

 private:
  int32_t byte(char c) const {
    const int32_t id = model_.bytes_[static_cast<uint8_t>(c)];
    if (id < 0) {
      fail(ErrorKind::kData,
           "the vocabulary has no piece for the byte 0x{:02X} and no unknown piece",
           static_cast<uint8_t>(c));
    }
    return id;
  }
  void merge(std::string_view word) {
    if (model_.options_.ignore_merges) {
      if (const int32_t id = model_.words_.find(word); id >= 0) return out_.push_back(id);
    }
    symbols_.clear();
    for (size_t k = 0; k < word.size(); ++k) {
      symbols_.add(static_cast<uint32_t>(k), 1, byte(word[k]));
    }
    symbols_.merge(model_.merges_);
    symbols_.each([&](const Symbol& symbol) { out_.push_back(symbol.id); });
  }

  const ByteLevelBpe& model_;
  std::vector<int32_t>& out_;
  SymbolList symbols_;
  WordCache cache_;
};

void ByteLevelBpe::encode(std::string_view section, bool, std::vector<int32_t>& out) const {
  if (section.empty()) return;
  std::string changed;
  if (options_.compose) section = changed = nfc(section);
  if (options_.add_prefix_space && !section.starts_with(' ')) {
    std::string spaced(1, ' ');
    spaced += section;
    section = changed = std::move(spaced);
  }
  Run run(*this, out);
  for (size_t at = 0; at < section.size();) {
    const size_t end = word_end(options_.words, section, at);
    run.word(section.substr(at, end - at));
    at = end;
  }
}

}  // namespace pith::model
