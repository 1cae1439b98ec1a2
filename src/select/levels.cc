#include "levels.h"

#include <algorithm>
#include <numeric>

#include "pith/base/error.h"
#include "pith/form/arguments.h"
#include "score_names.h"

namespace pith::select {
namespace {

using form::Argument;
using form::Expression;

Levels rest_of(const Expression& e) {
  const auto args = e.arguments();
  const Expression* form = args.size() == 1 ? args[0].value.get_if<Expression>() : nullptr;
  if (form == nullptr)
    throw e.place().error(ErrorKind::kUsage, "rest takes one form: rest(uniform(2))");
  return {.parts = {{*form}}};
}

Levels::Part part_of(const Expression& e) {
  const form::Arguments args(e, {"form", "n"});
  return {args.expression("form"), amount_of(args, "n")};
}

Levels tiles_of(const Expression& e) {
  constexpr const char* kHow =
      "tiles takes a score and parts: tiles(attention, part(uniform(4), 30%), part(uniform(2)))";
  Levels out;
  for (const Argument& a : e.arguments()) {
    const auto* value = a.value.get_if<Expression>();
    if (value == nullptr || !a.key.empty()) throw e.place().error(ErrorKind::kUsage, kHow);
    if (!out.score) {
      check_score(*value);
      out.score = *value;
      continue;
    }
    if (!value->is_call() || value->name() != "part")
      throw value->place().error(ErrorKind::kUsage, kHow);
    if (!out.parts.empty() && out.parts.back().amount.open())
      throw value->place().error(ErrorKind::kUsage,
                                 "the part before takes all: only the last has no number");
    out.parts.push_back(part_of(*value));
  }
  if (out.parts.empty()) throw e.place().error(ErrorKind::kUsage, kHow);
  return out;
}

std::vector<uint32_t> dropped(const Selection& s) {
  std::vector<uint32_t> out;
  for (uint32_t i = 0, next = 0; i < s.count; ++i) {
    if (next < s.kept.size() && s.kept[next] == i) {
      ++next;
    } else {
      out.push_back(i);
    }
  }
  return out;
}

}  // namespace

Levels levels_of(const Expression& e) { return e.name() == "rest" ? rest_of(e) : tiles_of(e); }

void keep_rests(const Levels& levels, const Items& items, Selection& s) {
  std::vector<uint32_t> left = dropped(s);
  if (left.empty()) return;
  if (levels.score) {
    const std::vector<float> scores = score(*levels.score, items);
    std::ranges::stable_sort(left, [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  }
  size_t at = 0;
  for (const Levels::Part& p : levels.parts) {
    const size_t wanted = p.amount.open() ? left.size() : p.amount.of(left.size());
    const size_t end = std::min(left.size(), at + wanted);
    if (end == at) continue;
    std::vector<uint32_t> of(left.begin() + static_cast<std::ptrdiff_t>(at),
                             left.begin() + static_cast<std::ptrdiff_t>(end));
    std::ranges::sort(of);
    s.rests.push_back({p.form, std::move(of)});
    at = end;
  }
}

}  // namespace pith::select
