#include "pith/form/arguments.h"

#include <algorithm>

#include "number.h"
#include "pith/io/text.h"

namespace pith::form {
namespace {

// A value as messages repeat it.
std::string shown(const Value& value) {
  constexpr size_t kShown = 40;
  std::string text;
  try {
    text = to_string(value);
  } catch (const Error&) {
    return "a longer form";
  }
  if (text.size() <= kShown) return text;
  size_t end = kShown;
  while (io::utf8_sequence(text, end) == 0) --end;
  return text.substr(0, end) + "…";
}

std::string listed(std::span<const std::string_view> names, std::string_view last) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? last : ", ";
    out += fmt::format("`{}`", names[i]);
  }
  return out;
}

std::string takes(std::span<const std::string_view> parameters) {
  return parameters.empty() ? "it takes no arguments" : "it takes " + listed(parameters, " and ");
}

std::string number_text(double number) {
  std::string out;
  append_number(number, out);
  return out;
}

std::optional<double> number_of(const Value& v) {
  if (const auto* integer = v.get_if<int64_t>()) return static_cast<double>(*integer);
  const auto* decimal = v.get_if<double>();
  return decimal ? std::optional(*decimal) : std::nullopt;
}

const std::string* name_of(const Value& v) {
  const auto* e = v.get_if<Expression>();
  return e && e->is_name() ? &e->name() : nullptr;
}

template <class T>
std::optional<T> exactly(const Value& v) {
  const T* found = v.get_if<T>();
  return found ? std::optional(*found) : std::nullopt;
}

}  // namespace

Arguments::Arguments(const Expression& call, std::span<const std::string_view> parameters)
    : call_(call) {
  if (!call.is_call()) {
    throw call.place().error(ErrorKind::kUsage, "this must be one form: name or name(…)");
  }
  const auto refuse = [&](const Value& v, const std::string& why) -> void {
    throw v.place().error(ErrorKind::kUsage, fmt::format("{}: {}", form(), why));
  };
  size_t position = 0;
  for (const Argument& a : call_.arguments()) {
    if (a.key.empty() && position == parameters.size()) {
      refuse(a.value, "too many arguments; " + takes(parameters));
    }
    const std::string_view parameter =
        a.key.empty() ? parameters[position++] : std::string_view(a.key);
    if (std::ranges::find(parameters, parameter) == parameters.end()) {
      refuse(a.value, fmt::format("no argument `{}`; {}", a.key, takes(parameters)));
    }
    if (has(parameter)) refuse(a.value, fmt::format("`{}` is given twice", parameter));
    bound_.push_back({std::string(parameter), &a.value});
  }
}

const Value* Arguments::find(std::string_view parameter) const {
  const auto at = std::ranges::find(bound_, parameter, &Bound::parameter);
  return at != bound_.end() ? at->value : nullptr;
}

Error Arguments::wrong(std::string_view parameter, std::string_view wanted) const {
  const Value* value = find(parameter);
  if (!value) {
    return call_.place().error(ErrorKind::kUsage, fmt::format("{}: `{}` is missing: it must be {}",
                                                              form(), parameter, wanted));
  }
  return value->place().error(ErrorKind::kUsage, fmt::format("{}: `{}` must be {}, got {}", form(),
                                                             parameter, wanted, shown(*value)));
}

// `read` gives the value as a T, or nothing when it is none.
template <class T, class Read>
T Arguments::get(std::string_view parameter, std::string_view wanted,
                 const std::optional<T>& otherwise, const Read& read) const {
  const Value* value = find(parameter);
  if (!value && otherwise) return *otherwise;
  const std::optional<T> found = value ? read(*value) : std::nullopt;
  if (!found) throw wrong(parameter, wanted);
  return *found;
}

int64_t Arguments::integer(std::string_view parameter, int64_t least, int64_t most,
                           std::optional<int64_t> otherwise) const {
  return get(parameter, fmt::format("an integer from {} to {}", least, most), otherwise,
             [&](const Value& v) {
               const auto found = exactly<int64_t>(v);
               return found && *found >= least && *found <= most ? found : std::nullopt;
             });
}

double Arguments::number(std::string_view parameter, double least, double most,
                         std::optional<double> otherwise) const {
  return get(parameter,
             fmt::format("a number from {} to {}", number_text(least), number_text(most)),
             otherwise, [&](const Value& v) {
               const auto found = number_of(v);
               return found && *found >= least && *found <= most ? found : std::nullopt;
             });
}

double Arguments::fraction(std::string_view parameter, std::optional<double> otherwise) const {
  return get(parameter, "a share from 0% to 100%", otherwise, [&](const Value& v) {
    const auto* percent = v.get_if<Percent>();
    const auto found = percent ? std::optional(percent->percent / 100) : number_of(v);
    return found && *found >= 0 && *found <= 1 ? found : std::nullopt;
  });
}

Ratio Arguments::ratio(std::string_view parameter, std::optional<Ratio> otherwise) const {
  return get(parameter, "a ratio n:m", otherwise, exactly<Ratio>);
}

Range Arguments::range(std::string_view parameter, std::optional<Range> otherwise) const {
  return get(parameter, "a range a..b", otherwise, exactly<Range>);
}

bool Arguments::flag(std::string_view parameter, std::optional<bool> otherwise) const {
  return get(parameter, "true or false", otherwise, [](const Value& v) -> std::optional<bool> {
    const std::string* name = name_of(v);
    if (!name || (*name != "true" && *name != "false")) return std::nullopt;
    return *name == "true";
  });
}

std::string Arguments::text(std::string_view parameter,
                            const std::optional<std::string>& otherwise) const {
  return get(parameter, "text in quotes", otherwise, exactly<std::string>);
}

std::string Arguments::name(std::string_view parameter,
                            const std::optional<std::string>& otherwise) const {
  return get(parameter, "a name", otherwise, [](const Value& v) {
    const std::string* name = name_of(v);
    return name ? std::optional(*name) : std::nullopt;
  });
}

size_t Arguments::choice(std::string_view parameter, std::span<const std::string_view> choices,
                         std::optional<size_t> otherwise) const {
  return get(parameter, listed(choices, " or "), otherwise,
             [&](const Value& v) -> std::optional<size_t> {
               const std::string* name = name_of(v);
               const auto at = name ? std::ranges::find(choices, *name) : choices.end();
               if (at == choices.end()) return std::nullopt;
               return static_cast<size_t>(at - choices.begin());
             });
}

Expression Arguments::expression(std::string_view parameter,
                                 const std::optional<Expression>& otherwise) const {
  return get(parameter, "a form", otherwise, exactly<Expression>);
}

}  // namespace pith::form
