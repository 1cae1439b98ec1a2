#include "pith/recipe/studies.h"

#include <vector>

namespace pith::recipe {

std::span<const Study> all_studies() {
  static const std::vector<Study> studies = {
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
       .summary = "Every recipe by what adapts to the input, with the cells that are empty.",
       .waits = "early exits, skipped layers, chosen regions",
       .parts = {"recipe/taxonomy.h"},
       .command = "pith recipes --taxonomy"},
      {.name = "edge-survey",
       .id = "S263",
       .title = "Vision-Language Models for Edge Networks: A Comprehensive Survey",
       .area = "weights",
       .summary = "Every recipe in the survey's kinds, with the cells that are empty.",
       .waits = "a model of vision and language",
       .parts = {"recipe/taxonomy.h"},
       .command = "pith recipes --taxonomy"},
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
      {.name = "pruning-survey",
       .id = "S077",
       .title = "A Survey on Deep Neural Network Pruning: Taxonomy, Comparison, Analysis, and "
                "Recommendations",
       .area = "weights",
       .summary = "Every recipe in the survey's axes, with the cells that are empty.",
       .waits = "pairs that are trained: iterative, from scratch",
       .parts = {"recipe/taxonomy.h"},
       .command = "pith recipes --taxonomy"},
      {.name = "video",
       .id = "S238",
       .title = "VcLLM: Video Codecs are Secretly Tensor Codecs",
       .area = "weights",
       .summary =
           "Matrices as pictures of 8 bits, coded by H.264, H.265 and AV1 of an installed ffmpeg, "
           "beside forms of as many bytes.",
       .waits = "activations and gradients",
       .parts = {"form/uniform.h"},
       .command = "pith bench video"},
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
