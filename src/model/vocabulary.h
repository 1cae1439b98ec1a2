// The pieces of a vocabulary: their strings, kinds and scores, and the id of each string.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/model/tokenizer.h"

namespace pith::model {

// Ids of strings, by open addressing over one array of bytes.
class StringIndex {
 public:
  // An id of a string that is there already stays; true when it was new.
  bool insert(std::string_view text, int32_t id);
  int32_t find(std::string_view text) const;  // -1 when it is not there

 private:
  struct Slot {
    uint64_t hash = 0;
    uint64_t begin = 0;
    uint32_t size = 0;
    int32_t id = -1;
  };
  size_t place(std::string_view text, uint64_t hash) const;
  void grow();

  std::string bytes_;
  std::vector<Slot> slots_;
  size_t count_ = 0;
};

class Vocabulary {
 public:
  // Appends a piece. A string that stands twice keeps its first id.
  int32_t add(std::string_view piece, PieceKind kind, float score = 0);
  // Gives an id its piece; ids between the end and it become unused. Files rename the places that
  // others kept free, so an unused or control piece may get another name. Throws ErrorKind::kData
  // for an id far beyond the others, or that of another normal piece.
  void add_at(int64_t id, std::string_view piece, PieceKind kind);

  int32_t size() const { return static_cast<int32_t>(entries_.size()); }
  bool contains(int64_t id) const { return id >= 0 && id < size(); }
  std::string_view piece(int32_t id) const { return entries_[static_cast<size_t>(id)].piece; }
  PieceKind kind(int32_t id) const { return entries_[static_cast<size_t>(id)].kind; }
  float score(int32_t id) const { return entries_[static_cast<size_t>(id)].score; }
  void set_kind(int32_t id, PieceKind kind) { entries_[static_cast<size_t>(id)].kind = kind; }
  int32_t find(std::string_view piece) const { return index_.find(piece); }  // -1: none

 private:
  struct Entry {
    std::string piece;
    float score;
    PieceKind kind;
  };
  std::vector<Entry> entries_;
  StringIndex index_;
};

// The kind with a number in SentencePiece and GGUF files: 1 normal, 2 unknown, 3 control, 4
// user-defined, 5 unused, 6 byte.
std::optional<PieceKind> piece_kind(uint64_t number);

// The byte that a piece of the form "<0x0A>" stands for; -1 for others.
int byte_of_piece(std::string_view piece);

}  // namespace pith::model
