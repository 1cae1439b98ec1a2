// The recipes, one source file each; registry.cc collects them.
#pragma once

#include "pith/recipe/registry.h"

namespace pith::recipe {

Recipe adaquant();
Recipe armor();
Recipe awq();
Recipe casp();
Recipe checkpoint_prediction();
Recipe comcat();
Recipe dobi_svd();
Recipe dsformer();
Recipe dynamical_clustering();
Recipe edkm();
Recipe entrodrop();
Recipe eora();
Recipe evopress();
Recipe fwsvd();
Recipe gptq();
Recipe gqsa();
Recipe hawq();
Recipe l_greco();
Recipe late_attention();
Recipe llm_rom();
Recipe llm_surgeon();
Recipe lord();
Recipe lr2vq();
Recipe mc_moe();
Recipe modegpt();
Recipe mope_clip();
Recipe nowag();
Recipe nowag_vq();
Recipe obc();
Recipe obert();
Recipe pv_tuning();
Recipe pvq();
Recipe q_vlm();
Recipe qtip();
Recipe quest();
Recipe rtn();
Recipe sparsegpt();
Recipe spqr();
Recipe stat_prune();
Recipe upop();
Recipe wanda();
Recipe ziplm();
Recipe zipnn();

// Embeddings and heads stay as they are, as in papers that prune.
void leave_vocabulary(Plan& plan);

}  // namespace pith::recipe
