#include "pith/entropy/mixer.h"

namespace pith::entropy {

static_assert(detail::kSquash[kStretchLimit] == 32768);
static_assert(detail::kSquash[0] >= 1 && detail::kSquash[0] <= 2);

}  // namespace pith::entropy
