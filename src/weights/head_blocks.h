// The matrices of one layer's attention, seen by the heads of keys and values and the queries that
// share them.
#pragma once

#include <utility>
#include <vector>

#include "pith/fit/low_rank.h"
#include "pith/model/language_model.h"

namespace pith::weights {

class HeadBlocks {
 public:
  // attended: second moments of what the output matrix reads; outputs: what an error of each of its
  // rows matters. damping: as a share of the moments' mean.
  HeadBlocks(const model::DecoderConfig& config, uint32_t index, const model::DecoderLayer& layer,
             const fit::Metric& attended, const std::vector<double>& outputs, double damping,
             int threads);

  uint64_t count() const { return heads_; }
  uint64_t group() const { return group_; }  // heads of queries that share one
  uint64_t size() const { return size_; }

  // Of a head: W_o of all queries' heads that share it, one below the other, as a matrix that reads
  // its values.
  const fit::Truncation& values(uint64_t head) const { return values_[head]; }
  // W_v and W_o of products of these ranks, of which the first rows and columns of each head count;
  // the others are zero. At full rank of all they are as they were.
  std::pair<form::Matrix, form::Matrix> joined(const std::vector<uint64_t>& ranks) const;

  // stream: second moments of what queries and keys read; queries: what an error of each matters.
  void weigh_pairs(const fit::Metric& stream, const std::vector<double>& queries);
  uint64_t pairs() const { return pairs_; }
  // Rows of a head that so many pairs have, with those that are not turned.
  uint64_t rows_of_pairs(uint64_t kept) const { return size_ - 2 * (pairs_ - kept); }
  // Divergence to expect where the pairs beyond the first of them are left out.
  double lost_without_pairs(uint64_t head, uint64_t kept) const;
  form::Matrix queries(const std::vector<uint64_t>& kept) const {
    return without(q_, kept, group_);
  }
  form::Matrix keys(const std::vector<uint64_t>& kept) const { return without(k_, kept, 1); }

 private:
  uint64_t row(uint64_t pair, uint64_t which) const;
  form::Matrix without(const form::Matrix& m, const std::vector<uint64_t>& kept,
                       uint64_t group) const;
  form::Matrix output(const std::vector<uint64_t>& ranks) const;

  model::RopeLayout layout_;
  uint64_t heads_, group_, size_, pairs_;
  int threads_;
  form::Matrix q_, k_, v_, o_;
  std::vector<double> moments_;  // attended, damped
  std::vector<fit::Truncation> values_;
  // Of each head: pairs, those that matter most first, and what each is worth.
  std::vector<std::vector<uint64_t>> order_;
  std::vector<std::vector<double>> worth_;
};

}  // namespace pith::weights
