// pith recipes: the published methods that Pith knows by name.
#include <fmt/ranges.h>

#include <memory>

#include "command.h"
#include "output.h"
#include "pith/recipe/registry.h"
#include "table.h"

namespace pith::command {
namespace {

using recipe::Recipe;

struct Arguments {
  std::string name;
  bool json = false, markdown = false;
};

Json to_json(const Recipe& r) {
  Json options = Json::array();
  for (const recipe::Option& o : r.options) {
    options.push_back({{"key", o.key}, {"default", o.default_value}, {"meaning", o.meaning}});
  }
  return {{"name", r.name},
          {"id", r.id},
          {"title", r.title},
          {"area", r.area},
          {"summary", r.summary},
          {"composition", r.compose},
          {"parts", r.parts},
          {"options", options},
          {"needs_base", r.needs_base},
          {"differs", r.differs},
          {"verified", r.verified},
          {"example", r.example}};
}

void print_list() {
  Table table({"recipe", "area", "paper", "title"});
  for (const Recipe& r : recipe::all_recipes()) {
    table.row({std::string(r.name), std::string(r.area), std::string(r.id), std::string(r.title)});
  }
  write_stdout(table.text());
}

void print_one(const Recipe& r) {
  std::string s =
      fmt::format("{} ({}, {})\n{}\n\n{}\n\n", r.name, r.id, r.area, r.title, r.summary);
  s += fmt::format("composition  {}\nparts        {}\n", r.compose, fmt::join(r.parts, ", "));
  for (const recipe::Option& o : r.options) {
    s += fmt::format("option       {}={}: {}\n", o.key, o.default_value, o.meaning);
  }
  s += fmt::format("differs      {}\nverified     {}\nexample      {}\n", r.differs, r.verified,
                   r.example);
  write_stdout(s);
}

void run(const Arguments& a) {
  if (a.markdown) return write_stdout(recipe::markdown());
  if (!a.name.empty()) {
    const Recipe& r = recipe::find_recipe(a.name);
    return a.json ? print_json(to_json(r)) : print_one(r);
  }
  if (!a.json) return print_list();
  Json all = Json::array();
  for (const Recipe& r : recipe::all_recipes()) all.push_back(to_json(r));
  print_json(all);
}

}  // namespace

void add_recipes(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("recipes", "List the published methods that have a name here");
  c->add_option("name", a->name, "show this one (its name or the paper's id)")->type_name("NAME");
  c->add_flag("--json", a->json, "as JSON");
  c->add_flag("--markdown", a->markdown, "all of them as a page (docs/systems.md)");
  c->footer(R"(Examples:
  pith recipes                  the list
  pith recipes zipnn            one of them in full
  pith recipes S233 --json      the same for programs, by the paper's id)");
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
