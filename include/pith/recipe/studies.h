// Papers whose subject is a measurement or a map of methods: not a way to write an archive, but
// a command that shows what they ask for.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace pith::recipe {

struct Study {
  std::string_view name;                // "video"
  std::string_view id;                  // of the paper in Pith's list: "S238"
  std::string_view title;               // of the paper
  std::string_view area;                // "weights", …
  std::string_view summary;             // what is shown
  std::string_view waits;               // what of the paper is not here; empty: nothing
  std::vector<std::string_view> parts;  // headers below include/pith
  std::string_view command;             // that shows it
  std::string_view verified = {};       // how: tests and benchmark; empty: the command shows all
};

// All of them, by name.
std::span<const Study> all_studies();
// By name or id; null if there is none.
const Study* find_study(std::string_view name_or_id);

}  // namespace pith::recipe
