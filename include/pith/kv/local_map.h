// What the queries of some tokens gave to these tokens and to none before them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/form/matrix.h"

namespace pith::kv {

class LocalMap {
 public:
  // Of the query of the last token of `weights`, to it and those before it.
  void add(std::span<const float> weights);
  // So many tokens from the first on leave.
  void leave(uint64_t tokens);
  // Those from this one on have never been there.
  void shorten(uint64_t tokens);
  // tokens x tokens; zeros where there was no query.
  form::Matrix map(uint64_t tokens) const;

 private:
  std::vector<std::vector<float>> rows_;  // of each token; empty: none
};

}  // namespace pith::kv
