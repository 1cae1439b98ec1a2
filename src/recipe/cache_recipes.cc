#include "pith/recipe/cache_recipes.h"

#include <fmt/format.h>

#include <algorithm>

#include "pith/base/error.h"
#include "pith/form/expression.h"

namespace pith::recipe {

std::span<const CacheRecipe> all_cache_recipes() {
  static const std::vector<CacheRecipe> recipes = {
      {.name = "cachegen",
       .id = "S087",
       .title =
           "CacheGen: KV Cache Compression and Streaming for Fast Large Language Model Serving",
       .summary = "A stream of what tokens differ by from the anchor of their ten, in steps by "
                  "layers, with a table of frequencies for every channel, at several levels, read "
                  "as it arrives; a controller has chunks fetched, at which level, or computed.",
       .compose = "stream(level=6, deltas=anchor, group=10, deeper=2)",
       .waits = "",
       .parts = {"kv/stream.h", "kv/controller.h", "entropy/scaled_rans.h"},
       .verified =
           "`pith bench cache-stream` on books-valid, four windows of 512 tokens and 512 after "
           "them; tests KvStream, KvStreamQuality and Controller. At equal perplexity 4.0 times "
           "smaller than 8-bit groups of 32 (level 6 with what follows: 2.12 bits beside 8.57, "
           "perplexity -0.02%); at equal divergence 1.08 times, for at that noise the numbers have "
           "7.9 bits of entropy, and with axes over all layers 1.94 times; at the divergence of "
           "4-bit groups 1.57 times. Tables of every channel save 2.2%, 3.9% with anchors. "
           "Contradicted: differences to anchors enlarge it, 3.81 bits beside 3.05 of differences "
           "to a channel's mean with the same step, as neighbours here are hardly alike once keys "
           "are rotated (on made caches with correlated tokens anchors pay); coarser steps for "
           "deeper layers lose more (at 2.5 bits 247e-6 beside 213e-6 with equal and 145e-6 with "
           "finer ones), so stream(level=6) has neither. Streams are read at 1.0 to 1.4 GB of f16 "
           "a second and core. The controller meets deadlines that fixed levels miss and is never "
           "more than 10% slower than the better of fetching and computing (24 traces). `pith "
           "bench "
           "kv` on books-test, coded in chunks of 64 as they leave a window of 32, at 50, 25 and "
           "12.5% of f16: 0.0006, 0.32 and 9.9 thousandths of a nat; of differences to means "
           "0.0004, 0.083 and 3.0.",
       .of_chunks = true},
      {.name = "cskv",
       .id = "S014",
       .title = "CSKV: Training-Efficient Channel Shrinking for KV Cache in Long-Context Scenarios",
       .summary = "The coordinates of keys and values along a fifth of each head's axes; the "
                  "latest tokens as they are. Axes are those with which attention loses "
                  "least on a text: what layer-wise tuning looks for, in closed form.",
       .compose = "cache(dense(f16), profile=$profile, kept=20%, ranks=equal, window=32, tile=32)",
       .waits = "factors that heads of a layer share; coordinates quantized while factors are "
                "tuned",
       .parts = {"kv/options.h", "kv/profile.h", "kv/head_axes.h"},
       .verified =
           "`pith eval` on books-valid, four windows of 1000 tokens (books-test after the stroke); "
           "tests HeadAxes, SessionAxes and CacheAxesQuality. Divergence at a fifth of the axes "
           "(4.0 bits a number with the window of 32): 3991e-6/1571e-6, of the untuned singular "
           "directions of W_K and W_V 5148e-6/3812e-6 (perplexity +0.66%/+0.19% beside "
           "+0.49%/+0.33%), of principal axes, which lose least of keys and values themselves, "
           "6168e-6/3069e-6: on books-valid tuning for their squared error alone is contradicted. "
           "Without the window 12113e-6/7811e-6; coordinates of 4 bits 4278e-6/1757e-6 (1.9 bits); "
           "tokens by attention at 4.4 bits 10088e-6/9557e-6. The profile is of 16 texts of 512 "
           "tokens of one book; of 32 from many it loses 2434e-6 on books-valid. `pith bench kv` "
           "on books-test at 50, 25 and 12.5% of f16, thousandths of a nat: 0.19, 1.5, 11.7; "
           "tokens by attention (h2o) 4.6, 11.8, 19.3; principal axes 0.34, 3.7, 17.6, the "
           "weights' directions 0.53, 4.4, 23.1: holds at each. Planted facts (tests "
           "PlantedAxesQuality, a built model, 1000 tokens): 95% at two fifths of each head's axes "
           "(6.9 bits), where tokens by attention tell 38% at half; with ranks that are searched "
           "all at a fifth (4.0 bits) beside 10 to 20%: holds; 4-bit codes tell as many (85% "
           "beside 85% at 15% of the axes, 1.6 bits beside 3.2). Contradicted: a fifth of each "
           "head's own axes tells 20%, no more than tokens of as many bytes; nor does this model, "
           "which looks up all that it tells far back, tell fewer without the window.",
       .profile = "--joined head --axes attention"},
      {.name = "deep-forcing",
       .id = "S017",
       .title = "Deep Forcing: Training-Free Long Video Generation with Deep Sink and "
                "Participative Compression",
       .summary =
           "A deep sink: the first 64 tokens stay, their rotation is that of the places just "
           "before the others; of the others those stay to which the latest queries gave most.",
       .compose = "cache(keep=sink(64) + top(attention(latest=32)), budget=25%, window=32, "
                  "tile=16, positions=cache)",
       .waits = "video, and how much moves in it: tested on text",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache in "
           "thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): 7.3, 18.5, "
           "34.4, where first and latest tokens alone lose 3.4, 9.0, 18.9: contradicted on text. "
           "Contradicted as well within the trained length: with keys where they were read 4.6, "
           "11.3, 18.4. Beyond it (1900 tokens read, 640 held) turned keys are better: loss 3.741 "
           "beside 3.768, a full cache 3.819. Shares of all tokens as sinks do not fit budgets, so "
           "that they are a number. Tests CacheDriftQuality, 256 tokens held, half of them the "
           "first: behind 9216 tokens, twelve times the trained length at the end, the loss of "
           "3072 more is 3.338 turned, 3.353 where they were read (text of the repository), 3.712 "
           "and 3.722 for the last 1024 of 6144 of books-valid, where a full cache has 4.055: "
           "sinks that are turned drift less, holds. The latest 256 alone drift less still, 3.322 "
           "and 3.694: contradicted, also where sinks stand with the latest alone (3.700)."},
      {.name = "ems",
       .id = "S023",
       .title = "EMS: Adaptive Evict-then-Merge Strategy for Head-wise KV Cache Compression",
       .summary = "What all queries gave and what the latest gave, each in units of its largest, "
                  "choose the centres; what is dropped is merged into the centre with the most "
                  "similar key, or lost below a threshold.",
       .compose = "cache(keep=top(attention + attention(latest=32)) | merge(similar, "
                  "threshold=0.6, weight=attention), budget=25%, window=32, tile=16)",
       .waits = "",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache in "
           "thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): 5.8, 11.6, "
           "20.2; h2o 4.6, 11.8, 19.3, snapkv 4.8, 12.5, 21.0, streaming 3.4, 9.0, 18.9: no better "
           "than these at half, better than snapkv below. Contradicted: with the score of all "
           "queries alone and the merge 4.8, 10.2, 20.2. Test CacheRecipeQuality (text of the "
           "repository, 512 predictions, 12%): 14.1 beside 18.3 of snapkv, 14.9 and 18.2 with one "
           "of its scores alone, 14.5 where all that is dropped is merged: holds there. More "
           "planted facts than snapkv: 23% beside 13% at a quarter (a built model, the question "
           "not known before)."},
      {.name = "finch",
       .id = "S168",
       .title = "Finch: Prompt-guided Key-Value Cache Compression for Large Language Models",
       .summary = "A prompt is read in pieces, and the question with each: the tokens stay to "
                  "which it gave most, the same for all heads of a layer. Keys are turned to where "
                  "they then stand, so that positions never leave what the model was trained for.",
       .compose = "cache(keep=top(attention(latest=64)), budget=25%, window=32, tile=16, "
                  "positions=cache, prompts=asked, together=true)",
       .waits = "",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache in "
           "thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): 4.9, 12.3, "
           "22.2 (each head by itself 5.0, 12.3, 26.7); beats h2o (4.6, 11.8, 19.3) and streaming "
           "(3.4, 9.0, 18.9) nowhere: contradicted within the trained length, where keys that are "
           "not turned lose less, 2.8, 8.5, 14.0, and less than h2o (each head by itself 3.0, 7.4, "
           "14.1). Test CacheDriftQuality: beyond it (3072 tokens of the text of the repository, "
           "512 held, the last 1024) the loss is 3.799 with turned keys and 3.819 without, behind "
           "another thousand 3.397 and 3.402; with 256 held 3.391 and 3.382, on books-valid 3.512 "
           "and 3.537: holds in three of four. Where nothing is asked, that is. Asked for, all "
           "planted facts are told at 50, 25 and 12.5% (a built model, 1000 tokens), where h2o "
           "tells 38, 18, 8%, streaming 45, 15, 0%: holds; so they are at an eighth and a tenth of "
           "1500 tokens (PlantedReads), with turned keys and without, where the latest tokens "
           "alone tell none: that turned keys are needed is contradicted there. Facts in a book's "
           "text are not shown, for the reference model tells none."},
      {.name = "fourier-attention",
       .id = "S214",
       .title = "Beyond Homogeneous Attention: Memory-Efficient LLMs via Fourier-Approximated KV "
                "Cache",
       .summary = "Channels without which attention to far tokens changes least, found on a text, "
                  "are held by the first cosines over the tokens of a tile; the others, the first "
                  "tokens and the latest as they are.",
       .compose = "cache(dense(f16), profile=$profile, kept=50%, rest=dct | "
                  "tiles(part(dense(f16), cols=0..8), part(zeros, cols=8..)), window=32, sink=4)",
       .waits = "as many coefficients however long the text: here they are of every tile",
       .parts = {"kv/options.h", "kv/profile.h", "kv/head_axes.h", "model/axes_profile.h"},
       .verified =
           "`pith eval` on books-valid, four windows of 1000 tokens; tests HeadAxes, SessionAxes "
           "and CacheAxesQuality. Divergence with half the channels and 8 cosines in 128 tokens of "
           "the others (9.47 bits a number with the window of 32): 1068e-6; the others at their "
           "mean and more channels instead 1407e-6 (9.39 bits) and 1215e-6 (9.53); channels drawn "
           "at random 10200e-6, by their variance 5041e-6; tokens by attention 2411e-6 (10.1 "
           "bits). But as many coordinates along axes of least loss as channels lose 18e-6: "
           "channels are no good axes here. Bytes of the cosines grow with the tiles; recall of "
           "planted facts is not shown. `pith bench kv` on books-test at 50 and 25% of f16, "
           "thousandths of a nat: 0.89, 4.2; tokens by attention (h2o) 4.6, 11.8: holds.",
       .profile = "--joined head --axes channels --order attention"},
      {.name = "gear",
       .id = "S056",
       .title = "GEAR: An Efficient KV Cache Compression Recipe for Near-Lossless Generative "
                "Inference of LLM",
       .summary = "Codes of two bits, what they leave as a product of low rank, and the largest "
                  "elements as they are.",
       .compose = "cache(sparse(2%) + uniform(2, group=64) + lowrank(2), window=32, tile=64)",
       .waits = "",
       .parts = {"kv/options.h", "form/form.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache in "
           "thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): as "
           "composed 1.36 at 5.55 bits; 0.032 at 7.71; it cannot be as small as a quarter, for "
           "heads of 64 channels and tiles of 64 tokens make its factors and outliers large. Test "
           "CacheRecipeQuality (text of the repository, 512 predictions): 1.13 beside 12.2 of the "
           "same codes alone, 1.93 with ranks only, 1.64 with outliers only: both help. "
           "Contradicted at equal bytes: codes of 4 bits lose 0.41 with fewer (5.5 bits beside "
           "6.1). Test CacheDriftQuality: behind a prompt of 64 tokens, books-valid, divergence in "
           "thousandths in the first and the last quarter of 896 tokens: 1.02 and 1.53 at 5.85 "
           "bits; its codes alone 5.2 and 10.2 at 3.4: grows slower than these, holds. "
           "Contradicted at equal bytes: codes of 4 bits 0.16 and 0.31 at 5.3; with codes of 3 "
           "bits, a rank and 1% in tiles of 128 0.20 and 0.40 at 5.4 bits beside 0.09 and 0.24 at "
           "5.2, with codes of 4 bits 0.024 and 0.063 at 7.7 beside 0.003 and 0.006 at 7.1."},
      {.name = "h2o",
       .id = "H2O",
       .title =
           "H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models",
       .summary = "The latest tokens, and those that got most attention of all queries.",
       .compose = "cache(keep=top(attention), budget=25%, window=32, tile=16)",
       .waits = "",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified = "`pith bench kv` on books-test (976 predictions; divergence from a full cache "
                   "in thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): "
                   "4.6, 11.8, 19.3; streaming 3.4, 9.0, 18.9: contradicted on this text. Holds in "
                   "test CacheRecipeQuality (text of the repository, 512 predictions) at 12% (18.1 "
                   "beside 31.9), not at 25%. The same beside prompts read whole, 4.1, 11.5, 19.6. "
                   "Planted facts: 38, 18, 8%, about the share that is kept."},
      {.name = "hack",
       .id = "S001",
       .title = "Head-Aware KV Cache Compression for Efficient Visual Autoregressive Modeling",
       .summary = "Heads whose attention moves with the query keep what is near, the others what "
                  "the latest queries gave most and three times as many tokens; which are which "
                  "says the variance of attention between queries.",
       .compose = "cache(keep=sink(4) + top(attention(latest=32)), budget=30%, shares=classes(3, "
                  "moving=sink(4) + top(recency)), window=32, tile=16)",
       .waits = "models of pictures, neighbours at each scale: tested on text",
       .parts = {"kv/options.h", "select/shares.h", "select/attention_record.h"},
       .verified =
           "eviction_test.cc; class_quality_test.cc. books-test at 30%, heads labelled on "
           "books-valid: divergence 0.0072 beside 0.0082 of one rule with equal budgets; with "
           "labels swapped 0.0123. Contradicted on text: the rules of the classes (with equal "
           "budgets 0.0092), for one rule for all with the same unequal budgets loses least, "
           "0.0062; labels that a session gives itself lose more, 0.0112"},
      {.name = "kivi",
       .id = "KIVI",
       .title = "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache",
       .summary = "Two bits: keys by channel over groups of tokens, values by token; the latest "
                  "tokens as they are.",
       .compose = "cache(uniform(2, group=32), window=32, tile=32)",
       .waits = "",
       .parts = {"kv/options.h", "form/form.h"},
       .verified = "`pith bench kv` on books-test (976 predictions; divergence from a full cache "
                   "in thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): "
                   "0.0027 at half (six bits) and 4.7 at a quarter (two bits, groups of 16), where "
                   "the published ones that leave tokens out lose 8.6 or more; as composed 7.7 at "
                   "3.51 bits. Contradicted: keys by token lose less, 0.0021 and 1.6 in tiles of "
                   "64 tokens. Side information of tiles of 32 weighs: tiles of 64 hold 0.2 bits "
                   "less and lose less (7.7 beside 11.3, text of the repository, 512 predictions "
                   "without bos). All planted facts are told (a built model)."},
      {.name = "kvtc",
       .id = "KVTC",
       .title = "KV Cache Transform Coding for Compact Storage in LLM Inference",
       .summary = "Keys before their rotation, and values, along principal axes that the heads of "
                  "all layers share, whole bits for each group of axes by dynamic programming, "
                  "entropy-coded: twenty times less than f16.",
       .compose = "stream(profile=$profile, bits=0.8, steps=dynamic)",
       .waits = "",
       .parts = {"kv/stream.h", "kv/profile.h"},
       .verified =
           "`pith bench kv` on books-test, two windows of 1000 tokens, coded in chunks of 64 as "
           "they "
           "leave a window of 32: at 50, 25 and 12.5% of f16 0.0011, 0.0015 and 0.030 thousandths "
           "of a nat, of all caches at 25% and 12.5% the least (entropy-coded integers 0.0003, "
           "0.097 and 4.5; axes of each head 0.037, 0.66 and 3.1); at 0.8 bits, 1.39 with the "
           "window, 0.15. `pith bench cache-stream` on books-valid: 0.115 at 20 times less, of one "
           "step for all axes 0.121, of axes of each head 0.94. Read at a quarter to a tenth of a "
           "GB of f16 a second and core. Tests KvStream, KvStreamQuality and CacheAxes.",
       .of_chunks = true,
       .profile = "--joined all"},
      {.name = "lacache",
       .id = "S294",
       .title = "LaCache: Ladder-Shaped KV Caching for Efficient Long-Context Modeling of Large "
                "Language Models",
       .summary = "First and latest tokens in every layer; of the others each layer its stretch, "
                  "the older the shallower, and again over what is left when the budget is full.",
       .compose = "cache(keep=sink(4) + ladder(depth=2), budget=25%, window=32, tile=16)",
       .waits = "",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified = "`pith bench kv` on books-test (976 predictions; divergence from a full cache "
                   "in thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): "
                   "4.5 at 5.99 bits, 8.6 at 3.15, 19.6 at 1.94; streaming 3.4 at 7.98, 9.0 at "
                   "3.97, 18.9 at 1.95: at a quarter less with fewer bits, at half its ladder does "
                   "not fill the budget. Test CacheRecipeQuality (text of the repository, 512 "
                   "predictions): loses less at an eighth, too (17%: 26.5 beside 31.9). Planted "
                   "facts as many as streaming tells (15% at a quarter, none at an eighth)."},
      {.name = "ltri-llm",
       .id = "S273",
       .title = "Ltri-LLM: Streaming Long Context Inference for LLMs with Training-Free Dynamic "
                "Triangular Attention Pattern",
       .summary =
           "All tokens stay, in tiles that end where spans do: triangles of attention in the map "
           "of the tokens that lie as they are, none over a better one. Each block of queries "
           "reads the first tile, the latest tokens and the tiles whose mean key promises it most.",
       .compose = "cache(window=32, tile=32, cut=spans, reads=25%, reads_by=mean)",
       .waits = "an index beside the session from which spans are fetched",
       .parts = {"kv/options.h", "kv/attention.h", "select/spans.h"},
       .verified =
           "reads_test.cc, spans_test.cc, span_tiles_test.cc, planted_reads_test.cc. Planted "
           "segments' ends are found to within one token, 95% of them in maps and 80% in a running "
           "cache, with at most two fifths more (blocks of 16: at most 40%). Facts in segments of "
           "a topic behind 1500 tokens (a built model whose tokens of a topic have a cosine of "
           "0.35; 120 texts, 10% read): 0.85 right beside 1 of full attention, 0.65 of blocks of "
           "16, 0.30 of blocks as large as its spans may be and 0.02 of sinks and window; at 8% "
           "0.75 and 0.50 (80 texts): holds. Where topics say more than names (cosine 0.6) spans "
           "find less, 0.45 beside 0.65; and among words drawn at random, which have no spans, "
           "0.75 beside 0.90 of blocks of 16 (20 texts, 25%; `pith bench kv` 68% beside 82%, 18% "
           "of sinks and window)."},
      {.name = "matryoshka-kv",
       .id = "S190",
       .title = "MatryoshkaKV: Adaptive KV Compression via Trainable Orthogonal Projection",
       .summary = "The first coordinates along each head's axes, as many of each head as pay most "
                  "for all heads together; one profile serves every share.",
       .compose = "cache(dense(f16), profile=$profile, kept=40%, ranks=searched, window=32, "
                  "tile=32)",
       .waits = "projections tuned by distillation, for which training is needed",
       .parts = {"kv/options.h", "kv/profile.h", "kv/head_axes.h", "model/axes_profile.h"},
       .verified =
           "`pith eval` on books-valid, four windows of 1000 tokens (books-test in "
           "brackets); tests HeadAxes, SessionAxes and CacheAxesQuality. Divergence, millionths, "
           "searched beside equal ranks: 75% of the axes 0.9 and 23 (0.3 and 18), 60% 11 and 78 "
           "(5 and 62), 40% 126 and 276 (63 and 210), 25% 630 and 1435 (309 and 903); of principal "
           "axes 6.6 and 34, 34 and 129, 370 and 522, 3180 and 3382: the axes of least loss serve "
           "all shares and lose less at each. Tuning by distillation is not there to compare. "
           "`pith "
           "bench kv` on books-test at 50, 25 and 12.5% of f16, thousandths of a nat: 0.037, 0.66, "
           "3.1: of the published caches the least at a quarter and an eighth.",
       .profile = "--joined head --axes attention"},
      {.name = "mikv",
       .id = "S004",
       .title = "No Token Left Behind: Reliable KV Cache Compression via Importance-Aware Mixed "
                "Precision Quantization",
       .summary = "Tokens that got most attention stay in 8 bits, the others in 2 instead of being "
                  "dropped; channels of keys in units of their size beside that of queries.",
       .compose = "cache(uniform(8, group=32), keep=top(attention) | rest(uniform(2, group=32, "
                  "zero=true)), budget=20%, keys_by=token, balanced=true, window=32, tile=32)",
       .waits = "",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache in "
           "thousandths of a nat at half of the bytes of f16, all counted): 0.65, h2o 4.6: holds; "
           "as composed 2.4 at 5.8 bits, and it cannot be as small as a quarter. All planted facts "
           "are told, h2o tells 38% at half: holds. Contradicted: equal bits for all tokens lose "
           "less, 0.003 at half (kivi), and with fewer bits in test CacheRecipeQuality. Removing "
           "the balancer hurts where large channels of keys meet small ones of queries (test Past: "
           "three times the error at 2 bits); the reference model has none, so that it is "
           "contradicted there (books-valid, two windows of 1000, millionths): keys at 2 bits in "
           "rows 1930 beside 2103 without, in groups of 32 1197 beside 1097, with zero points 1997 "
           "beside 1859 and 994 beside 1034; as composed 1916 at 5.77 bits beside 1957 at 5.18."},
      {.name = "mustafar",
       .id = "S026",
       .title = "Mustafar: Promoting Unstructured Sparsity for KV Cache Pruning in LLM Inference",
       .summary = "The largest channels of every token's key and value with a bit for each place; "
                  "attention works on them as they are.",
       .compose = "cache(sparse(32:64), keys_by=token, window=32, tile=64)",
       .waits = "",
       .parts = {"kv/options.h", "form/form.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache "
           "in thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): "
           "2.7, 18.9, and it cannot be as small as an eighth; as composed 0.93 at 9.51 "
           "bits, 59% of f16 with masks and window. books-valid, two windows of 1000: half "
           "of each token's channels (9.5 bits) 1.07, half of all channels (8.6 bits) 9.8; "
           "30% of each token's (6.4 bits) 6.6: holds. Values alone by token 0.32, by channel "
           "0.87; keys 0.61 and 0.81: holds for both. Contradicted: the largest elements "
           "of a tile, whichever tokens they are of, lose less (0.48 at half, 2.9 at 30%), "
           "but tell fewer planted facts, 60% beside all at half of the bytes; none at a "
           "quarter (5%). Codes of as many bits lose far less (0.003 at half). That "
           "attention is faster is contradicted: a token behind 16384, eight heads of 64 "
           "channels, takes 10.7 ms of CPU time beside 3.5 of f16 (10.0 at 30%; kv_bench). "
           "Test CacheRecipeQuality."},
      {.name = "pyramidkv",
       .id = "PyramidKV",
       .title = "PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling",
       .summary = "Tokens that got most of the latest queries, more of them in the first layers "
                  "than in the last.",
       .compose = "cache(keep=top(attention(latest=32)), budget=25%, shares=falling(3), window=32, "
                  "tile=16)",
       .waits = "",
       .parts = {"kv/options.h", "select/policy.h", "select/shares.h"},
       .verified = "`pith bench kv` on books-test (976 predictions; divergence from a full cache "
                   "in thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): "
                   "5.4, 15.2, 27.3; as many tokens in every layer 4.8, 12.5, 21.0: contradicted, "
                   "as in test CacheRecipeQuality (text of the repository, 512 predictions, 12%: "
                   "20.8 beside 18.3). Planted facts: 15, 5, 0%; snapkv 40, 13, 8%."},
      {.name = "quest-pages",
       .id = "Quest",
       .title = "Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference",
       .summary = "All tokens stay; queries read the pages of 16 tokens whose keys, by the least "
                  "and largest number of each channel, could give them most.",
       .compose = "cache(window=32, tile=16, reads=25%)",
       .waits = "",
       .parts = {"kv/options.h", "kv/attention.h"},
       .verified = "reads_test.cc. Facts asked for behind 1500 tokens, 25% read: 0.70 right, "
                   "beside 0.05 where as many stay by what others asked for (0.85 with means)"},
      {.name = "rotated-q4",
       .id = "rotated-q4",
       .title = "llama.cpp's 4-bit cache with rotated keys and values",
       .summary = "Blocks of 32 numbers with a scale each, in coordinates that a Hadamard "
                  "transform has turned.",
       .compose = "cache(hadamard | ggml(q4_0), keys_by=token, window=32, tile=64)",
       .waits = "",
       .parts = {"kv/options.h", "form/form.h"},
       .verified = "`pith bench kv` on books-test (976 predictions; divergence from a full cache "
                   "in thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): "
                   "as composed 0.061 at 5.07 bits. Test CacheRecipeQuality (text of the "
                   "repository, 512 predictions): 0.050 beside 0.114 of the same blocks as they "
                   "are (5.66 bits each); books-valid, two windows of 1000: 0.061 beside 0.109 at "
                   "5.08 bits. All planted facts are told (a built model)."},
      {.name = "snapkv",
       .id = "SnapKV",
       .title = "SnapKV: LLM Knows What You are Looking for Before Generation",
       .summary =
           "When a prompt has been read, the tokens stay to which its last queries gave most.",
       .compose =
           "cache(keep=top(attention(latest=32)), budget=25%, window=32, tile=16, prompts=whole)",
       .waits = "pooling of neighbours",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified = "`pith bench kv` on books-test (976 predictions; divergence from a full cache "
                   "in thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): "
                   "tokens leave while the prompt is read 4.8, 12.5, 21.0, when it was read whole "
                   "6.0, 17.0, 23.0; streaming 3.4, 9.0, 18.9: contradicted on this text. Test "
                   "CacheRecipeQuality (text of the repository, 512 predictions): holds at 12% "
                   "(18.3 beside 31.9), not at 25%. Planted facts: 40, 13, 8%, streaming 45, 15, "
                   "0%; the question is not known before."},
      {.name = "streaming",
       .id = "StreamingLLM",
       .title = "Efficient Streaming Language Models with Attention Sinks",
       .summary =
           "The first tokens and the latest, with keys turned to where they stand among these.",
       .compose =
           "cache(keep=sink(4) + top(recency), budget=25%, window=32, tile=16, positions=cache)",
       .waits = "",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache in "
           "thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): 3.4, 9.0, "
           "18.9: the least of the published ones that leave tokens out at half, and nearly so "
           "below, for this model looks little behind its window. That it is as good as codes of "
           "as many bits on what comes next is contradicted (0.003 and 4.7, kivi); that it loses "
           "planted facts which codes keep holds (45, 15, 0% beside 100%). Where keys stand makes "
           "no difference within the trained length (12% of 704 tokens: 31.9 turned, 29.6 not)."},
      {.name = "uncomp",
       .id = "S019",
       .title = "UNComp: Can Matrix Entropy Uncover Sparsity? A Compressor Design from an "
                "Uncertainty-Aware Perspective",
       .summary = "Heads share a budget by the truncated matrix entropy of all their keys; each "
                  "keeps the tokens that the latest queries gave most. Layers can be grouped where "
                  "the entropy falls.",
       .compose =
           "cache(keep=top(attention(latest=32)), budget=25%, shares=entropy, window=32, tile=16)",
       .waits = "hidden states of fewer tokens in later layers: these hold fewer, all are computed",
       .parts = {"kv/options.h", "select/policy.h", "select/shares.h", "select/scores.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache in "
           "thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): 7.3, 15.0, "
           "17.1; equal shares (snapkv) 4.8, 12.5, 21.0, h2o 4.6, 11.8, 19.3: contradicted at half "
           "and a quarter, holds at an eighth. books-valid: 22.7 beside 30.4 of equal shares and "
           "24.8 of h2o at 10% of the tokens, 29.9 beside 32.4 at 6%: holds; shares by entropies "
           "of another text 26.2 and 29.8, the same shuffled over the heads 30.8 and 32.2 (means "
           "of four): the gain goes, holds (test CacheRecipeQuality, text of the repository, 512 "
           "predictions, 12%: 16.3, equal shares 18.3, shuffled 18.7). Entropy costs 2.3 to 3.3% "
           "of reading 1000 tokens: holds. Groups of layers, the later with fewer tokens, lose "
           "more, 31.3 and 32.5 (20.0 beside 17.7 in the test): contradicted, as in pyramidkv. "
           "Loss beside h2o's at 10% 3.651 and 3.641: contradicted. Planted facts: 40, 13, 3%, "
           "snapkv 40, 13, 8%: contradicted."},
      {.name = "zipcache",
       .id = "S006",
       .title = "ZipCache: Accurate and Efficient KV Cache Quantization with Salient Token "
                "Identification",
       .summary = "Tokens by what they got of each of a tenth of the queries that could see them: "
                  "the salient in 4 bits, the others in 2; keys by channel, values by token in "
                  "units of the root of each channel's largest.",
       .compose = "cache(keys=uniform(4, group=32), values=scale(max, power=50%) | uniform(4, "
                  "group=row, zero=true), keep=top(attention(mean)) | rest(uniform(2, group=32)), "
                  "budget=40%, probes=10%, window=32, tile=64)",
       .waits = "scales of value channels for the tokens in 2 bits",
       .parts = {"kv/options.h", "select/policy.h"},
       .verified =
           "`pith bench kv` on books-test (976 predictions; divergence from a full cache in "
           "thousandths of a nat at 50, 25 and 12.5% of the bytes of f16, all counted): 0.14 at "
           "5.43 bits (all salient), 2.9 at a quarter; as composed 1.8 at 4.86 bits. Equal bits "
           "for all tokens at a quarter: 4.7 in tiles of 32 tokens (kivi): holds, but 1.6 by token "
           "in tiles of 64: contradicted; test CacheRecipeQuality (text of the repository, 512 "
           "predictions): 2.2 at 4.5 bits beside 2.7 of codes in groups of 64 at 4.6: holds; in "
           "groups of 32 codes lose less (1.7 at 4.5 bits, kivi with three bits): contradicted. "
           "Attention as its mean or as its sum: 1.43 and 1.38 at 5.3 and 5.4 bits, no difference. "
           "books-valid, 1000 tokens: of the 40% that are chosen by the mean 22% are of the first "
           "quarter, by the sum 41%: holds. A tenth of the queries finds 70% of what all choose "
           "(76% where 16 are read together; 77% over the heads of a layer): four fifths are "
           "contradicted, though it costs but 4% more divergence. Values at 2 bits in rows lose "
           "2.0 with scales of channels and 2.7 without, but groups of 16 in as many bits 1.0: "
           "contradicted at equal bytes, for a row is a head's 64 channels here. All planted facts "
           "are told."},
  };
  return recipes;
}

const CacheRecipe* find_cache_recipe(std::string_view name_or_id) {
  for (const CacheRecipe& r : all_cache_recipes()) {
    if (r.name == name_or_id || r.id == name_or_id) return &r;
  }
  return nullptr;
}

std::string CacheRecipe::example() const {
  const std::string_view option = of_chunks ? "--kv-coding" : "--kv";
  const std::string use =
      of_chunks
          ? fmt::format("pith kv push lm --text book.txt --kv-store lm.kv {} {}", option, name)
          : fmt::format("pith eval lm --text book.txt {} {}", option, name);
  if (profile.empty()) return use;
  return fmt::format(
      "pith kv profile lm --text calibration.txt {} -o lm.profile\n{} {}-profile lm.profile",
      profile, use, option);
}

namespace {

constexpr std::string_view kProfile = "profile";

bool asks_profile(const form::Expression& e) {
  return std::ranges::count(form::variables(e), kProfile) > 0;
}

// option: that names the profile.
std::string with_profile(std::string_view compose, std::string_view named, std::string_view made,
                         std::string_view option, const std::string& path) {
  const form::Expression e = form::parse(compose);
  const bool asks = asks_profile(e);
  if (asks && path.empty()) {
    fail(ErrorKind::kUsage,
         "{} needs a profile of the model: {} FILE (pith kv profile MODEL --text TEXT {} -o FILE)",
         named, option, made);
  }
  if (!asks && !path.empty())
    fail(ErrorKind::kUsage, "{}: {} has no $profile that it could stand for", option, named);
  return asks ? form::to_string(form::substitute(e, {{std::string(kProfile), form::Value(path)}}))
              : std::string(compose);
}

}  // namespace

bool needs_profile(std::string_view text) {
  const CacheRecipe* found = find_cache_recipe(text);
  return asks_profile(form::parse(found ? found->compose : text));
}

kv::CacheOptions cache_options(std::string_view text, std::string_view budget,
                               const std::string& profile) {
  const CacheRecipe* found = find_cache_recipe(text);
  if (found && found->of_chunks)
    fail(ErrorKind::kUsage, "{} is for what is stored and sent: --kv-coding", text);
  if (!found && codes_chunks(text))
    fail(ErrorKind::kUsage, "stream(…) is for what is stored and sent: --kv-coding");
  const std::string_view made = found ? found->profile : "--joined head";
  const kv::CacheOptions options = kv::CacheOptions::parse(
      with_profile(found ? found->compose : text, text, made, "--kv-profile", profile));
  return budget.empty() ? options : options.with_budget(budget);
}

bool codes_chunks(std::string_view text) {
  const CacheRecipe* found = find_cache_recipe(text);
  if (found) return found->of_chunks;
  const form::Expression e = form::parse(text);
  return e.is_call() && e.name() == "stream";
}

kv::ChunkCoding chunk_coding(std::string_view text, const std::string& profile) {
  const CacheRecipe* found = find_cache_recipe(text);
  if (found && !found->of_chunks)
    fail(ErrorKind::kUsage, "{} is a cache of a session (--kv), no way to store one", text);
  return kv::ChunkCoding::parse(with_profile(found ? found->compose : text, text,
                                             found ? found->profile : "--joined all",
                                             "--kv-coding-profile", profile));
}

}  // namespace pith::recipe
