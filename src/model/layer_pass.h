// The forward pass of a decoder layer: sessions, calibration and gradients all run this one.
#pragma once

#include <cstdint>
#include <vector>

#include "expert_mix.h"
#include "pith/form/matrix.h"
#include "pith/kv/attention.h"
#include "pith/kv/cache.h"
#include "pith/model/config.h"
#include "pith/model/input_observer.h"
#include "pith/model/language_model.h"
#include "rope.h"

namespace pith::model {

// Rows of the residual stream that go through the layers together: for each of `texts` the
// positions first … first + count - 1, text after text.
struct PassRows {
  uint64_t texts = 1, first = 0, count = 0;
  uint64_t shift = 0;  // by how much less than their positions keys and queries are turned
  uint64_t total() const { return texts * count; }
};

// Of these rows, those that go through a part of a layer together.
struct TileRows {
  uint64_t first = 0, count = 0;
  uint64_t end() const { return first + count; }
};

// What the gradient of a layer needs of its forward pass; a row for each of the rows.
struct LayerTrace {
  form::Matrix attention_input;   // normed
  form::Matrix plain_q, plain_k;  // before their norms, where there are such
  form::Matrix q, k, v;           // rotated; queries scaled
  form::Matrix attended;
  form::Matrix middle;              // the stream between attention and feed-forward
  form::Matrix feed_forward_input;  // normed
  std::vector<float> importance;    // of the rows, where experts may be left out; else empty
};

// Works in room of its own, which every layer uses again. Every text has its own heads in the
// cache: head h of text t is t * kv_heads + h.
//
// Rows go through a whole layer tile by tile (as in FlashSVD, Shao et al. 2025): neither queries,
// keys and values nor what the feed-forward part has inside are ever there for all rows. Since no
// row sees a later one, a tile needs of the others only what the cache has.
class LayerPass {
 public:
  // Rows of a tile: as many as products take at a time in any case, so that tiles change no result.
  static constexpr uint64_t kTileRows = form::kMostBatch;

  // `config` is kept by who calls. `length`: the positions that a text can have.
  LayerPass(const DecoderConfig& config, uint64_t length, int threads);

  // What the calls after it are about.
  void place(PassRows rows);

  // The layer for the rows x, whose keys and values go to the cache, in layer `slot` of it. The
  // last `finished` rows are changed to what it gives; the others may be left as they are. Where
  // there is an observer, it sees all rows together, which then are one tile; experts always take
  // all rows.
  void run(const DecoderLayer& layer, uint32_t index, float* x, uint64_t finished, kv::Cache& cache,
           uint64_t slot, const InputObserver& observer);
  // The layer up to the inputs of its feed-forward part, for all rows together, whose results the
  // trace takes; of parts that the layer has not, nothing.
  void trace(const DecoderLayer& layer, uint32_t index, form::MatrixView x, kv::Cache& cache,
             uint64_t slot, LayerTrace& trace);
  // What follows the last layer.
  void head(const std::vector<float>& norm_weight, const Linear& head, const float* x,
            uint64_t count, form::Matrix& logits, const InputObserver& observer);

  // Shows it how rows go to experts, from the next layer on; empty: nothing any more.
  void observe_routing(RoutingObserver observer) { routing_ = std::move(observer); }

  void norm(const float* x, uint64_t count, const std::vector<float>& weight);
  form::MatrixView normed() const { return h_.view(); }  // of the latest norm
  const PassRows& rows() const { return rows_; }
  // Of the pairs of each position.
  const std::vector<float>& cosines() const { return cosines_; }
  const std::vector<float>& sines() const { return sines_; }

 private:
  // The part of one text that lies in a tile.
  struct TextRows {
    uint64_t text = 0, row = 0, position = 0, count = 0;  // row: its first in the tile
  };
  // Rows of queries from `begin` on, of a text in the tile.
  struct AttendTask {
    TextRows rows;
    uint64_t begin = 0;
  };

  TileRows all_rows() const { return {0, rows_.total()}; }
  std::vector<TextRows> texts_of(TileRows tile) const;
  // Without `queries` only keys and values are made.
  void make_heads(const DecoderLayer& layer, const float* x, TileRows tile, bool queries,
                  const InputObserver& observer);
  void keep_heads(const DecoderLayer& layer, uint32_t index, TileRows tile, kv::Cache& cache,
                  uint64_t slot);
  void attend(const DecoderLayer& layer, uint32_t index, TileRows tile, kv::Cache& cache,
              uint64_t slot);
  // What a cache needs to know to choose among its tokens.
  void record_weights(uint32_t index, TileRows tile, kv::Cache& cache, uint64_t slot);
  void show_queries(uint32_t index, TileRows tile, kv::Cache& cache, uint64_t slot);
  kv::SharedHead shared_head(const TextRows& rows, uint64_t head, uint32_t index, TileRows tile,
                             const kv::Cache& cache, uint64_t slot);
  // x: of the last `count` rows of the tile whose heads were made.
  void add_output(const DecoderLayer& layer, float* x, uint64_t count,
                  const InputObserver& observer);
  void add_feed_forward(const DecoderLayer& layer, float* x, uint64_t count,
                        const InputObserver& observer);
  void add_experts(const DecoderLayer& layer, uint32_t index, float* x, uint64_t count,
                   const InputObserver& observer);
  void rotate_heads(form::Matrix& heads, uint64_t first, uint64_t count,
                    const std::vector<float>& weight, float scale);
  void keep(uint64_t heads, TileRows tile, kv::Cache& cache, uint64_t slot);
  void trace_attention(const DecoderLayer& layer, uint32_t index, form::MatrixView x,
                       kv::Cache& cache, uint64_t slot, LayerTrace& trace);
  void add_made(float* x);
  bool asks_importance(uint32_t index) const;
  // Of the last `count` rows, whose stream behind attention begins at x, if anybody asks.
  std::vector<float> importance(uint32_t index, const float* x, uint64_t count) const;

  const DecoderConfig& config_;
  Rope rope_;
  int threads_;
  PassRows rows_;
  std::vector<float> cosines_, sines_;  // of the positions

  // The stream's norm, and what comes of it.
  form::Matrix h_, q_, k_, v_, attended_, made_;
  // What each head's query gives its own position, where importance is asked for; of all rows.
  form::Matrix own_;
  RoutingObserver routing_;
  FeedForwardRoom feed_forward_room_;
  ExpertRoom expert_room_;
};

// x[r] = the embedding of ids[r].
void embed(const form::Form& embedding, std::span<const int32_t> ids, float* x);

// Throws ErrorKind::kUsage for an id outside the vocabulary.
void check_ids(std::span<const int32_t> ids, uint32_t vocabulary);

}  // namespace pith::model
