// The recipes, one source file each; registry.cc collects them.
#pragma once

#include "pith/recipe/registry.h"

namespace pith::recipe {

Recipe checkpoint_prediction();
Recipe zipnn();

}  // namespace pith::recipe
