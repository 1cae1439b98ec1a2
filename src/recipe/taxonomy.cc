#include "pith/recipe/taxonomy.h"

#include <algorithm>
#include <functional>

#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

using In = std::function<bool(const Place&)>;

// A name and what belongs there.
struct Range {
  std::string_view name;
  In in;
};

template <class Value>
std::vector<Range> ranges_of(Value Place::*field, std::initializer_list<Value> values) {
  std::vector<Range> out;
  for (const Value value : values) {
    out.push_back({name(value), [=](const Place& p) { return p.*field == value; }});
  }
  return out;
}

In does(std::initializer_list<Act> acts) {
  return [acts = std::vector<Act>(acts)](const Place& p) {
    return std::ranges::all_of(acts, [&](Act act) { return p.does(act); });
  };
}

In removes(Pattern pattern) {
  return [=](const Place& p) {
    return p.does(Act::kPruned) && std::ranges::find(p.patterns, pattern) != p.patterns.end();
  };
}

bool is_after(const Place& p) {
  return p.moment == Moment::kOneShot || p.moment == Moment::kIterative;
}

SurveyTable table_of(std::string_view survey, std::string title, std::span<const Recipe> recipes,
                     const std::vector<Range>& rows, const std::vector<Range>& columns) {
  SurveyTable out{survey, std::move(title), {}, {}};
  for (const Range& column : columns) out.columns.push_back(column.name);
  for (const Range& row : rows) {
    SurveyTable::Row& cells = out.rows.emplace_back();
    cells.name = row.name;
    for (const Range& column : columns) {
      std::vector<std::string_view>& cell = cells.cells.emplace_back();
      for (const Recipe& r : recipes) {
        if (row.in(r.place) && column.in(r.place)) cell.push_back(r.name);
      }
    }
  }
  return out;
}

const std::initializer_list<Moment> kMoments = {Moment::kBefore, Moment::kDuring, Moment::kOneShot,
                                                Moment::kIterative};
const std::initializer_list<Criterion> kCriteria = {Criterion::kNothing,     Criterion::kMagnitude,
                                                    Criterion::kActivation,  Criterion::kFirstOrder,
                                                    Criterion::kSecondOrder, Criterion::kTried};
const std::initializer_list<Data> kData = {Data::kNone, Data::kText, Data::kGradients};

std::vector<Range> patterns() {
  std::vector<Range> out;
  for (const Pattern p : {Pattern::kElements, Pattern::kGroups, Pattern::kWhole}) {
    out.push_back({name(p), removes(p)});
  }
  return out;
}

std::vector<Range> acts() {
  std::vector<Range> out;
  for (const Act a : {Act::kQuantized, Act::kPruned, Act::kFactored, Act::kAllocated}) {
    out.push_back({name(a), does({a})});
  }
  return out;
}

}  // namespace

bool Place::does(Act act) const { return std::ranges::find(acts, act) != acts.end(); }

std::string_view name(Act act) {
  switch (act) {
    case Act::kQuantized:
      return "quantized";
    case Act::kPruned:
      return "pruned";
    case Act::kFactored:
      return "factored";
    case Act::kTransformed:
      return "transformed";
    case Act::kAllocated:
      return "allocated";
    case Act::kCoded:
      return "entropy-coded";
    case Act::kDistilled:
      break;
  }
  return "distilled";
}

std::string_view name(Pattern pattern) {
  switch (pattern) {
    case Pattern::kElements:
      return "unstructured";
    case Pattern::kGroups:
      return "semi-structured";
    case Pattern::kWhole:
      break;
  }
  return "structured";
}

std::string_view name(Criterion criterion) {
  switch (criterion) {
    case Criterion::kNothing:
      return "all alike";
    case Criterion::kMagnitude:
      return "magnitude";
    case Criterion::kActivation:
      return "activation";
    case Criterion::kFirstOrder:
      return "first order";
    case Criterion::kSecondOrder:
      return "second order";
    case Criterion::kTried:
      return "tried";
    case Criterion::kUnset:
      break;
  }
  return "";
}

std::string_view name(Moment moment) {
  switch (moment) {
    case Moment::kBefore:
      return "before training";
    case Moment::kDuring:
      return "during training";
    case Moment::kOneShot:
      return "after, one shot";
    case Moment::kIterative:
      return "after, iterative";
    case Moment::kUnset:
      break;
  }
  return "";
}

