#include "unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "pith/base/error.h"
#include "unicode.h"

namespace pith::model {
namespace {

constexpr float kUnknownPenalty = 10;  // below the lowest score, as SentencePiece has it

}  // namespace

struct Unigram::End {
  float score = 0;
  int32_t id = -1;     // of the last piece; -1: a character without one
  int64_t begin = -1;  // of the last piece; -1: not reached
};

Unigram::Unigram(const Vocabulary& vocabulary, SentencePieceText text, BytePieces bytes)
    : text_(std::move(text)), bytes_(std::move(bytes)) {
  float lowest = std::numeric_limits<float>::max();
  // SentencePiece begins its search for the highest score at the smallest positive number, not the
  // lowest of all, so that user-defined pieces are worth almost 0, more than any others.
  highest_ = std::numeric_limits<float>::min();
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const float score = vocabulary.score(id);
    if (!std::isfinite(score)) fail(ErrorKind::kData, "the score of piece {} is not a number", id);
    const PieceKind kind = vocabulary.kind(id);
    scores_.push_back(score);
    user_defined_.push_back(kind == PieceKind::kUserDefined);
    if (kind == PieceKind::kNormal) {
      lowest = std::min(lowest, score);
      highest_ = std::max(highest_, score);
    }
    if (kind == PieceKind::kNormal || kind == PieceKind::kUserDefined) {
      pieces_.add(vocabulary.piece(id), id);
    }
    if (kind == PieceKind::kUserDefined) text_.verbatim.add(vocabulary.piece(id), id);
  }
  unknown_score_ = lowest - kUnknownPenalty;
}

// Sums in float and products in double, as SentencePiece does: ties and near ties fall alike.
std::vector<Unigram::End> Unigram::best_ends(std::string_view text) const {
  std::vector<End> ends(text.size() + 1);
  const auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
    const double sum = score + static_cast<double>(ends[begin].score);
    End& best = ends[end];
    if (best.begin >= 0 && sum <= static_cast<double>(best.score)) return;
    best = {static_cast<float>(sum), id, static_cast<int64_t>(begin)};
  };
  for (size_t at = 0; at < text.size();) {
    const size_t character = character_at(text, at).size;
    bool has_character = false;
    pieces_.each_prefix(text, at, [&](size_t length, int32_t id) {
      const auto k = static_cast<size_t>(id);
      const double score = user_defined_[k]
                               ? static_cast<double>(static_cast<float>(length) * highest_) - 0.1
                               : static_cast<double>(scores_[k]);
      offer(at, at + length, score, id);
      has_character |= length == character;
    });
    if (!has_character) offer(at, at + character, static_cast<double>(unknown_score_), -1);
    at += character;
  }
  return ends;
}

void Unigram::encode(std::string_view section, bool first, std::vector<int32_t>& out) const {
  const std::string prepared = text_.prepare(section, first);
  const std::string_view text = prepared;
  const std::vector<End> ends = best_ends(text);
  std::vector<size_t> cuts;  // ends of the pieces
  for (size_t at = text.size(); at > 0; at = static_cast<size_t>(ends[at].begin)) {
    cuts.push_back(at);
  }
  std::ranges::reverse(cuts);
  size_t begin = 0;
  bool unknown_before = false;  // characters without a piece and without bytes: one id for a run
  for (const size_t end : cuts) {
    const std::string_view piece = text.substr(begin, end - begin);
    const bool unknown = ends[end].id < 0 && !bytes_.has_all(piece);
    if (ends[end].id >= 0) {
      out.push_back(ends[end].id);
    } else if (!unknown || !unknown_before) {
      bytes_.append(piece, out);
    }
    unknown_before = unknown;
    begin = end;
  }
}

}  // namespace pith::model
