#include "vocabulary.h"

#include "pith/base/error.h"
#include "pith/base/hash.h"
#include "pith/io/text.h"

namespace pith::model {
namespace {

// How far beyond the pieces there are an added token's id may lie: real files leave small holes.
constexpr int64_t kMaxHole = 1 << 16;
constexpr size_t kMaxPieces = size_t{1} << 26;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

size_t StringIndex::place(std::string_view text, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.id < 0) return at;
    if (slot.hash == hash && std::string_view(bytes_).substr(slot.begin, slot.size) == text) {
      return at;
    }
  }
}

void StringIndex::grow() {
  std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t at = slot.hash & mask;
    while (slots_[at].id >= 0) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

bool StringIndex::insert(std::string_view text, int32_t id) {
  if (slots_.size() < (count_ + 1) * 2) grow();
  const uint64_t hash = hash64(as_bytes(text));
  Slot& slot = slots_[place(text, hash)];
  if (slot.id >= 0) return false;
  slot = {hash, bytes_.size(), static_cast<uint32_t>(text.size()), id};
  bytes_ += text;
  ++count_;
  return true;
}

int32_t StringIndex::find(std::string_view text) const {
  if (slots_.empty()) return -1;
  return slots_[place(text, hash64(as_bytes(text)))].id;
}

int32_t Vocabulary::add(std::string_view piece, PieceKind kind, float score) {
  if (entries_.size() >= kMaxPieces || piece.size() > UINT32_MAX) {
    fail(ErrorKind::kLimit, "the vocabulary has more than {} pieces", kMaxPieces);
  }
  const int32_t id = size();
  entries_.push_back({std::string(piece), score, kind});
  index_.insert(piece, id);
  return id;
}

void Vocabulary::add_at(int64_t id, std::string_view piece, PieceKind kind) {
  if (id < 0 || id > size() + kMaxHole) {
    fail(ErrorKind::kData, "token {} has the id {}, far from the {} others", io::in_quotes(piece),
         id, size());
  }
  while (size() < id) entries_.push_back({std::string(), 0, PieceKind::kUnused});
  if (id == size()) {
    add(piece, kind);
    return;
  }
  Entry& entry = entries_[static_cast<size_t>(id)];
  if (entry.piece != piece) {
    if (entry.kind == PieceKind::kNormal || entry.kind == PieceKind::kByte) {
      fail(ErrorKind::kData, "the id {} is that of {} and of {}", id, io::in_quotes(entry.piece),
           io::in_quotes(piece));
    }
    entry.piece = piece;
    index_.insert(piece, static_cast<int32_t>(id));
  }
  entry.kind = kind;
}

std::optional<PieceKind> piece_kind(uint64_t number) {
  constexpr PieceKind kKinds[] = {PieceKind::kNormal,      PieceKind::kUnknown, PieceKind::kControl,
                                  PieceKind::kUserDefined, PieceKind::kUnused,  PieceKind::kByte};
  return number >= 1 && number <= 6 ? std::optional(kKinds[number - 1]) : std::nullopt;
}

int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const int high = hex_digit(piece[3]), low = hex_digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace pith::model
