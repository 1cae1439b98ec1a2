#include "pith/recipe/cache_claims.h"

#include <vector>

namespace pith::recipe {

std::span<const CacheClaim> all_cache_claims() {
  static const std::vector<CacheClaim> claims = {
      {"deep-forcing", "turned keys lose less than keys that stay where they were read",
       "deep-forcing",
       "cache(keep=sink(64) + top(attention(latest=32)), budget=25%, window=32, tile=16)"},
      {"deep-forcing", "first tokens and participation lose less than the latest tokens",
       "deep-forcing", "cache(keep=top(recency), budget=25%, window=32, tile=16)"},
      {"ems", "loses less than what the latest queries choose, without a merge", "ems",
       "cache(keep=top(attention(latest=32)), budget=25%, window=32, tile=16)"},
      {"ems", "both scores lose less than that of all queries alone", "ems",
       "cache(keep=top(attention) | merge(similar, threshold=0.6, weight=attention), budget=25%, "
       "window=32, tile=16)"},
      {"ems", "both scores lose less than that of the latest queries alone", "ems",
       "cache(keep=top(attention(latest=32)) | merge(similar, threshold=0.6, weight=attention), "
       "budget=25%, window=32, tile=16)"},
      {"ems", "loses less than where all that is dropped is merged", "ems",
       "cache(keep=top(attention + attention(latest=32)) | merge(similar, weight=attention), "
       "budget=25%, window=32, tile=16)"},
      {"ems", "tells more planted facts than what the latest queries choose", "ems",
       "cache(keep=top(attention(latest=32)), budget=25%, window=32, tile=16)", Task::kRecall},
      {"finch", "loses less than first and latest tokens", "finch", "streaming"},
      {"finch", "loses less where keys are turned than where they are not", "finch",
       "cache(keep=top(attention(latest=64)), budget=25%, window=32, tile=16)"},
      {"finch", "tells more planted facts than first and latest tokens", "finch", "streaming",
       Task::kRecall},
      {"finch", "tells more planted facts than what all queries chose", "finch", "h2o",
       Task::kRecall},
      {"gear", "loses less than codes alone", "gear",
       "cache(uniform(2, group=64), window=32, tile=64)"},
      {"gear", "loses less than codes and a low rank", "gear",
       "cache(uniform(2, group=64) + lowrank(2), window=32, tile=64)"},
      {"gear", "loses less than codes and the largest elements", "gear",
       "cache(sparse(2%) + uniform(2, group=64), window=32, tile=64)"},
      {"h2o", "loses less than first and latest tokens", "h2o", "streaming"},
      {"kivi", "loses less than codes of keys by token", "kivi",
       "cache(uniform(2, group=32), keys_by=token, window=32, tile=32)"},
      {"kivi", "loses less than tokens that are left out by attention", "kivi", "h2o"},
      {"lacache", "loses less than first and latest tokens in all layers", "lacache", "streaming"},
      {"lacache", "tells more planted facts than first and latest tokens in all layers", "lacache",
       "streaming", Task::kRecall},
      {"mikv", "loses less than leaving the other tokens out", "mikv", "h2o"},
      {"mikv", "loses less than equal bits for all tokens", "mikv", "kivi"},
      {"mikv", "tells more planted facts than leaving the other tokens out", "mikv", "h2o",
       Task::kRecall},
      {"mustafar", "loses less than whole channels that are left out", "mustafar",
       "cache(sparse(50%, pattern=columns), keys_by=token, window=32, tile=64)"},
      {"pyramidkv", "loses less than as many tokens in every layer", "pyramidkv", "snapkv"},
      {"rotated-q4", "loses less than the same blocks as they are", "rotated-q4",
       "cache(ggml(q4_0), keys_by=token, window=32, tile=64)"},
      {"snapkv", "loses less than first and latest tokens", "snapkv", "streaming"},
      {"snapkv", "copies better than first and latest tokens", "snapkv", "streaming", Task::kCopy},
      {"streaming", "as good as codes on what comes next, at the same size", "streaming", "kivi"},
      {"streaming", "tells fewer planted facts than codes do", "kivi", "streaming", Task::kRecall},
      {"streaming", "copies worse than codes do", "kivi", "streaming", Task::kCopy},
      {"uncomp", "loses less than as many tokens of every head", "uncomp", "snapkv"},
      {"uncomp", "loses less than what all queries chose", "uncomp", "h2o"},
      {"uncomp", "tells more planted facts than as many tokens of every head", "uncomp", "snapkv",
       Task::kRecall},
      {"zipcache", "loses less than equal bits for all tokens", "zipcache", "kivi"},
      {"zipcache", "loses less where attention is its mean than where it is its sum", "zipcache",
       "cache(uniform(4, group=32), keep=top(attention) | rest(uniform(2, group=32)), budget=40%, "
       "window=32, tile=64)"},
  };
  return claims;
}

}  // namespace pith::recipe
