// The greedy step that every solver ends with: what is left of the limits is spent.
#pragma once

#include "table.h"

namespace pith::budget {

// Changes one part at a time, always the change that saves most value for the share of the slacks
// that it takes, until none fits that saves any. The choice must be within the limits.
void improve(const Table& table, Choice& choice);

// Brings a choice within the limits, always with the change that costs least value (and weight at
// these prices, one for each slack) for what it takes off the excess. False where that gets stuck.
bool repair(const Table& table, std::span<const double> prices, Choice& choice);

}  // namespace pith::budget
