// The sizes that a cache can have.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pith::recipe {

// The same cache (a name, an id or an expression) in other sizes, smallest first. A coding of
// chunks that is a stream: bits from an eighth to ten. With a budget: shares of the tokens from 1%
// to 100%. Along axes: shares of these. Else, of all forms in it at once, those of these that they
// have: bits and groups of `uniform`, bits of `integer`, types of `ggml`; where there are none, the
// share of `sparse`, or the rank of `lowrank`. Sorted by what a tile of heads of this size takes,
// of numbers drawn at random. A cache of which nothing can be turned is alone. Throws what
// cache_options() and chunk_coding() throw.
std::vector<std::string> sizes_of_cache(std::string_view cache, uint64_t head_size);

// Of caches, smallest first, the last that holds at most so many bits a number, 0 … 16; `held` says
// what one holds, and grows but for noise. Empty: the smallest holds more.
std::string largest_cache(std::span<const std::string> caches, double bits,
                          const std::function<double(const std::string&)>& held);

}  // namespace pith::recipe
