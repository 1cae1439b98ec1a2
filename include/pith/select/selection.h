// Which items of a sequence stay, and what became of the others: tokens of a KV cache, sentences of
// a prompt, notes of a memory, tokens of a picture.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/form/expression.h"
#include "pith/form/matrix.h"

namespace pith::select {

struct Selection {
  // `weight` of item `from` went into the kept item at this place in `kept`.
  struct Share {
    uint32_t from = 0, to = 0;
    float weight = 1;
    bool operator==(const Share&) const = default;
  };

  uint64_t count = 0;               // items that there were
  std::vector<uint32_t> kept = {};  // rising
  // What kept items are made of, by `to`, the weights of each adding up to 1; empty: each is what
  // it was.
  std::vector<Share> shares = {};
  // Items that stay in a form of less fidelity instead of being dropped, rising; none of them kept,
  // and none in two.
  struct Rest {
    form::Expression form;
    std::vector<uint32_t> items;
    bool operator==(const Rest&) const = default;
  };
  std::vector<Rest> rests = {};

  bool operator==(const Selection&) const = default;
};

// The rows that stay: kept.size() x columns, merged as the shares say. rows: of count rows.
form::Matrix kept_rows(const Selection& selection, form::MatrixView rows);

// Every item, as it is.
Selection everything(uint64_t count);
// The second selection made among the items that the first one kept, as one among all.
Selection in_sequence(const Selection& first, const Selection& second);

}  // namespace pith::select
