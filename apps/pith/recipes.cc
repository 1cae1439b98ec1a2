// pith recipes: the published methods that Pith knows by name.
#include <fmt/ranges.h>

#include <memory>

#include "command.h"
#include "output.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/io/text.h"
#include "pith/recipe/cache_recipes.h"
#include "pith/recipe/registry.h"
#include "pith/recipe/studies.h"
#include "table.h"

namespace pith::command {
namespace {

using recipe::Recipe;

struct Arguments {
  std::string name, results;
  bool json = false, markdown = false, taxonomy = false;
};

Json to_json(const recipe::Place& p) {
  Json acts = Json::array(), patterns = Json::array();
  for (const recipe::Act a : p.acts) acts.push_back(name(a));
  for (const recipe::Pattern x : p.patterns) patterns.push_back(name(x));
  return {{"does", acts},
          {"removes", patterns},
          {"criterion", name(p.criterion)},
          {"when", name(p.moment)},
          {"data", name(p.data)},
          {"adapts", name(p.adapts)},
          {"knows_hardware", p.knows_hardware}};
}

Json to_json(const Recipe& r) {
  Json options = Json::array();
  for (const recipe::Option& o : r.options) {
    options.push_back({{"key", o.key}, {"default", o.default_value}, {"meaning", o.meaning}});
  }
  return {{"kind", "recipe"},
          {"name", r.name},
          {"id", r.id},
          {"title", r.title},
          {"area", r.area},
          {"summary", r.summary},
          {"composition", r.compose},
          {"parts", r.parts},
          {"options", options},
          {"place", to_json(r.place)},
          {"needs_base", r.needs_base},
          {"differs", r.differs},
          {"waits", r.waits},
          {"verified", r.verified},
          {"example", r.example}};
}

Json to_json(const recipe::Study& study) {
  return {{"kind", "study"},      {"name", study.name},   {"id", study.id},
          {"title", study.title}, {"area", study.area},   {"summary", study.summary},
          {"parts", study.parts}, {"waits", study.waits}, {"example", study.command}};
}

Json to_json(const recipe::CacheRecipe& r) {
  return {{"kind", "cache"},          {"name", r.name},        {"id", r.id},
          {"title", r.title},         {"area", "kv"},          {"summary", r.summary},
          {"composition", r.compose}, {"parts", r.parts},      {"waits", r.waits},
          {"verified", r.verified},   {"example", r.example()}};
}

// As `pith bench recipes` writes them.
recipe::Results read_results(const std::string& path) {
  recipe::Results out;
  const MappedFile file(path);
  try {
    const Json all = Json::parse(io::as_text(file.bytes()));
    for (const Json& row : all.at("rows")) {
      const auto recipe = row.at("recipe").get<std::string>();
      std::string line =
          fmt::format("at most {:g} bits a weight, on {}: ", row.at("asked").get<double>(),
                      std::filesystem::path(all.at("text")).filename().string());
      if (row.contains("error")) {
        line += "failed, " + row.at("error").get<std::string>();
      } else {
        const Json& kl = row.at("kl");
        line += fmt::format(
            "divergence {:.3g} ({:.3g} … {:.3g}), perplexity {:.2f}, in {:.3f} bits",
            kl.at("mean").get<double>(), kl.at("interval").at(0).get<double>(),
            kl.at("interval").at(1).get<double>(), row.at("perplexity").at("mean").get<double>(),
            row.at("bits").get<double>());
        if (const auto setting = row.at("setting").get<std::string>(); !setting.empty()) {
          line += fmt::format(" (`{}`)", setting);
        }
      }
      out[recipe.substr(0, recipe.find(':'))].push_back(std::move(line));
    }
  } catch (const Json::exception& e) {
    fail(ErrorKind::kData, "{}: no results of `pith bench recipes`: {}", path, e.what());
  }
  return out;
}

void print_list() {
  Table table({"recipe", "area", "paper", "not yet", "title"});
  for (const Recipe& r : recipe::all_recipes()) {
    table.row({std::string(r.name), std::string(r.area), std::string(r.id), std::string(r.waits),
               std::string(r.title)});
  }
  Table caches({"cache", "area", "paper", "not yet", "title"});
  for (const recipe::CacheRecipe& r : recipe::all_cache_recipes()) {
    caches.row(
        {std::string(r.name), "kv", std::string(r.id), std::string(r.waits), std::string(r.title)});
  }
  Table studies({"study", "area", "paper", "not yet", "title"});
  for (const recipe::Study& s : recipe::all_studies()) {
    studies.row({std::string(s.name), std::string(s.area), std::string(s.id), std::string(s.waits),
                 std::string(s.title)});
  }
  write_stdout(table.text() + "\n" + caches.text() + "\n" + studies.text());
}

void print_one(const Recipe& r) {
  std::string s =
      fmt::format("{} ({}, {})\n{}\n\n{}\n\n", r.name, r.id, r.area, r.title, r.summary);
  s += fmt::format("composition  {}\nparts        {}\n", r.compose, fmt::join(r.parts, ", "));
  for (const recipe::Option& o : r.options) {
    s += fmt::format("option       {}={}: {}\n", o.key, o.default_value, o.meaning);
  }
  s += fmt::format("differs      {}\n", r.differs);
  if (!r.waits.empty()) s += fmt::format("not yet      {}\n", r.waits);
  s += fmt::format("verified     {}\nexample      {}\n", r.verified, r.example);
  write_stdout(s);
}

void print_one(const recipe::CacheRecipe& r) {
  std::string s = fmt::format("{} ({}, kv)\n{}\n\n{}\n\ncomposition  {}\nparts        {}\n", r.name,
                              r.id, r.title, r.summary, r.compose, fmt::join(r.parts, ", "));
  if (!r.waits.empty()) s += fmt::format("not yet      {}\n", r.waits);
  write_stdout(s + fmt::format("verified     {}\nexample      {}\n", r.verified, r.example()));
}

void print_one(const recipe::Study& study) {
  std::string s = fmt::format("{} ({}, {})\n{}\n\n{}\n\nparts        {}\n", study.name, study.id,
                              study.area, study.title, study.summary, fmt::join(study.parts, ", "));
  if (!study.waits.empty()) s += fmt::format("not yet      {}\n", study.waits);
  write_stdout(s + fmt::format("example      {}\n", study.command));
}

std::string joined(const std::vector<std::string_view>& names) {
  return names.empty() ? "-" : fmt::format("{}", fmt::join(names, ", "));
}

// Every recipe by itself, then what is in the cells of each survey.
void print_taxonomy() {
  Table all({"recipe", "does", "removes", "criterion", "when", "data", "adapts"});
  for (const Recipe& r : recipe::all_recipes()) {
    std::vector<std::string_view> acts, patterns;
    for (const recipe::Act x : r.place.acts) acts.push_back(name(x));
    for (const recipe::Pattern x : r.place.patterns) patterns.push_back(name(x));
    all.row({std::string(r.name), joined(acts), joined(patterns),
             std::string(name(r.place.criterion)), std::string(name(r.place.moment)),
             std::string(name(r.place.data)), std::string(name(r.place.adapts))});
  }
  std::string text = all.text();
  for (const recipe::SurveyTable& survey : recipe::survey_tables(recipe::all_recipes())) {
    text += fmt::format("\n{}: {}\n", survey.survey, survey.title);
    std::vector<std::string> headers = {""};
    headers.insert(headers.end(), survey.columns.begin(), survey.columns.end());
    Table table(headers);
    for (const recipe::SurveyTable::Row& row : survey.rows) {
      std::vector<std::string> cells = {std::string(row.name)};
      for (const auto& names : row.cells) cells.push_back(joined(names));
      table.row(std::move(cells));
    }
    text += table.text(2);
  }
  write_stdout(text);
}

Json taxonomy_json() {
  Json recipes = Json::object(), surveys = Json::array();
  for (const Recipe& r : recipe::all_recipes()) recipes[std::string(r.name)] = to_json(r.place);
  for (const recipe::SurveyTable& survey : recipe::survey_tables(recipe::all_recipes())) {
    Json rows = Json::object();
    for (const recipe::SurveyTable::Row& row : survey.rows) {
      Json cells = Json::object();
      for (size_t c = 0; c < row.cells.size(); ++c) {
        cells[std::string(survey.columns[c])] = row.cells[c];
      }
      rows[std::string(row.name)] = std::move(cells);
    }
    surveys.push_back({{"survey", survey.survey}, {"title", survey.title}, {"cells", rows}});
  }
  return {{"recipes", std::move(recipes)}, {"surveys", std::move(surveys)}};
}

void run(const Arguments& a) {
  if (a.taxonomy) return a.json ? print_json(taxonomy_json()) : print_taxonomy();
  if (a.markdown) {
    return write_stdout(
        recipe::markdown(a.results.empty() ? recipe::Results() : read_results(a.results)));
  }
  if (!a.name.empty()) {
    if (const recipe::CacheRecipe* cache = recipe::find_cache_recipe(a.name)) {
      return a.json ? print_json(to_json(*cache)) : print_one(*cache);
    }
    if (const recipe::Study* study = recipe::find_study(a.name)) {
      return a.json ? print_json(to_json(*study)) : print_one(*study);
    }
    const Recipe& r = recipe::find_recipe(a.name);
    return a.json ? print_json(to_json(r)) : print_one(r);
  }
  if (!a.json) return print_list();
  Json all = Json::array();
  for (const Recipe& r : recipe::all_recipes()) all.push_back(to_json(r));
  for (const recipe::CacheRecipe& r : recipe::all_cache_recipes()) all.push_back(to_json(r));
  for (const recipe::Study& study : recipe::all_studies()) all.push_back(to_json(study));
  print_json(all);
}

}  // namespace

void add_recipes(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("recipes", "List the published methods that have a name here");
  c->add_option("name", a->name, "show this one (its name or the paper's id)")->type_name("NAME");
  c->add_flag("--json", a->json, "as JSON");
  CLI::Option* markdown =
      c->add_flag("--markdown", a->markdown, "all of them as a page (docs/systems.md)");
  c->add_option("--results", a->results, "on that page: what pith bench recipes found")
      ->type_name("JSON")
      ->needs(markdown);
  c->add_flag("--taxonomy", a->taxonomy,
              "where each stands in the axes of surveys, and which cells are empty");
  c->footer(R"(Examples:
  pith recipes                  the list
  pith recipes zipnn            one of them in full
  pith recipes S233 --json      the same for programs, by the paper's id
  pith recipes --taxonomy       all in the axes of three surveys
  pith recipes --markdown --results recipes/results.json > systems.md    a page of all, with what a benchmark found)");
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
