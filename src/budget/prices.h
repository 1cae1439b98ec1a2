// Limits as prices: what every part would choose if each slack had to be paid for, and what that
// proves about choices within the limits (Everett 1963).
#pragma once

#include <span>
#include <vector>

#include "table.h"

namespace pith::budget {

struct Priced {
  Choice choice;               // every part's best at these prices, the first among equals
  double bound = 0;            // no choice within the limits has less value
  std::vector<double> excess;  // of each slack, as a share of it; negative: some is left
};

// A price is for the whole of a slack. Values may count for nothing (0 instead of 1), to look for
// any choice within the limits: there is none where the bound is then positive.
Priced at_prices(const Table& table, std::span<const double> prices, double values = 1);

// Without the options that no choice of less than `value` within the limits can have: those that at
// these prices alone cost more than there is between the bound and the value. Parts stay, many of
// them with one option.
Table reduce(const Table& table, std::span<const double> prices, double value);
// The same choice in the table that was reduced.
Choice unreduced(const Table& table, const Table& reduced, const Choice& choice);

}  // namespace pith::budget
