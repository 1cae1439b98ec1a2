// Where published methods stand in the axes that surveys sort by, and which cells of these nobody
// fills here.
//
//   S077  "A Survey on Deep Neural Network Pruning": what the hardware gains of it, when, by which
//         criterion, and with what else it is fused
//   S209  "A Survey on Dynamic Neural Networks": which component adapts to an input
//   S263  "Vision-Language Models for Edge Networks": pruning, quantization, distillation, low
//   rank,
//         and whether a choice knows the hardware
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pith::recipe {

struct Recipe;

// What is done to the weights; a method may do several.
enum class Act : uint8_t {
  kQuantized,    // fewer bits for each
  kPruned,       // some are removed
  kFactored,     // products of smaller matrices in their place, or beside them
  kTransformed,  // another basis, scales or rotations first
  kAllocated,    // shares of a budget, or of an error, are given to parts
  kCoded,        // what is left is entropy-coded; alone, nothing is lost
  kDistilled,    // a teacher's outputs train it
};
// What goes, of methods that remove: "speedup" in S077.
enum class Pattern : uint8_t {
  kElements,  // unstructured
  kGroups,    // semi-structured: n of m, blocks
  kWhole,     // structured: rows, columns, ranks, heads, layers; runs faster anywhere
};
enum class Criterion : uint8_t {
  kUnset,
  kNothing,      // elements are treated alike
  kMagnitude,    // the weights' own size or error
  kActivation,   // sizes of inputs
  kFirstOrder,   // gradients
  kSecondOrder,  // curvature, or second moments of inputs or gradients
  kTried,        // what the model, or a part of it, loses when it is run
};
enum class Moment : uint8_t { kUnset, kBefore, kDuring, kOneShot, kIterative };  // of training
enum class Data : uint8_t { kUnset, kNone, kText, kGradients };  // text: inputs of calibration
// To the input at hand: a component of S209.
enum class Adapts : uint8_t { kUnset, kNothing, kOutput, kGraph, kInput };

struct Place {
  std::vector<Act> acts;          // at least one
  std::vector<Pattern> patterns;  // of methods that remove; of others none
  Criterion criterion = Criterion::kUnset;
  Moment moment = Moment::kUnset;  // after training: in one shot, or over several steps
  Data data = Data::kUnset;
  Adapts adapts = Adapts::kUnset;
  bool knows_hardware = false;  // chooses by what is measured on a machine

  bool does(Act act) const;
};

std::string_view name(Act act);
std::string_view name(Pattern pattern);
std::string_view name(Criterion criterion);
std::string_view name(Moment moment);
std::string_view name(Data data);
std::string_view name(Adapts adapts);

// What is missing or makes no sense: "removes, but says no pattern"; empty: all is well.
std::string what_is_wrong(const Place& place);

// A table of one survey's axes: which recipes are in each cell.
struct SurveyTable {
  std::string_view survey;  // "S077"
  std::string title;        // what rows and columns are
  std::vector<std::string_view> columns;
  struct Row {
    std::string_view name;
    std::vector<std::vector<std::string_view>> cells;  // names of recipes; of each column
  };
  std::vector<Row> rows;
};
std::vector<SurveyTable> survey_tables(std::span<const Recipe> recipes);

}  // namespace pith::recipe
