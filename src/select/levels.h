// What becomes of items that are not kept as they are: the dearer, the finer.
#pragma once

#include <optional>
#include <vector>

#include "keepers.h"
#include "pith/select/selection.h"

namespace pith::select {

struct Levels {
  struct Part {
    form::Expression form;
    Amount amount = {};  // of those that are not kept; open: all that are left
  };
  std::optional<form::Expression> score = {};  // none: one part takes all
  std::vector<Part> parts = {};
};

// rest(FORM) or tiles(SCORE, part(FORM, n), …, part(FORM)). Throws ErrorKind::kUsage with the place
// for anything else, and for a part that none would reach.
Levels levels_of(const form::Expression& e);

// Items that the selection does not keep go into the parts, those of the largest score into the
// first; of equal scores the earlier item first.
void keep_rests(const Levels& levels, const Items& items, Selection& s);

}  // namespace pith::select
