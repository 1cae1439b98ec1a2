// What the terms of a policy take.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pith/form/arguments.h"
#include "pith/form/expression.h"
#include "pith/select/scores.h"

namespace pith::select {

// A number of items or a share of them; neither: what the budget leaves.
struct Amount {
  std::optional<uint64_t> items = {};
  std::optional<double> share = {};

  bool open() const { return !items && !share; }
  // Of so many items; not for open ones.
  uint64_t of(uint64_t count) const;
};

// Of a call: "64", "20%", or open where it is not given. Throws ErrorKind::kUsage with the place
// for anything else.
Amount amount_of(const form::Arguments& args, std::string_view name);

struct Keeper {
  enum class Kind : uint8_t {
    kAll,
    kSink,
    kWindow,
    kEvery,
    kTop,
    kNucleus,
    kSpans,
    kCenters,
    kLadder,
  };
  Kind kind = Kind::kAll;
  Amount amount = {};
  std::optional<form::Expression> score = {};
  uint64_t length = 0;              // of spans; the distance of every(n)
  double mass = 0;                  // of the nucleus
  uint64_t depth = 1, overlap = 0;  // of a ladder

  // What every other keeper makes room for.
  bool must() const { return kind == Kind::kSink || kind == Kind::kWindow; }
  // How many it takes is for the items to say.
  bool takes_as_they_are() const {
    return kind == Kind::kAll || kind == Kind::kEvery || kind == Kind::kNucleus ||
           kind == Kind::kLadder;
  }
};

// Throws ErrorKind::kUsage with the place for what is no keeper.
Keeper keeper_of(const form::Expression& e);

// Marks at most `room` of the items that are not taken, of those that the keeper wants (for open
// amounts `room`), the dearest first where there is not room for all.
void take(const Keeper& keeper, const Items& items, uint64_t room, std::vector<bool>& taken);

}  // namespace pith::select
