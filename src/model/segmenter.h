// The algorithm that turns text between special tokens into ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace pith::model {

class Segmenter {
 public:
  virtual ~Segmenter() = default;
  // Appends the ids of a section: the whole text, or what stands between special tokens. `first`:
  // it begins the text. Const and without hidden state, so that threads can share it.
  virtual void encode(std::string_view section, bool first, std::vector<int32_t>& out) const = 0;
};

}  // namespace pith::model
