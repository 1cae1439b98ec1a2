#include "pith/recipe/cache_sizes.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "pith/base/error.h"
#include "pith/recipe/cache_recipes.h"

namespace pith::recipe {
namespace {

using form::Argument;
using form::Expression;
using form::Percent;
using form::Value;

// What the forms of a cache become.
struct Turn {
  std::optional<int64_t> bits = {}, group = {}, rank = {};
  std::optional<std::string> type = {};
  std::optional<double> percent = {};
};

// Replaces an argument that is written: the first without a key, or the one with this key.
bool replace(std::vector<Argument>& args, std::string_view key, Value value) {
  for (Argument& a : args) {
    if (a.key != key && !(a.key.empty() && &a == args.data() && key != "group")) continue;
    a.value = std::move(value);
    return true;
  }
  return false;
}

// A share of elements, or about as many of every few, at least one.
std::optional<Value> share_of(const Value& of, double percent) {
  if (of.get_if<Percent>() != nullptr) return Value(Percent{percent});
  const auto* ratio = of.get_if<form::Ratio>();
  if (ratio == nullptr) return {};
  const double n = std::round(static_cast<double>(ratio->m) * percent / 100);
  return Value(form::Ratio{std::max(int64_t{1}, static_cast<int64_t>(n)), ratio->m});
}

// The arguments of one call, turned; whether something was.
bool turn_call(const std::string& name, const Turn& turn, std::vector<Argument>& args) {
  bool turned = false;
  if ((name == "uniform" || name == "integer") && turn.bits) {
    turned = replace(args, "bits", Value(*turn.bits));
    if (turned && turn.group) replace(args, "group", Value(*turn.group));
  } else if (name == "ggml" && turn.type) {
    turned = replace(args, "type", Value(Expression::call(*turn.type)));
  } else if (name == "sparse" && turn.percent && !args.empty()) {
    const std::optional<Value> share = share_of(args[0].value, *turn.percent);
    turned = share && replace(args, "share", *share);
  } else if (name == "lowrank" && turn.rank) {
    turned = replace(args, "rank", Value(*turn.rank));
  }
  return turned;
}

Expression turned(const Expression& e, const Turn& turn, bool& any) {
  if (e.is_call()) {
    std::vector<Argument> args(e.arguments().begin(), e.arguments().end());
    any |= turn_call(e.name(), turn, args);
    for (Argument& a : args) {
      if (a.key == "keep") continue;  // a policy, whose rest is what it is
      if (const auto* inner = a.value.get_if<Expression>())
        a.value = Value(turned(Expression(*inner), turn, any));
    }
    return Expression::call(e.name(), std::move(args));
  }
  std::vector<Expression> operands;
  for (const Expression& o : e.operands()) operands.push_back(turned(o, turn, any));
  switch (e.kind()) {
    case Expression::Kind::kSum:
      return Expression::sum(std::move(operands));
    case Expression::Kind::kProduct:
      return Expression::product(std::move(operands));
    case Expression::Kind::kBasis:
      return Expression::basis(operands[0], operands[1]);
    case Expression::Kind::kCoder:
      return Expression::coder(operands[0], operands[1]);
    default:
      return e;
  }
}

// The best known first: what is turned first is not turned otherwise.
std::vector<std::vector<Turn>> all_turns() {
  std::vector<Turn> codes, types, shares, ranks;
  for (int64_t bits = 1; bits <= 8; ++bits) {
    for (const int64_t group : {16, 32, 64, 128}) codes.push_back({.bits = bits, .group = group});
  }
  for (const char* type : {"q4_0", "q5_0", "q8_0"}) types.push_back({.type = type});
  for (int percent = 1; percent <= 99; ++percent) shares.push_back({.percent = percent});
  for (int64_t rank = 1; rank <= 64; ++rank) ranks.push_back({.rank = rank});
  return {codes, types, shares, ranks};
}

// Finer where a step is a larger part of what is kept.
std::vector<std::string> with_budgets(const kv::CacheOptions& cache) {
  std::vector<std::string> out;
  for (double share = 1; share <= 100; share += share < 25 ? 0.25 : share < 50 ? 0.5 : 1)
    out.push_back(cache.with_budget(fmt::format("{}%", share)).text());
  return out;
}

std::vector<std::string> with_axes(kv::CacheOptions cache) {
  std::vector<std::string> out;
  for (int percent = 1; percent <= 100; ++percent) {
    cache.axes->kept = percent / 100.0;
    out.push_back(cache.text());
  }
  return out;
}

std::vector<std::string> with_bits(const Expression& stream) {
  std::vector<Argument> args(stream.arguments().begin(), stream.arguments().end());
  std::erase_if(args, [](const Argument& a) {
    return a.key == "bits" || a.key == "level" || a.key == "step";
  });
  std::vector<std::string> out;
  args.push_back({"bits", Value(0.0)});
  for (int eighths = 1; eighths <= 80; ++eighths) {
    args.back().value = Value(eighths / 8.0);
    out.push_back(form::to_string(Expression::call(stream.name(), args)));
  }
  return out;
}

}  // namespace

std::vector<std::string> sizes_of_cache(std::string_view cache, uint64_t head_size) {
  if (codes_chunks(cache)) return with_bits(form::parse(chunk_coding(cache).text()));
  const kv::CacheOptions options = cache_options(cache);
  if (options.budget) return with_budgets(options);
  if (options.axes) return with_axes(options);
  const Expression whole = form::parse(options.text());
  for (const std::vector<Turn>& turns : all_turns()) {
    std::vector<std::pair<uint64_t, std::string>> sized;
    for (const Turn& turn : turns) {
      bool any = false;
      const std::string text = form::to_string(turned(whole, turn, any));
      if (!any) break;
      try {
        sized.emplace_back(kv::CacheOptions::parse(text).tile_bits(head_size), text);
      } catch (const Error&) {
        continue;  // groups that tiles of this size cannot have
      }
    }
    if (sized.empty()) continue;
    std::ranges::sort(sized);
    const auto same = std::ranges::unique(
        sized, [](const auto& a, const auto& b) { return a.second == b.second; });
    sized.erase(same.begin(), same.end());
    std::vector<std::string> out;
    for (auto& [bits, text] : sized) out.push_back(std::move(text));
    return out;
  }
  return {options.text()};
}

std::string largest_cache(std::span<const std::string> caches, double bits,
                          const std::function<double(const std::string&)>& held) {
  // The first `fits` hold no more than `bits`, those from `above` on more; the next try is where a
  // line between the two says, and in the middle when that has not found it soon.
  size_t fits = 0, above = caches.size();
  double low = 0, high = 17;
  for (int tries = 0; fits < above; ++tries) {
    const double part = tries < 5 ? (bits - low) / (high - low) : 0.5;
    const size_t at =
        std::min(fits + static_cast<size_t>(part * static_cast<double>(above - fits)), above - 1);
    const double found = held(caches[at]);
    if (found <= bits) {
      fits = at + 1;
      low = found;
    } else {
      above = at;
      high = found;
    }
  }
  return fits == 0 ? "" : caches[fits - 1];
}

}  // namespace pith::recipe
