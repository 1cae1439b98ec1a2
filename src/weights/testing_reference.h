// The reference model of the repository, read once. Test-only.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "../model/tokenizer_testing.h"
#include "pith/archive/writer.h"
#include "pith/model/language_model.h"

namespace pith::weights::testing {

struct Reference {
  std::filesystem::path folder = model::testing::source_root() / "data/lm";
  model::LanguageModel model = model::load_model(folder);
  std::vector<archive::Input> inputs = archive::expand_inputs(std::span(&folder, 1));
};

inline Reference& reference() {
  static Reference r;
  return r;
}

}  // namespace pith::weights::testing
