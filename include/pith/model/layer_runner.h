// A decoder one layer at a time, over many texts: calibration then needs the weights of one layer
// in memory, and the next layer sees what the compressed ones before it give.
//
//   LayerRunner runner(config, 512, threads);           // texts of 512 tokens
//   form::Matrix stream = embed(*embedding, ids);       // one text after the other
//   for (uint32_t l = 0; l < config.layers; ++l) runner.run(layer_of(l), l, stream, observer);
//   runner.head(norm, head, stream.view(), logits);
//
// It is the forward pass of Session (session.h): the same results up to the rounding of sums.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/model/config.h"
#include "pith/model/input_observer.h"
#include "pith/model/language_model.h"
#include "pith/model/routing_observer.h"

namespace pith::model {

// [ids][width]: the residual stream before the first layer. Throws ErrorKind::kUsage for an id
// outside the vocabulary.
form::Matrix embed(const form::Form& embedding, std::span<const int32_t> ids);

// Where a query head looks: means over the positions of a text.
struct HeadAttention {
  double entropy = 0;   // of its weights, in bits
  double first = 0;     // what the text's first position gets, in [0, 1]
  double recent = 0;    // what the latest kRecent positions get, itself among them
  double distance = 0;  // how many positions back, on the mean
  static constexpr uint64_t kRecent = 32;
  bool operator==(const HeadAttention&) const = default;
};

class LayerRunner {
 public:
  // For texts of `tokens` positions each. threads: as thread_count(); results do not depend on
  // them. Throws ErrorKind::kUsage for no tokens, kLimit where the machine has not the memory
  // (needed_bytes()).
  LayerRunner(const DecoderConfig& config, uint64_t tokens, int threads = 1);
  ~LayerRunner();
  LayerRunner(LayerRunner&&) noexcept;
  LayerRunner& operator=(LayerRunner&&) noexcept;

  // stream: [texts * tokens][width], the layer's inputs, which become its outputs; several texts go
  // through it at a time. The observer, if there, sees the inputs of the linear layers in the order
  // of the rows; what it throws goes through, and the stream then is of no use. index: of the
  // layer, which may have an attention window of its own. Throws ErrorKind::kUsage for a stream
  // that has not whole texts of the config's width.
  void run(const DecoderLayer& layer, uint32_t index, form::Matrix& stream,
           const InputObserver& observer = {});

  // Shows it which experts the rows go to, from the next layer with experts on, each group of texts
  // that goes through together; empty: nothing any more.
  void observe_routing(RoutingObserver observer);

  // Of each query head of the layer, for one text; none without attention. Throws ErrorKind::kUsage
  // for other streams.
  std::vector<HeadAttention> attention(const DecoderLayer& layer, uint32_t index,
                                       form::MatrixView text);

  // The norm of rows of the stream behind the last layer: the inputs of the head. Valid until the
  // next call of anything here.
  form::MatrixView norm(const std::vector<float>& norm, form::MatrixView rows);

  // logits[r] = those of rows[r], a row of the stream behind the last layer.
  void head(const std::vector<float>& norm, const Linear& head, form::MatrixView rows,
            form::Matrix& logits, const InputObserver& observer = {});

  // Rows that go through a layer together; the observer sees at most so many at a time.
  static constexpr uint64_t kMostRows = 2048;

  // What it takes of memory beside the weights and the stream: keys and values of the texts that go
  // through a layer together, and what lies between its matrices.
  uint64_t needed_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pith::model
