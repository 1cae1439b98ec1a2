#include <fmt/ranges.h>

#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

std::string section(const Recipe& r) {
  std::string s =
      fmt::format("\n## {}\n\n*{}* ({}, {})\n\n{}\n\n", r.name, r.title, r.id, r.area, r.summary);
  s += fmt::format("- composition: `{}`\n", r.compose);
  s += fmt::format("- parts: `{}`\n", fmt::join(r.parts, "`, `"));
  for (const Option& option : r.options) {
    s += fmt::format("- option `{}={}`: {}\n", option.key, option.default_value, option.meaning);
  }
  s += fmt::format("- against the paper: {}\n", r.differs);
  s += fmt::format("- verified by: {}\n", r.verified);
  return s + fmt::format("\n```sh\n{}\n```\n", r.example);
}

}  // namespace

std::string markdown() {
  std::string s =
      "# Published methods in Pith\n\n"
      "Each is a composition of shared parts under a name. This page is written by\n"
      "`pith recipes --markdown`; change `src/recipe/` instead.\n\n"
      "| recipe | paper | area |\n|---|---|---|\n";
  for (const Recipe& r : all_recipes()) {
    s += fmt::format("| [{}](#{}) | {} ({}) | {} |\n", r.name, r.name, r.title, r.id, r.area);
  }
  for (const Recipe& r : all_recipes()) s += section(r);
  return s;
}

}  // namespace pith::recipe
