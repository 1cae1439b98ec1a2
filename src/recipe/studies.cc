#include "pith/recipe/studies.h"

#include <vector>

namespace pith::recipe {

std::span<const Study> all_studies() {
  static const std::vector<Study> studies = {
      {.name = "ape",
       .id = "S093",
       .title =
           "APE: Faster and Longer Context-Augmented Generation via Adaptive Parallel Encoding",
       .area = "kv",
       .summary = "Contexts are read each by itself behind one prefix, all from the same position "
                  "on, and kept; a prompt sees all of them, their scores divided by a temperature, "
                  "the sum of their exponentials to a power, merged with the rest.",
       .waits = "questions to be answered: tested on continuations",
       .parts = {"model/session.h", "kv/contexts.h", "kv/attention.h"},
       .command = "pith run lm \"So\" --passage a.txt --passage b.txt --passage-scale 0.7",
       .verified =
           "session_contexts_test.cc; contexts_quality_test.cc. books-test, 14 passages of 64 "
           "tokens: divergence from reading them in succession 0.091 without prefix, scale and "
           "temperature, 0.064 with scale 0.7; where one of them is to be copied 0.077 and 0.052. "
           "Contradicted here: a temperature of 0.9 adds (0.122 alone, 0.068 with the scale), and "
           "a prefix beyond a bos takes nothing off. 0.23 s from a store beside 0.61 s"},
      {.name = "cache-frontier",
       .id = "S148",
       .title = "The Sparse Frontier: Sparse Attention Trade-offs in Transformer LLMs",
       .area = "kv",
       .summary = "Every published cache and plain ones at half, a quarter and an eighth of the "
                  "bytes of f16: a text that goes on, passages that come again, planted facts; "
                  "tokens that leave while a prompt is read apart from those that leave "
                  "afterwards; which are best for what.",
       .waits = "columns and diagonals of a prompt's attention (vertical-slash), models of several "
                "sizes that were trained",
       .parts = {"audit/cache_trials.h", "recipe/cache_sizes.h"},
       .command = "pith bench kv",
       .verified =
           "books-test, 976 predictions and 40 texts with facts of a built model, at 50, 25 and "
           "12.5% of f16. No method is best for all: at an eighth what leaves tokens out has the "
           "least divergence of the published ones, and tells 0 to 8% of the facts; codes tell all "
           "and cannot be so small but entropy-coded. What part of the facts is told is about the "
           "part of the tokens that is kept, whatever the score, where the question is not known "
           "before. That more can be left out after a prompt than while it is read is seen with "
           "scores of all queries (at half h2o 4.1 beside 4.6, ems 4.1 beside 5.8) and "
           "contradicted with those of the latest 32 or 64 (snapkv 6.0 beside 4.8, finch 7.1 "
           "beside 5.0), which judge a whole prompt by its end. Sparse attention (`reads`): tests "
           "CachePhasesQuality, models of 8, 6 and 4 layers of the reference model, 256 to 960 "
           "tokens of books-valid before 32 more, each block of 32 queries of the prompt, or each "
           "query behind it, reading a part of the tiles of 16. That decoding bears more is "
           "contradicted: at half, a quarter and an eighth of 960 tokens read a prompt costs 0.12, "
           "0.69 and 1.6 thousandths of a nat, decoding 1.1, 5.9 and 26. A law, log loss by log "
           "share, length and layers, fitted to the other settings has 7% of the mean's squared "
           "error for the model of 6 layers and 14% for 960 tokens: holds (18 and 20% for "
           "prompts)."},
      {.name = "cache-survey",
       .id = "S280",
       .title = "Key, Value, Compress: A Systematic Exploration of KV Cache Compression Techniques",
       .area = "kv",
       .summary = "Tokens left out, codes, low ranks, merges and shares of heads in one table at "
                  "equal bytes, with the front of what nothing as small beats, and each method "
                  "beside its own parts.",
       .waits = "heads and layers that share keys and values; a trained model for facts in prose",
       .parts = {"audit/cache_trials.h", "audit/planted_facts.h", "recipe/cache_claims.h"},
       .command = "pith bench kv",
       .verified = "books-test, 976 predictions and 40 texts with facts of a built model. Codes "
                   "lose least at half, a quarter and an eighth of f16 (entropy-coded integers "
                   "0.0003, 0.10 and 4.5 thousandths of a nat; in groups of 64 by token 0.002 and "
                   "1.6) and tell all facts. First and latest tokens do not match codes on what "
                   "comes next (3.4, 9.0, 18.9): contradicted; they lose planted facts that codes "
                   "of as many bytes keep (45, 15 and 0% beside 100%): holds. Figures of all: "
                   "docs/benchmarks.md. Perplexity alone: first and latest tokens at half are "
                   "within 0.3% of a full cache, as codes are, at a quarter 1 to 2.5% above, codes "
                   "of as many bits 0.1% below (tests CacheRecipeQuality and PlantedFacts): "
                   "matches at half only. Equal seeds (`--seed`) give equal figures and fronts."},
      {.name = "cached-steps",
       .id = "S049",
       .title = "CacheQuant: Comprehensively Accelerated Diffusion Models",
       .area = "weights",
       .summary =
           "Steps of a sampler cut into groups by dynamic programming: the first of a group "
           "computes "
           "deep features, the others use them, and least squares for each channel correct first "
           "what was kept, then what codes of the weights and inputs do to the output.",
       .waits = "Stable Diffusion and its speed; corrections folded into the layers beside them",
       .parts = {"budget/partition.h", "fit/channel_affine.h"},
       .command = "ctest --test-dir build/release -R 'Partition|StepCache'",
       .verified =
           "partition_test.cc: as good as all ways to cut, of few steps. step_cache_test.cc, a "
           "diffusion of eight dimensions whose denoiser is a network of random features, weights "
           "of 4 bits, inputs of 6, deep features computed in 8 of 24 steps; squared distance of "
           "512 "
           "samples from those of the exact network: rounded alone 1.360, with even groups 1.420, "
           "with the best 1.378, with both corrections 1.088 (even groups 1.129), without that of "
           "features 1.136, without that of outputs 1.335. So as claimed the schedule beats even "
           "groups at equal steps and bits, and either correction brings something; that of "
           "features "
           "little, since rounding costs more than the cache here."},
      {.name = "capacity",
       .id = "S117",
       .title = "Unified Scaling Laws for Compressed Representations",
       .area = "weights",
       .summary =
           "What a form loses of Gaussian numbers stands for what it loses of a model; every such "
           "stand-in is set beside the divergence that was measured.",
       .waits = "models trained in each form, and the law fitted to them",
       .parts = {"budget/capacity.h"},
       .command = "pith bench proxies"},
      {.name = "differences",
       .id = "S113",
       .title = "WaRA: Wavelet Low Rank Adaptation",
       .area = "weights",
       .summary = "A difference of weights as low rank in the subbands of its two-dimensional "
                  "wavelet transform, applied beside the weights or merged, against low rank of "
                  "the whole of as many numbers. Of two checkpoints of a language model the whole "
                  "keeps more (divergence 0.153 beside 0.170 at a tenth of the numbers): "
                  "contradicted there; of matrices whose neighbours are alike the subbands do.",
       .waits = "factors trained through the transform, on a task of vision",
       .parts = {"fit/subband_ranks.h"},
       .command = "pith bench differences"},
      {.name = "dynamic-survey",
       .id = "S209",
       .title = "A Survey on Dynamic Neural Networks: from Computer Vision to Multi-modal Sensor "
                "Fusion",
       .area = "weights",
       .summary =
           "Every recipe by what adapts to the input, with the cells that are empty; and one "
           "dynamic network of each kind beside static ones of as many multiplications.",
       .waits = "gates and exits that are trained; language models whose layers adapt",
       .parts = {"recipe/taxonomy.h", "network/network.h", "fit/unit_removal.h"},
       .command = "pith recipes --taxonomy",
       .verified =
           "tests DynamicStudyQuality, the residual network of data/networks and 1500 images that "
           "nothing was fitted to, beside the best of ten static networks (the whole, cut at "
           "exits, with fewer channels, of the middle of pictures) or two of them in turns. "
           "Output: exits by the margin of linear read-outs behind the first pooling and two "
           "blocks are right for 89.6% with 67% of the multiplications and 90.8% with 75% (static "
           "86.7% and 87.9%). Input: the middle 16 x 16 pixels first, the whole where that is not "
           "sure, 90.5% with 80% (static 88.5%). Both spend more on images that the whole network "
           "finds hard: correlations of 0.29 to 0.46 with its loss. A failure: a gate that skips "
           "one of the first block's two convolutions, fitted to what that costs, spends as it "
           "should (0.31) and beats skipping at random (87.3% beside 82.9%, 89% of the "
           "multiplications), but static networks get 89.7%. Failures without a test: pictures of "
           "half the size first (41% right), windows where contrast is largest in place of the "
           "middle (83.0% beside 83.4%)."},
      {.name = "edge-survey",
       .id = "S263",
       .title = "Vision-Language Models for Edge Networks: A Comprehensive Survey",
       .area = "weights",
       .summary = "Every recipe in the survey's kinds, with the cells that are empty.",
       .waits = "a model of vision and language",
       .parts = {"recipe/taxonomy.h"},
       .command = "pith recipes --taxonomy"},
      {.name = "flashsvd",
       .id = "S025",
       .title = "FlashSVD: Memory-Efficient Inference with Streaming for Low-Rank Models",
       .area = "weights",
       .summary =
           "A layer runs over tiles of 64 positions from its norm to what it adds to the stream, "
           "in every form: products of low rank keep their factors' outputs for one tile, and "
           "neither queries, keys and values nor what the feed-forward part has inside are ever "
           "there for all positions. Keys and values stay in the cache, of which a tile sees what "
           "is before it.",
       .waits = "encoders, whose tiles must wait for all keys; tiles of experts",
       .parts = {"model/session.h", "model/layer_runner.h", "form/form.h"},
       .command = "pith bench speed lm lowrank.pith --prompt 512",
       .verified =
           "model tests: with factors of rank 16, 512 positions and a counting allocator the most "
           "that is allocated is 78% less than with all positions together (358 kB, of which the "
           "stream is 131 kB, in place of 1619 kB), not even one of the hidden matrices; logits "
           "are the same to the bit, for low ranks, codes and dense matrices, windows, any number "
           "of threads and texts of any length. Reference model, 512 positions: 6.3 MB come to 1.2 "
           "MB by their sizes; pith run with a prompt of 2600 characters has 33.1 MB resident at "
           "most with llm-rom at half the elements (38.2 before), 35.2 MB as it is (39.5), the "
           "program, weights and cache included. Prompts of 512 on one thread take no longer (CPU "
           "time, two runs of each: 3735 and 3810 tokens a second, 3535 and 3452 before; llm-rom "
           "4479 and 4441, 4449 and 3894 before)."},
      {.name = "harm",
       .id = "S145",
       .title = "What Do Compressed Deep Neural Networks Forget?",
       .area = "weights",
       .summary =
           "Whom an average hides: the share of tokens whose loss rose most, by classes of tokens "
           "and how frequent they are, agreement and calibration error.",
       .waits = "populations of models trained from several seeds",
       .parts = {"audit/harm.h"},
       .command = "pith eval small --against lm --text book.txt"},
      {.name = "harm-of-groups",
       .id = "S208",
       .title = "Characterising Bias in Compressed Models",
       .area = "weights",
       .summary =
           "Tokens whose most probable prediction changed, as a list by how much they lost, and "
           "the change of every class against that of all.",
       .waits = "populations of models trained from several seeds",
       .parts = {"audit/harm.h"},
       .command = "pith eval small --against lm --text book.txt --changed 50"},
      {.name = "pruned-diffusion",
       .id = "S222",
       .title = "Efficient Pruning of Text-to-Image Models: Insights from Pruning Stable Diffusion",
       .area = "weights",
       .summary =
           "Weights taken out of the encoder of words, the denoiser, or both, of a diffusion of "
           "49,920 weights, by a distance of features and a judge. The distance is at most doubled "
           "up to 60% of the encoder and 20% of the denoiser, and falls apart beyond that. At "
           "equal "
           "totals splits that take more of the encoder have less of it (3.94 against 8.83 at "
           "30%), "
           "though fewer drawings are then what was asked for (78% against 84%). Contradicted: "
           "size "
           "with activation is better than size alone (2.90 against 7.49 at 20% of the denoiser) "
           "until nothing is drawn any more; and 38.5% of all weights are far too many here.",
       .waits = "Stable Diffusion 2, whose size and training are another matter",
       .parts = {"fit/masks.h", "network/fitted_layers.h"},
       .command = "pith bench diffusion"},
      {.name = "pruning-survey",
       .id = "S077",
       .title = "A Survey on Deep Neural Network Pruning: Taxonomy, Comparison, Analysis, and "
                "Recommendations",
       .area = "weights",
       .summary = "Every recipe in the survey's axes, with the cells that are empty (`pith recipes "
                  "--taxonomy`); and the pairs that it sets against each other, on two small "
                  "networks that are trained, pruned and trained on.",
       .waits = "larger networks; training of the reference model",
       .parts = {"recipe/taxonomy.h", "fit/masks.h"},
       .command = "pith bench pruning",
       .verified =
           "pith bench pruning, a language model of characters and convolutions, 80% taken out, "
           "nats over eight seeds; tests PruningStudyQuality. Unstructured beats structured by "
           "more than seeds differ in the language model (2.494 ± 0.007, 2.533 ± 0.022), in "
           "convolutions only iteratively by gradients (1.423 ± 0.021, 1.501 ± 0.028); by size at "
           "once whole channels are better there (1.494 ± 0.028, 1.539 ± 0.029): contradicted. "
           "Iterative beats one-shot by more in convolutions (1.490 ± 0.026, 1.539 ± 0.029), not "
           "in the language model (2.489 ± 0.009, 2.494 ± 0.007): contradicted there. By "
           "gradients is better than by size, what may come back than what went for good, "
           "choosing after training than before it, in both; trained from scratch as good as "
           "trained on. Reference model without training, two layers' attention, a fifth left: "
           "single elements (sparsegpt) 0.004, columns in several shots 0.021, at once 0.027 "
           "(llm-surgeon)."},
      {.name = "video",
       .id = "S238",
       .title = "VcLLM: Video Codecs are Secretly Tensor Codecs",
       .area = "weights",
       .summary =
           "Weights, activations, keys and values, and gradients as pictures of 8 bits, coded by "
           "H.264, H.265 and AV1 of an installed ffmpeg, beside forms of as many bytes and of the "
           "same error.",
       .waits = "coders without any prediction or transform",
       .parts = {"form/uniform.h"},
       .command = "pith bench video",
       .verified =
           "pith bench video --quick, ffmpeg 5.1, at most 3 bits a number. Weights of the "
           "reference "
           "model, squared error over their squares and divergence on books-valid: AV1 0.0285 and "
           "0.027 nats, H.264 0.0405 and 0.040 (2.83 bits), groups of 128 rounded to nearest "
           "0.0351 and 0.038 (3.13 bits), H.265 0.154 and 0.231: holds for AV1, for H.264 by what "
           "is above the least for normal variables, contradicted for H.265. Entropy-coded "
           "integers lose 0.0166 and 0.015, and take 11% (weights) to 53% (activations) fewer bits "
           "than the best of them for the same error. Without coding in contexts H.264 loses more "
           "everywhere (0.060, 0.067 nats of weights); with prediction of whole blocks only "
           "as much to four digits, so that finer prediction brings nothing: contradicted."},
      {.name = "vision-transformers",
       .id = "S146",
       .title = "Comprehensive Survey of Model Compression and Speed up for Vision Transformers",
       .area = "weights",
       .summary =
           "Codes, low ranks and masks on a small vision transformer, alone and in pairs in both "
           "orders: accuracy on held-out images, bytes, latency, throughput. A mask before codes "
           "beats all else within bytes between those of codes of 1 and 2 bits (55.1% right "
           "against "
           "37.4%), and of 2 and 3 (75.8% against 73.5%). Contradicted where codes alone just fit: "
           "there no pair is better (67.7% against 73.5% at 2 bits), unless codes are the nearest "
           "(57.4%). Low ranks of attention's products, heads by heads, with factors of 4 bits "
           "keep "
           "91.0% of the classes in 72,192 bytes of the archive, codes of 3 bits alone 90.0% in "
           "71,552. Masks on factors are worse than either (43.5% against 79.5% and 78.5%), and "
           "factors of what codes left no smaller than without.",
       .waits = "distillation, and training after any of them",
       .parts = {"fit/stages.h", "network/fitted_layers.h"},
       .command = "pith bench vision"},
      {.name = "wave-surrogates",
       .id = "S123",
       .title = "A priori compression of convolutional neural networks for wave simulators",
       .area = "weights",
       .summary =
           "Surrogates of a wave equation whose kernels are products of one-way filters from the "
           "beginning of their training, beside full kernels and as many weights in fewer "
           "channels: error after so many steps, bytes, time. With a twelfth of the weights the "
           "error after 20 steps is within 4% of full kernels' (0.178 and 0.185), and a state "
           "takes 0.48 of the time. Contradicted for shorter ways: it is 41%, 37% and 12% above "
           "after 1, 5 and 10 steps. As many weights in fewer channels are 12%, 10% and 0% better "
           "there, after 20 steps better or worse as the motions are, and faster (0.62 of the "
           "time): contradicted, too.",
       .waits = "longer training, products with more channels, kernels of pairs of channels as "
                "products of two filters",
       .parts = {"network/network.h"},
       .command = "pith bench waves"},
  };
  return studies;
}

const Study* find_study(std::string_view name_or_id) {
  for (const Study& study : all_studies()) {
    if (study.name == name_or_id || study.id == name_or_id) return &study;
  }
  return nullptr;
}

}  // namespace pith::recipe
