// The arguments of a call, read by the names that its form gives them.
//
//   // uniform(4), uniform(bits=4) and uniform(4, group=16) are all well.
//   const Arguments args(expression, {"bits", "group"});
//   const int64_t bits = args.integer("bits", 2, 8);
//   const int64_t group = args.integer("group", 1, 1 << 20, 128);  // 128 when not given
//
// What is missing, of another kind or outside its limits throws ErrorKind::kUsage with its place
// in the text: "uniform: `bits` must be an integer from 2 to 8, got 9".
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/form/expression.h"

namespace pith::form {

class Arguments {
 public:
  // Arguments without a key belong to the parameters in this order. Throws for anything but a
  // call, for keys that are none of the parameters, for too many arguments and for one given twice.
  Arguments(const Expression& call, std::span<const std::string_view> parameters);
  Arguments(const Expression& call, std::initializer_list<std::string_view> parameters)
      : Arguments(call, std::span(parameters.begin(), parameters.size())) {}

  const std::string& form() const { return call_.name(); }
  bool has(std::string_view parameter) const { return find(parameter) != nullptr; }
  // For parameters that take values of several kinds; nullptr when not given.
  const Value* find(std::string_view parameter) const;

  // Each getter throws when the argument is missing, unless there is something to take instead.
  int64_t integer(std::string_view parameter, int64_t least, int64_t most,
                  std::optional<int64_t> otherwise = {}) const;
  // An integer or a decimal.
  double number(std::string_view parameter, double least, double most,
                std::optional<double> otherwise = {}) const;
  // 2% or 0.02, from 0 to 1.
  double fraction(std::string_view parameter, std::optional<double> otherwise = {}) const;
  Ratio ratio(std::string_view parameter, std::optional<Ratio> otherwise = {}) const;
  Range range(std::string_view parameter, std::optional<Range> otherwise = {}) const;
  bool flag(std::string_view parameter, std::optional<bool> otherwise = {}) const;  // true, false
  std::string text(std::string_view parameter,
                   const std::optional<std::string>& otherwise = {}) const;
  std::string name(std::string_view parameter,
                   const std::optional<std::string>& otherwise = {}) const;
  // The place of the name in `choices`.
  size_t choice(std::string_view parameter, std::span<const std::string_view> choices,
                std::optional<size_t> otherwise = {}) const;
  Expression expression(std::string_view parameter,
                        const std::optional<Expression>& otherwise = {}) const;

  // The error of a value that is not what the form needs: "uniform: `bits` must be WANTED, got 9";
  // "… is missing: it must be WANTED" when not given.
  Error wrong(std::string_view parameter, std::string_view wanted) const;

 private:
  struct Bound {
    std::string parameter;
    const Value* value;
  };
  template <class T, class Read>
  T get(std::string_view parameter, std::string_view wanted, const std::optional<T>& otherwise,
        const Read& read) const;

  Expression call_;
  std::vector<Bound> bound_;
};

}  // namespace pith::form
