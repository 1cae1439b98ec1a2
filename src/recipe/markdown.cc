#include <fmt/ranges.h>

#include "pith/recipe/cache_recipes.h"
#include "pith/recipe/registry.h"
#include "pith/recipe/studies.h"

namespace pith::recipe {
namespace {

std::string section(const Recipe& r, const Results& results) {
  std::string s =
      fmt::format("\n## {}\n\n*{}* ({}, {})\n\n{}\n\n", r.name, r.title, r.id, r.area, r.summary);
  s += fmt::format("- composition: `{}`\n", r.compose);
  s += fmt::format("- parts: `{}`\n", fmt::join(r.parts, "`, `"));
  for (const Option& option : r.options) {
    s += fmt::format("- option `{}={}`: {}\n", option.key, option.default_value, option.meaning);
  }
  s += fmt::format("- against the paper: {}\n", r.differs);
  if (!r.waits.empty()) s += fmt::format("- not yet: {}\n", r.waits);
  s += fmt::format("- verified by: {}\n", r.verified);
  if (const auto found = results.find(r.name); found != results.end()) {
    for (const std::string& line : found->second) s += fmt::format("- {}\n", line);
  }
  return s + fmt::format("\n```sh\n{}\n```\n", r.example);
}

std::string section(const CacheRecipe& r) {
  std::string s = fmt::format("\n## {}\n\n*{}* ({}, kv)\n\n{}\n\n- composition: `{}`\n", r.name,
                              r.title, r.id, r.summary, r.compose);
  s += fmt::format("- parts: `{}`\n", fmt::join(r.parts, "`, `"));
  if (!r.waits.empty()) s += fmt::format("- not yet: {}\n", r.waits);
  s += fmt::format("- verified by: {}\n", r.verified);
  return s + fmt::format("\n```sh\n{}\n```\n", r.example());
}

std::string row(const CacheRecipe& r) {
  return fmt::format("| [{}](#{}) | {} ({}) | kv | {} |\n", r.name, r.name, r.title, r.id,
                     r.waits.empty() ? "-" : r.waits);
}

std::string section(const Study& study) {
  std::string s = fmt::format("\n## {}\n\n*{}* ({}, {})\n\n{}\n\n", study.name, study.title,
                              study.id, study.area, study.summary);
  s += fmt::format("- parts: `{}`\n", fmt::join(study.parts, "`, `"));
  if (!study.waits.empty()) s += fmt::format("- not yet: {}\n", study.waits);
  if (!study.verified.empty()) s += fmt::format("- verified by: {}\n", study.verified);
  return s + fmt::format("\n```sh\n{}\n```\n", study.command);
}

template <class Entry>
std::string row(const Entry& e) {
  return fmt::format("| [{}](#{}) | {} ({}) | {} | {} |\n", e.name, e.name, e.title, e.id, e.area,
                     e.waits.empty() ? "-" : e.waits);
}

}  // namespace

std::string markdown(const Results& results) {
  std::string s =
      "# Published methods in Pith\n\n"
      "Each is a composition of shared parts under a name, or a study with a command that shows "
      "it. "
      "This page is\nwritten by `pith recipes --markdown --results RESULTS.json`, of what `pith "
      "bench recipes` "
      "found; change `src/recipe/` instead.\n\n"
      "| recipe | paper | area | not yet |\n|---|---|---|---|\n";
  for (const Recipe& r : all_recipes()) s += row(r);
  s += "\n| cache | paper | area | not yet |\n|---|---|---|---|\n";
  for (const CacheRecipe& r : all_cache_recipes()) s += row(r);
  s += "\n| study | paper | area | not yet |\n|---|---|---|---|\n";
  for (const Study& study : all_studies()) s += row(study);
  for (const Recipe& r : all_recipes()) s += section(r, results);
  for (const CacheRecipe& r : all_cache_recipes()) s += section(r);
  for (const Study& study : all_studies()) s += section(study);
  return s;
}

}  // namespace pith::recipe
