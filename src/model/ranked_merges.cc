#include "ranked_merges.h"

#include <algorithm>
#include <utility>

#include "pith/base/error.h"
#include "pith/io/text.h"

namespace pith::model {

void RankedMerges::add(const Vocabulary& vocabulary, std::string_view left,
                       std::string_view right) {
  const auto id_of = [&](std::string_view piece) {
    const int32_t id = vocabulary.find(piece);
    if (id < 0) {
      fail(ErrorKind::kData, "merge {}: {} is not in the vocabulary", next_rank_,
           io::in_quotes(piece));
    }
    return static_cast<uint32_t>(id);
  };
  const uint64_t pair = uint64_t{id_of(left)} << 32 | id_of(right);
  std::string whole(left);
  whole += right;
  merges_.insert(pair, {next_rank_, id_of(whole)});
  ++next_rank_;
}

void RankedMerges::add(const Vocabulary& vocabulary, std::string_view pair) {
  const size_t space = pair.find(' ');
  if (space == std::string_view::npos || pair.find(' ', space + 1) != std::string_view::npos) {
    fail(ErrorKind::kData, "merge {}: {} is not two pieces with a space between", next_rank_,
         io::in_quotes(pair));
  }
  add(vocabulary, pair.substr(0, space), pair.substr(space + 1));
}

std::vector<RankedMerges::Pair> RankedMerges::in_order() const {
  std::vector<std::pair<uint32_t, Pair>> ranked;
  ranked.reserve(merges_.size());
  merges_.each([&](uint64_t key, const FlatMap::Value& merge) {
    ranked.push_back({merge.first,
                      {static_cast<int32_t>(key >> 32), static_cast<int32_t>(key & 0xFFFFFFFF),
                       static_cast<int32_t>(merge.second)}});
  });
  std::ranges::sort(ranked, {}, &std::pair<uint32_t, Pair>::first);
  std::vector<Pair> pairs;
  pairs.reserve(ranked.size());
  for (const auto& [rank, pair] : ranked) pairs.push_back(pair);
  return pairs;
}

}  // namespace pith::model
