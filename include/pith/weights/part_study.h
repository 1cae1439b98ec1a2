// What attention and the feed-forward part of each layer do to the residual stream, by which those
// that do little are found.
#pragma once

#include <vector>

#include "pith/weights/reduced_model.h"

namespace pith::weights {

struct StudyOptions {
  uint64_t bins = 256;  // of the histogram of all values
  // That the distances between vectors are taken of, at most, which takes long; 0: of none.
  uint64_t tokens = 0;
};

// Of the residual stream between parts: before the first layer, behind its attention, behind its
// feed-forward part, and so on; 2 * layers + 1 of them.
struct StreamEntropies {
  std::vector<double> histogram;  // bits of one value, in equal bins from the least to the largest
  std::vector<double> nearest;    // bits of one dimension, by nearest neighbours among tokens, or 0
};

struct PartStudy {
  StreamEntropies entropies;
  // The mean over tokens of the cosine between what enters and what leaves; 1 where there is
  // nothing.
  std::vector<double> attention, feed_forward, layer;
};

PartStudy study_parts(const Reducing& reducing, const StudyOptions& options = {});

// Which parts of layers are meant.
enum class PartKind : uint8_t { kAttention, kFeedForward, kLayer };

// The reduction that leaves these out.
model::Reduction without_parts(const model::DecoderConfig& config, PartKind kind,
                               const std::vector<uint32_t>& layers);

}  // namespace pith::weights