std::string_view name(Data data) {
  switch (data) {
    case Data::kNone:
      return "no data";
    case Data::kText:
      return "calibration";
    case Data::kGradients:
      return "gradients";
    case Data::kUnset:
      break;
  }
  return "";
}

std::string_view name(Adapts adapts) {
  switch (adapts) {
    case Adapts::kNothing:
      return "nothing (static)";
    case Adapts::kOutput:
      return "output (early exits)";
    case Adapts::kGraph:
      return "graph (layers, experts)";
    case Adapts::kInput:
      return "input (tokens)";
    case Adapts::kUnset:
      break;
  }
  return "";
}

std::string what_is_wrong(const Place& p) {
  if (p.acts.empty()) return "does nothing";
  if (p.does(Act::kPruned) == p.patterns.empty()) {
    return p.patterns.empty() ? "removes, but says no pattern" : "removes nothing in a pattern";
  }
  if (p.criterion == Criterion::kUnset) return "has no criterion";
  if (p.moment == Moment::kUnset) return "has no moment";
  if (p.data == Data::kUnset) return "says nothing of data";
  if (p.adapts == Adapts::kUnset) return "does not say what adapts";
  const bool by_gradients = p.criterion == Criterion::kFirstOrder;
  if (by_gradients && p.data != Data::kGradients) return "goes by gradients without any";
  const bool by_data = p.criterion == Criterion::kActivation || p.criterion == Criterion::kTried;
  if (by_data && p.data == Data::kNone) return "goes by data without any";
  return "";
}

std::vector<SurveyTable> survey_tables(std::span<const Recipe> recipes) {
  std::vector<SurveyTable> out;
  out.push_back(table_of("S077", "pruning: what goes, and when", recipes, patterns(),
                         ranges_of(&Place::moment, kMoments)));
  out.push_back(table_of("S077", "pruning: what goes, and by which criterion", recipes, patterns(),
                         ranges_of(&Place::criterion, kCriteria)));
  out.push_back(
      table_of("S077", "pruning fused with other compression, and the data of it", recipes,
               {{"alone", [](const Place& p) { return p.acts == std::vector<Act>{Act::kPruned}; }},
                {"with quantization", does({Act::kPruned, Act::kQuantized})},
                {"with low rank", does({Act::kPruned, Act::kFactored})},
                {"with shares of a budget", does({Act::kPruned, Act::kAllocated})},
                {"with distillation", does({Act::kPruned, Act::kDistilled})}},
               ranges_of(&Place::data, kData)));
  out.push_back(table_of("S077", "every method: what it does, and by which criterion", recipes,
                         acts(), ranges_of(&Place::criterion, kCriteria)));
  out.push_back(table_of("S077", "every method: what it does, and the data of it", recipes, acts(),
                         ranges_of(&Place::data, kData)));
  out.push_back(table_of("S209", "what adapts to the input, and what is done", recipes,
                         ranges_of(&Place::adapts, {Adapts::kNothing, Adapts::kOutput,
                                                    Adapts::kGraph, Adapts::kInput}),
                         acts()));
  const In trained = [](const Place& p) { return p.moment == Moment::kDuring; };
  out.push_back(
      table_of("S263", "kinds of compression, and whether a choice knows the hardware", recipes,
               {{"pruning, unstructured", removes(Pattern::kElements)},
                {"pruning, semi-structured", removes(Pattern::kGroups)},
                {"pruning, structured", removes(Pattern::kWhole)},
                {"pruning, tokens",
                 [](const Place& p) { return p.does(Act::kPruned) && p.adapts == Adapts::kInput; }},
                {"quantization after training",
                 [](const Place& p) { return p.does(Act::kQuantized) && is_after(p); }},
                {"quantization-aware training",
                 [=](const Place& p) { return p.does(Act::kQuantized) && trained(p); }},
                {"quantization, mixed", does({Act::kQuantized, Act::kAllocated})},
                {"low rank", does({Act::kFactored})},
                {"distillation", does({Act::kDistilled})}},
               {{"any machine", [](const Place& p) { return !p.knows_hardware; }},
                {"measured on one", [](const Place& p) { return p.knows_hardware; }}}));
  return out;
}

}  // namespace pith::recipe
