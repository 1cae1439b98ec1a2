#include "pith/recipe/taxonomy.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

TEST(Taxonomy, EveryRecipeHasItsPlace) {
  for (const Recipe& r : all_recipes()) EXPECT_EQ(what_is_wrong(r.place), "") << r.name;
}

Place whole() {
  return {.acts = {Act::kPruned},
          .patterns = {Pattern::kElements},
          .criterion = Criterion::kActivation,
          .moment = Moment::kOneShot,
          .data = Data::kText,
          .adapts = Adapts::kNothing};
}

TEST(Taxonomy, WhatIsMissingIsSaid) {
  EXPECT_EQ(what_is_wrong(whole()), "");
  EXPECT_NE(what_is_wrong({}), "");
  for (const auto& spoil : std::initializer_list<void (*)(Place&)>{
           [](Place& p) { p.acts.clear(); }, [](Place& p) { p.patterns.clear(); },
           [](Place& p) { p.acts = {Act::kQuantized}; },
           [](Place& p) { p.criterion = Criterion::kUnset; },
           [](Place& p) { p.criterion = Criterion::kFirstOrder; },
           [](Place& p) { p.moment = Moment::kUnset; }, [](Place& p) { p.data = Data::kUnset; },
           [](Place& p) { p.data = Data::kNone; }, [](Place& p) { p.adapts = Adapts::kUnset; }}) {
    Place p = whole();
    spoil(p);
    EXPECT_NE(what_is_wrong(p), "");
  }
}

const SurveyTable& table(const std::vector<SurveyTable>& all, std::string_view survey,
                         std::string_view title) {
  return *std::ranges::find_if(all, [&](const SurveyTable& t) {
    return t.survey == survey && t.title.find(title) != t.title.npos;
  });
}

const std::vector<std::string_view>& cell(const SurveyTable& t, std::string_view row,
                                          std::string_view column) {
  const auto r = std::ranges::find(t.rows, row, &SurveyTable::Row::name);
  const auto c = std::ranges::find(t.columns, column);
  return r->cells.at(static_cast<size_t>(c - t.columns.begin()));
}

TEST(Taxonomy, CellsHaveWhatBelongsThereAndEmptyOnesStay) {
  Recipe masks, codes;
  masks.name = "masks";
  masks.place = whole();
  masks.place.patterns.push_back(Pattern::kGroups);
  codes.name = "codes";
  codes.place = {.acts = {Act::kQuantized, Act::kAllocated},
                 .patterns = {},
                 .criterion = Criterion::kTried,
                 .moment = Moment::kIterative,
                 .data = Data::kText,
                 .adapts = Adapts::kNothing,
                 .knows_hardware = true};
  const std::vector<Recipe> recipes = {masks, codes};
  const auto all = survey_tables(recipes);
  for (const SurveyTable& t : all) {
    for (const SurveyTable::Row& row : t.rows) EXPECT_EQ(row.cells.size(), t.columns.size());
  }
  using Names = std::vector<std::string_view>;
  const SurveyTable& when = table(all, "S077", "and when");
  EXPECT_EQ(cell(when, "unstructured", "after, one shot"), Names{"masks"});
  EXPECT_EQ(cell(when, "semi-structured", "after, one shot"), Names{"masks"});
  EXPECT_EQ(cell(when, "structured", "after, one shot"), Names{});
  EXPECT_EQ(cell(when, "unstructured", "during training"), Names{});
  const SurveyTable& edge = table(all, "S263", "");
  EXPECT_EQ(cell(edge, "quantization, mixed", "measured on one"), Names{"codes"});
  EXPECT_EQ(cell(edge, "quantization, mixed", "any machine"), Names{});
  EXPECT_EQ(cell(edge, "pruning, tokens", "any machine"), Names{});
  EXPECT_EQ(cell(table(all, "S209", ""), "nothing (static)", "pruned"), Names{"masks"});
  EXPECT_EQ(cell(table(all, "S077", "fused"), "alone", "calibration"), Names{"masks"});
}

// Every recipe that changes weights is found in some cell of each survey.
TEST(Taxonomy, NoRecipeIsLostFromASurvey) {
  const auto all = survey_tables(all_recipes());
  for (const Recipe& r : all_recipes()) {
    if (r.area != "weights") continue;
    for (const std::string_view survey : {"S077", "S209", "S263"}) {
      const bool found = std::ranges::any_of(all, [&](const SurveyTable& t) {
        return t.survey == survey && std::ranges::any_of(t.rows, [&](const SurveyTable::Row& row) {
                 return std::ranges::any_of(row.cells, [&](const auto& names) {
                   return std::ranges::find(names, r.name) != names.end();
                 });
               });
      });
      EXPECT_TRUE(found) << r.name << " in " << survey;
    }
  }
}

}  // namespace
}  // namespace pith::recipe
