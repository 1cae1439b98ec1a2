// A decoder in other coordinates: rotations folded into its weights, after which it computes the
// same function (QuaRot, Ashkboos et al. 2024; SpinQuant, Liu et al. 2025).
//
//   const auto source = open_weights("model");
//   const RotatedWeights rotated(*source, {.stream = r, .values = {}});
//   const LanguageModel model = make_model(rotated);
//
// What a norm multiplies by goes into the matrices that read what it gives, so that nothing but
// the length is left of it, which rotations keep. Scales go the other way: channels that are larger
// than others leave the norm smaller, and the readers' columns make up for it, so that rounding of
// what is read, to 8 bits in blocks, loses less (SmoothQuant, Xiao et al. 2023).
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/model/weight_source.h"

namespace pith::model {

struct Rotation {
  // Orthogonal, width x width: the residual stream x becomes x R. The embedding E becomes E R, what
  // reads the stream W diag(g) R, what writes it Rᵀ W, and norms ones; the head is a tensor of its
  // own then, since the embedding is not behind a norm. Empty: the stream stays.
  form::Matrix stream;
  // Orthogonal, head_size x head_size, of each layer's every head of keys and values, layer after
  // layer: its values v become v R, in the rows of v_proj and, for each query head of the group, in
  // the columns of o_proj. Empty: values stay.
  std::vector<form::Matrix> values;
  // What both norms of each layer give is divided by these, of width channels, and the columns of
  // its readers multiplied: first of attention, then of the network, layer after layer; positive
  // and finite. Empty: none. What the head reads stays, whose matrix may be the embedding.
  std::vector<std::vector<float>> scales = {};
};

class RotatedWeights final : public WeightSource {
 public:
  // The source must outlive it; nothing is computed before form(). Throws ErrorKind::kUsage for
  // rotations of other sizes or that are not orthogonal.
  RotatedWeights(const WeightSource& source, Rotation rotation, int threads = 0);

  const DecoderConfig& config() const override { return config_; }
  std::string where() const override { return source_.where(); }
  std::optional<Tokenizer> tokenizer() const override { return source_.tokenizer(); }
  // Those of the source, in its order; then the head, if it is new.
  std::vector<std::string> names() const override;
  uint64_t bytes() const override;
  uint64_t decoded_bytes() const override { return bytes(); }
  // dense(f32), computed in float32 at every call, and what does not change as it is in the source.
  // Throws ErrorKind::kData, naming the tensor, for weights that are not finite.
  form::FormPtr form(std::string_view name) const override;
  // Whether a tensor is another one than that of its name in the source.
  bool changes(std::string_view name) const;

 private:
  struct Part;
  Part part_of(std::string_view name) const;
  // What a tensor is made of, of the same shape: the source's of its name, of a new head the
  // embedding. Null if there is none.
  form::FormPtr origin(std::string_view name) const;
  form::Matrix decode(std::string_view name) const;
  void take_gain(form::Matrix& m, const std::string& norm) const;
  void rotate_columns(form::Matrix& m) const;
  void rotate_rows(form::Matrix& m) const;
  void rotate_value_rows(form::Matrix& m, uint32_t layer) const;
  void rotate_value_columns(form::Matrix& m, uint32_t layer) const;
  void rotate_value_bias(form::Matrix& m, uint32_t layer) const;

  const WeightSource& source_;
  Rotation rotation_;
  DecoderConfig config_;
  int threads_;
};

}  // namespace pith::model
