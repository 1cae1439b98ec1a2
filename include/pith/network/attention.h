// Where a network's attention is: which rows of which layers are the queries, keys and values of
// each head, and which columns of another read what the head gives.
//
// Found by what is computed, not by names: the two factors of a product behind which there is a
// softmax, and the third that its rows are multiplied by, lead back to layers through nodes that
// only move elements, scale them or add a bias. Where each element comes from shows when its
// channel's number takes the same way.
#pragma once

#include <string>
#include <vector>

#include "pith/network/network.h"

namespace pith::network {

// Of a linear layer, with what is added to it.
struct Projection {
  size_t layer = 0;
  std::string bias;                         // a constant of the graph; empty: none
  std::vector<std::vector<uint64_t>> rows;  // of each head; of Attention::output columns
};

struct Attention {
  Projection query, key, value, output;

  size_t heads() const { return query.rows.size(); }
  size_t size() const { return query.rows[0].size(); }  // of a head of queries and keys
};

// In the order of the nodes. The network runs once on these inputs. What has any other shape
// (several queries that share a key, a product with a constant) is left out.
std::vector<Attention> find_attention(const Network& network, const std::vector<Tensor>& inputs);

}  // namespace pith::network
