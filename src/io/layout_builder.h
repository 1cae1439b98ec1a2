// Makes what a reader finds keep the promises of Layout: regions ascend, do not overlap, lie within
// the file, are as long as their type and shape say, and have unique UTF-8 names.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pith/io/layout.h"

namespace pith::io {

class LayoutBuilder {
 public:
  // What to do with a tensor that breaks a promise: refuse the whole file, where its format forbids
  // such tensors, or leave only that tensor as plain bytes with a note.
  enum class Broken { kRefuse, kLeave };

  LayoutBuilder(std::string format, uint64_t file_size, Broken broken);

  // Adds a region; its size is computed here. `written` is the size that the file states.
  void add(TensorRegion region);
  void add(TensorRegion region, uint64_t written);
  void metadata(std::string_view key, std::string_view value);

  // A note about a tensor (or another named thing). Tensors with the same reason share one note.
  void note(std::string reason, std::string_view name);
  void note(std::string text) { note(std::move(text), {}); }

  // May be called once.
  Layout finish();

 private:
  struct Reason {
    std::string text, first;
    uint64_t count = 0;
  };
  void leave(std::string_view name, std::string reason);
  void sort_and_separate();
  void make_names_unique();
  void write_notes();

  Layout layout_;
  uint64_t file_size_;
  Broken broken_;
  std::vector<Reason> reasons_;
  std::map<std::string, size_t, std::less<>> reason_index_;
};

// A companion whose regions keep the promises too, as far as they can be kept while the size of its
// file is unknown. Its notes go to the layout of the file that names it.
Companion settled(const Companion& companion, LayoutBuilder& naming);

}  // namespace pith::io
