#include "sentencepiece_bpe.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "pith/base/error.h"
#include "pith/io/text.h"
#include "unicode.h"
#include "word_cache.h"

namespace pith::model {
namespace {

bool takes_part(PieceKind kind) {
  return kind == PieceKind::kNormal || kind == PieceKind::kUserDefined ||
         kind == PieceKind::kUnused;
}

// Several unknown characters together are one unknown piece.
void fuse_unknown(std::vector<int32_t>& ids, size_t begin, int32_t unknown) {
  const auto from = ids.begin() + static_cast<std::ptrdiff_t>(begin);
  ids.erase(
      std::unique(from, ids.end(), [&](int32_t a, int32_t b) { return a == b && a == unknown; }),
      ids.end());
}

std::string_view text_of(const Symbol& symbol, std::string_view word) {
  return word.substr(symbol.begin, symbol.size);
}

}  // namespace

ScoredBpe::ScoredBpe(const Vocabulary& vocabulary, SentencePieceText text, BytePieces bytes)
    : text_(std::move(text)), bytes_(std::move(bytes)) {
  std::vector<int32_t> order;
  unused_.resize(static_cast<size_t>(vocabulary.size()));
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!std::isfinite(vocabulary.score(id))) {
      fail(ErrorKind::kData, "the score of piece {} is not a number", id);
    }
    const PieceKind kind = vocabulary.kind(id);
    if (!takes_part(kind) || vocabulary.piece(id).empty()) continue;
    if (!pieces_.insert(vocabulary.piece(id), id)) continue;
    boundaries_.add_piece(vocabulary.piece(id));
    unused_[static_cast<size_t>(id)] = kind == PieceKind::kUnused;
    if (kind == PieceKind::kUserDefined) text_.verbatim.add(vocabulary.piece(id), id);
    order.push_back(id);
  }
  const auto score = [&](int32_t id) { return vocabulary.score(id); };
  std::ranges::sort(order, std::greater(), score);
  ranks_.resize(unused_.size());
  uint32_t rank = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    if (k > 0 && score(order[k]) < score(order[k - 1])) ++rank;
    ranks_[static_cast<size_t>(order[k])] = rank;
  }
}

class ScoredBpe::Run {
 public:
  Run(const ScoredBpe& model, std::vector<int32_t>& out) : model_(model), out_(out), cache_(out) {}

  // Text without user-defined pieces.
  void stretch(std::string_view text) {
    model_.boundaries_.each(
        text, [&](std::string_view word) { cache_.append(word, [&] { merge(word); }); });
  }

 private:
  void merge(std::string_view word) {
    symbols_.clear();
    splits_.clear();
    for (size_t at = 0; at < word.size();) {
      const uint32_t size = character_at(word, at).size;
      symbols_.add(static_cast<uint32_t>(at), size, -1);
      at += size;
    }
    symbols_.merge(
        [&](const Symbol& left, const Symbol& right) { return find(word, left, right); });
    symbols_.each([&](const Symbol& symbol) { put(text_of(symbol, word)); });
  }
  Merge find(std::string_view word, const Symbol& left, const Symbol& right) {
    const std::string_view both = word.substr(left.begin, left.size + right.size);
    const int32_t id = model_.pieces_.find(both);
    if (id < 0) return {};
    if (model_.unused_[static_cast<size_t>(id)]) splits_[both] = left.size;
    return {model_.ranks_[static_cast<size_t>(id)], id};
  }
  // Unused pieces serve as steps of merging only; in the end they are taken apart as they came.
  void put(std::string_view piece) {
    const int32_t id = model_.pieces_.find(piece);
    if (id < 0) return model_.bytes_.append(piece, out_);
    if (model_.unused_[static_cast<size_t>(id)]) {
      if (const auto split = splits_.find(piece); split != splits_.end()) {
        put(piece.substr(0, split->second));
        return put(piece.substr(split->second));
      }
    }
    out_.push_back(id);
  }

  const ScoredBpe& model_;
  std::vector<int32_t>& out_;
  SymbolList symbols_;
  std::unordered_map<std::string_view, size_t> splits_;
  WordCache cache_;
};

void ScoredBpe::encode(std::string_view section, bool first, std::vector<int32_t>& out) const {
  const std::string prepared = text_.prepare(section, first);
  const std::string_view text = prepared;
  const size_t begin = out.size();
  Run run(*this, out);
  size_t done = 0;
  for (size_t at = 0; at < text.size() && !text_.verbatim.empty();) {
    const auto whole = text_.verbatim.longest(text, at);
    if (whole.length == 0) {
      at += character_at(text, at).size;
      continue;
    }
    run.stretch(text.substr(done, at - done));
    out.push_back(whole.id);
    done = at += whole.length;
  }
  run.stretch(text.substr(done));
  fuse_unknown(out, begin, bytes_.unknown());
}

EscapedBpe::EscapedBpe(const Vocabulary& vocabulary, SentencePieceText text, BytePieces bytes,
                       RankedMerges merges, const Options& options)
    : text_(std::move(text)),
      bytes_(std::move(bytes)),
      merges_(std::move(merges)),
      options_(options) {
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    pieces_.insert(vocabulary.piece(id), id);
    boundaries_.add_piece(vocabulary.piece(id));
  }
}

class EscapedBpe::Run {
 public:
  Run(const EscapedBpe& model, std::vector<int32_t>& out) : model_(model), out_(out), cache_(out) {}

  void word(std::string_view word) {
    if (model_.options_.ignore_merges) {
      if (const int32_t id = model_.pieces_.find(word); id >= 0) return out_.push_back(id);
    }
    model_.boundaries_.each(
        word, [&](std::string_view part) { cache_.append(part, [&] { merge(part); }); });
  }

 private:
  void merge(std::string_view word) {
    symbols_.clear();
    for (size_t at = 0; at < word.size();) {
      const uint32_t size = character_at(word, at).size;
      add(word.substr(at, size), static_cast<uint32_t>(at));
      at += size;
    }
    symbols_.merge(model_.merges_);
    symbols_.each([&](const Symbol& symbol) {
      if (symbol.id >= 0) return out_.push_back(symbol.id);
      model_.bytes_.append(text_of(symbol, word), out_);
    });
  }
  void add(std::string_view character, uint32_t at) {
    const int32_t id = model_.pieces_.find(character);
    if (id >= 0 || !model_.bytes_.has_all(character)) {
      return symbols_.add(at, static_cast<uint32_t>(character.size()), id);
    }
    for (const char c : character) symbols_.add(at++, 1, model_.bytes_[static_cast<uint8_t>(c)]);
  }

  const EscapedBpe& model_;
  std::vector<int32_t>& out_;
  SymbolList symbols_;
  WordCache cache_;
};

size_t EscapedBpe::word_end(std::string_view text, size_t at) const {
  if (!options_.split_spaces) return text.size();
  return std::min(text.find(kSpaceMark, at + 1), text.size());
}

void EscapedBpe::encode(std::string_view section, bool first, std::vector<int32_t>& out) const {
  const std::string prepared = text_.prepare(section, first);
  const std::string_view text = prepared;
  const size_t begin = out.size();
  Run run(*this, out);
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(text, at);
    run.word(text.substr(at, end - at));
    at = end;
  }
  if (options_.fuse_unknown) fuse_unknown(out, begin, bytes_.unknown());
}

}  // namespace pith::model
