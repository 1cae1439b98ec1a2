#include "pith/recipe/cache_claims.h"

#include <vector>

namespace pith::recipe {

std::span<const CacheClaim> all_cache_claims() {
  static const std::vector<CacheClaim> claims = {
      {"cachegen", "loses less than codes of a token's groups", "cachegen",
       "cache(uniform(4, group=32), keys_by=token, window=32, tile=64)"},
      {"cachegen", "loses less than differences to the mean of a channel", "cachegen",
       "stream(level=6, deeper=2)"},
      {"cachegen", "loses less where steps grow with depth than where they are equal", "cachegen",
       "stream(level=6, deltas=anchor, group=10)"},
      {"cskv", "loses less than tokens that are left out by attention", "cskv", "h2o"},
      {"cskv", "loses less than along principal axes", "cskv",
       "cache(dense(f16), profile=\"--joined head\", kept=20%, ranks=equal, window=32, tile=32)"},
      {"cskv", "loses less than along the directions of the weights alone", "cskv",
       "cache(dense(f16), profile=\"--joined head --axes weights\", kept=20%, ranks=equal, "
       "window=32, tile=32)"},
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
       "cache(keep=top(attention(latest=64)), budget=25%, window=32, tile=16, together=true)"},
      {"finch", "tells more planted facts than first and latest tokens", "finch", "streaming",
       Task::kRecall},
      {"finch", "tells more planted facts than what all queries chose", "finch", "h2o",
       Task::kRecall},
      {"fourier-attention", "loses less than tokens that are left out by attention",
       "fourier-attention", "h2o"},
      {"fourier-attention", "loses less than with the means of the other channels alone",
       "fourier-attention",
       "cache(dense(f16), profile=\"--joined head --axes channels --order attention\", kept=50%, "
       "rest=dct | tiles(part(dense(f16), cols=0..1), part(zeros, cols=1..)), window=32, sink=4)"},
      {"gear", "loses less than codes alone", "gear",
       "cache(uniform(2, group=64), window=32, tile=64)"},
      {"gear", "loses less than codes and a low rank", "gear",
       "cache(uniform(2, group=64) + lowrank(2), window=32, tile=64)"},
      {"gear", "loses less than codes and the largest elements", "gear",
       "cache(sparse(2%) + uniform(2, group=64), window=32, tile=64)"},
      {"h2o", "loses less than first and latest tokens", "h2o", "streaming"},
      {"hack", "loses less than one rule with equal budgets", "hack",
       "cache(keep=sink(4) + top(attention(latest=32)), budget=30%, window=32, tile=16)"},
      {"hack", "loses less than one rule with its budgets", "hack",
       "cache(keep=sink(4) + top(attention(latest=32)), budget=30%, shares=classes(3, "
       "moving=sink(4) + top(attention(latest=32))), window=32, tile=16)"},
      {"kivi", "loses less than codes of keys by token", "kivi",
       "cache(uniform(2, group=32), keys_by=token, window=32, tile=32)"},
      {"kivi", "loses less than tokens that are left out by attention", "kivi", "h2o"},
      {"kvtc", "loses less than along axes of each head by itself", "kvtc",
       "stream(profile=\"--joined head\", bits=0.8, steps=dynamic)"},
      {"kvtc", "loses less than with one step for all axes", "kvtc",
       "stream(profile=\"--joined all\", bits=0.8)"},
      {"kvtc", "loses less than tokens that are left out by attention", "kvtc", "h2o"},
      {"lacache", "loses less than first and latest tokens in all layers", "lacache", "streaming"},
      {"lacache", "tells more planted facts than first and latest tokens in all layers", "lacache",
       "streaming", Task::kRecall},
      {"ltri-llm", "tells more planted facts than with blocks of 16", "ltri-llm",
       "cache(window=32, tile=16, reads=25%, reads_by=mean)", Task::kRecall, true},
      {"ltri-llm", "tells more planted facts than with blocks of 64", "ltri-llm",
       "cache(window=32, tile=64, reads=25%, reads_by=mean)", Task::kRecall, true},
      {"ltri-llm", "tells more planted facts than the first and latest tokens alone", "ltri-llm",
       "streaming", Task::kRecall, true},
      {"matryoshka-kv", "ranks that are searched lose less than equal ones", "matryoshka-kv",
       "cache(dense(f16), profile=\"--joined head --axes attention\", kept=40%, ranks=equal, "
       "window=32, tile=32)"},
      {"matryoshka-kv", "loses less than along principal axes", "matryoshka-kv",
       "cache(dense(f16), profile=\"--joined head\", kept=40%, ranks=searched, window=32, "
       "tile=32)"},
      {"mikv", "loses less than leaving the other tokens out", "mikv", "h2o"},
      {"mikv", "loses less than equal bits for all tokens", "mikv", "kivi"},
      {"mikv", "loses less than without the balance of channels", "mikv",
       "cache(uniform(8, group=32), keep=top(attention) | rest(uniform(2, group=32, zero=true)), "
       "budget=20%, keys_by=token, window=32, tile=32)"},
      {"mikv", "tells more planted facts than leaving the other tokens out", "mikv", "h2o",
       Task::kRecall},
      {"mustafar", "loses less than with the largest elements of a tile", "mustafar",
       "cache(sparse(50%), keys_by=token, window=32, tile=64)"},
      {"mustafar", "loses less than with a share of each channel", "mustafar",
       "cache(sparse(32:64), values_by=channel, window=32, tile=64)"},
      {"mustafar", "loses less than whole channels that are left out", "mustafar",
       "cache(sparse(50%, pattern=columns), keys_by=token, window=32, tile=64)"},
      {"pyramidkv", "loses less than as many tokens in every layer", "pyramidkv", "snapkv"},
      {"quest-pages", "tells more planted facts than what all queries chose", "quest-pages", "h2o",
       Task::kRecall, true},
      {"rotated-q4", "loses less than the same blocks as they are", "rotated-q4",
       "cache(ggml(q4_0), keys_by=token, window=32, tile=64)"},
      {"snapkv", "loses less than first and latest tokens", "snapkv", "streaming"},
      {"snapkv", "copies better than first and latest tokens", "snapkv", "streaming", Task::kCopy},
      {"streaming", "as good as codes on what comes next, at the same size", "streaming", "kivi"},
      {"streaming", "tells fewer planted facts than codes do", "kivi", "streaming", Task::kRecall},
      {"streaming", "copies worse than codes do", "kivi", "streaming", Task::kCopy},
      {"uncomp", "loses less than as many tokens of every head", "uncomp", "snapkv"},
      {"uncomp", "loses less than what all queries chose", "uncomp", "h2o"},
      {"uncomp", "fewer tokens in later groups of layers lose less than as many",
       "cache(keep=top(attention(latest=32)), budget=25%, shares=entropy(groups=2, ratio=2), "
       "window=32, tile=16)",
       "uncomp"},
      {"uncomp", "tells more planted facts than as many tokens of every head", "uncomp", "snapkv",
       Task::kRecall},
      {"zipcache", "loses less than equal bits for all tokens", "zipcache", "kivi"},
      {"zipcache", "loses less where attention is its mean than where it is its sum", "zipcache",
       "cache(keys=uniform(4, group=32), values=scale(max, power=50%) | uniform(4, group=row, "
       "zero=true), keep=top(attention) | rest(uniform(2, group=32)), budget=40%, probes=10%, "
       "window=32, tile=64)"},
      {"zipcache", "loses less than with groups of a token's values", "zipcache",
       "cache(uniform(4, group=32), keep=top(attention(mean)) | rest(uniform(2, group=32)), "
       "budget=40%, probes=10%, window=32, tile=64)"},
  };
  return claims;
}

}  // namespace pith::recipe
