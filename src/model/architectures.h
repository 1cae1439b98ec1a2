// The architectures that run, by the names that files give them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "pith/model/config.h"

namespace pith::model {

struct ArchitectureNames {
  Architecture architecture;
  std::string_view hf;          // model_type
  std::string_view gguf;        // general.architecture
  std::string_view class_name;  // architectures of config.json
};

// In the order of the enumeration.
std::span<const ArchitectureNames> architectures();

// One kind of name of all, separated by commas, for messages.
std::string architecture_list(std::string_view ArchitectureNames::*name);

}  // namespace pith::model
