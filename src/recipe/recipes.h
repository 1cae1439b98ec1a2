// The recipes, one source file each; registry.cc collects them.
#pragma once

#include "pith/recipe/registry.h"

namespace pith::recipe {

Recipe adaquant();
Recipe awq();
Recipe checkpoint_prediction();
Recipe evopress();
Recipe gptq();
Recipe hawq();
Recipe l_greco();
Recipe nowag_vq();
Recipe pvq();
Recipe q_vlm();
Recipe quest();
Recipe spqr();
Recipe zipnn();

}  // namespace pith::recipe
