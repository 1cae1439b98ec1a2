// What attention asks of a tile of past tokens, straight from its forms.
//
// Scores are the product of the queries with the keys: of a form by tokens its multiply(), of one
// by channels its add_rows(), the queries being the weights of channels. Values are added up the
// other way round.
#pragma once

#include "pith/form/activations.h"
#include "pith/kv/past.h"

namespace pith::kv {

// Whether that is done without decoding the tile's keys, or its values.
bool scores_directly(const Past& past, uint64_t tile);
bool adds_directly(const Past& past, uint64_t tile);

// The queries of a few rows, and what forms derive from them, for all tiles.
class TileQueries {
 public:
  // rows: a query in each row, which stay where they are.
  explicit TileQueries(form::MatrixView rows) : x_(rows) {}

  // scores[r * stride + t] = query r times key t of the tile.
  void score(const Past& past, uint64_t tile, float* scores, uint64_t stride);

 private:
  form::Activations x_;
};

// sums.out += weights of the tile's tokens times their values.
void add_values(const Past& past, uint64_t tile, const form::RowSums& sums);

}  // namespace pith::kv
