#include "pith/kv/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "pith/base/random.h"
#include "pith/form/arguments.h"
#include "pith/kv/head_axes.h"
#include "pith/kv/past.h"

namespace pith::kv {
namespace {

using form::Arguments;
using form::Expression;
using form::Percent;
using form::Value;

constexpr std::array<std::string_view, 2> kBy = {"channel", "token"};
constexpr std::array<std::string_view, 2> kReadsBy = {"bound", "mean"};
constexpr std::array<std::string_view, 2> kPositions = {"text", "cache"};
constexpr std::array<std::string_view, 3> kPrompts = {"pieces", "whole", "asked"};
constexpr std::array<std::string_view, 2> kRanks = {"searched", "equal"};
constexpr std::array<std::string_view, 6> kShares = {"even",      "falling", "entropy",
                                                     "attention", "classes", "weights"};
constexpr std::array<std::string_view, 3> kAmong = {"layer", "all", "layers"};
constexpr std::array<std::string_view, 2> kCut = {"even", "spans"};
constexpr int64_t kMostGroups = 1024;
constexpr int64_t kMostTokens = int64_t{1} << 32;

Value word(std::string_view n) { return Expression::call(std::string(n)); }

void read_classes(const Expression& e, Budget& budget) {
  const Arguments args(e, {"ratio", "moving", "part", "heads"});
  budget.ratio = args.number("ratio", 1e-3, 1e3, 2);
  budget.moving.emplace(form::to_string(args.expression("moving")));
  if (budget.moving->needs_queries() || budget.moving->has_rest())
    throw args.wrong("moving", "a policy without `relevance` and without a rest");
  if (args.has("part") && args.has("heads")) throw args.wrong("part", "left out beside `heads`");
  if (args.has("part")) budget.part = args.fraction("part");
  if (!args.has("heads")) return;
  budget.heads = args.text("heads");
  if (budget.heads.empty() || budget.heads.find_first_not_of("01") != std::string::npos)
    throw args.wrong("heads", "a 0 or 1 for each head, as \"0110\"");
}

// "1 0.5 2"
std::vector<double> numbers_of(const Arguments& args, std::string_view name) {
  const std::string text = args.text(name);
  std::vector<double> out;
  const char *at = text.data(), *const end = at + text.size();
  while (true) {
    while (at != end && *at == ' ') ++at;
    if (at == end) break;
    double number = 0;
    const auto read = std::from_chars(at, end, number);
    const bool whole = read.ptr == end || *read.ptr == ' ';
    if (read.ec != std::errc() || !whole || !std::isfinite(number) || number < 0)
      throw args.wrong(name, "numbers from 0 on, one for each head, as \"1 0.5 2\"");
    out.push_back(number);
    at = read.ptr;
  }
  if (out.empty()) throw args.wrong(name, "a number for each head, as \"1 0.5 2\"");
  return out;
}

void read_shares(const Expression& e, Budget& budget) {
  const auto found = std::ranges::find(kShares, e.is_call() ? e.name() : "");
  if (found == kShares.end())
    throw e.place().error(ErrorKind::kUsage,
                          "cache: `shares` must be even, falling(2), entropy, attention, "
                          "classes(2, moving=top(recency)) or weights(\"1 2\")");
  budget.shares = static_cast<Budget::Shares>(found - kShares.begin());
  if (budget.shares == Budget::Shares::kFalling) {
    budget.ratio = Arguments(e, {"ratio"}).number("ratio", 1, 1e6, 2);
  } else if (budget.shares == Budget::Shares::kClasses) {
    read_classes(e, budget);
  } else if (budget.shares == Budget::Shares::kEntropy) {
    const Arguments args(e, {"groups", "ratio"});
    budget.groups = static_cast<uint64_t>(args.integer("groups", 1, kMostGroups, 1));
    budget.ratio = args.number("ratio", 1, 1e6, 2);
  } else if (budget.shares == Budget::Shares::kAttention) {
    budget.among = static_cast<Budget::Among>(Arguments(e, {"among"}).choice("among", kAmong, 0));
  } else if (budget.shares == Budget::Shares::kWeights) {
    budget.weights = numbers_of(Arguments(e, {"of"}), "of");
  } else {
    Arguments(e, {});
  }
}

Expression classes(const Budget& b);

Expression shares_of(const Budget& b) {
  const auto call = [&](std::vector<form::Argument> args) {
    return Expression::call(std::string(kShares[static_cast<size_t>(b.shares)]), std::move(args));
  };
  switch (b.shares) {
    case Budget::Shares::kFalling:
      return call({{"ratio", Value(b.ratio)}});
    case Budget::Shares::kClasses:
      return classes(b);
    case Budget::Shares::kEntropy:
      if (b.groups == 1) return call({});
      return call({{"groups", Value(b.groups)}, {"ratio", Value(b.ratio)}});
    case Budget::Shares::kAttention:
      if (b.among == Budget::Among::kLayer) return call({});
      return call({{"among", word(kAmong[static_cast<size_t>(b.among)])}});
    case Budget::Shares::kWeights:
      return call({{"of", Value(fmt::format("{}", fmt::join(b.weights, " ")))}});
    case Budget::Shares::kEven:
      break;
  }
  return call({});
}

Expression classes(const Budget& b) {
  std::vector<form::Argument> args = {{"ratio", Value(b.ratio)},
                                      {"moving", Value(form::parse(b.moving->text()))}};
  args.push_back(b.heads.empty() ? form::Argument{"part", Value(Percent{100 * b.part})}
                                 : form::Argument{"heads", Value(b.heads)});
  return Expression::call("classes", std::move(args));
}

std::optional<Budget> amount_of(const Arguments& args, std::string_view name) {
  const Value* v = args.find(name);
  if (v == nullptr) return {};
  Budget out;
  if (v->get_if<int64_t>() != nullptr) {
    out.tokens = static_cast<uint64_t>(args.integer(name, 1, kMostTokens));
  } else if (v->get_if<Percent>() != nullptr) {
    out.share = args.fraction(name);
  } else {
    throw args.wrong(name, "a number of tokens or a share of them, as 256 or 25%");
  }
  return out;
}

std::optional<AxesOptions> axes_of(const Arguments& args) {
  if (!args.has("profile")) {
    for (const std::string_view other : {"kept", "ranks", "rest"}) {
      if (args.has(other)) throw args.wrong(other, "left out without a profile");
    }
    return {};
  }
  if (args.has("keep"))
    throw args.wrong("profile", "left out with `keep`: what stays is not known by its position");
  AxesOptions axes;
  axes.path = args.text("profile");
  axes.profile = load_profile(axes.path);
  if (!axes.profile->of_single_heads())
    throw args.wrong(
        "profile", "of heads by themselves (pith kv profile --joined head): a head is read alone");
  axes.kept = args.fraction("kept", 1);
  axes.ranks = static_cast<Ranks>(args.choice("ranks", kRanks, 0));
  if (args.has("rest")) axes.rest = args.expression("rest");
  return axes;
}

void add_axes(const AxesOptions& axes, std::vector<form::Argument>& args) {
  args.push_back({"profile", Value(axes.path)});
  args.push_back({"kept", Value(axes.kept)});
  args.push_back({"ranks", word(kRanks[static_cast<size_t>(axes.ranks)])});
  if (axes.rest) args.push_back({"rest", Value(*axes.rest)});
}

Value amount(const Budget& b) {
  return b.tokens ? Value(*b.tokens) : Value(Percent{100 * b.share});
}

std::optional<Budget> budget_of(const Arguments& args) {
  std::optional<Budget> out = amount_of(args, "budget");
  if (out && !out->tokens && !(out->share > 0)) throw args.wrong("budget", "more than 0%");
  if (out && args.has("shares")) read_shares(args.expression("shares"), *out);
  return out;
}

std::optional<Reads> reads_of(const Arguments& args) {
  const std::optional<Budget> of = amount_of(args, "reads");
  if (!of && args.has("reads_by")) throw args.wrong("reads_by", "left out without `reads`");
  if (!of) return {};
  if (args.has("keep")) throw args.wrong("reads", "left out beside `keep`, which drops tokens");
  return Reads{*of, static_cast<Reads::By>(args.choice("reads_by", kReadsBy, 0))};
}

// That the policy and the budget go together, before there are tokens: with numbers drawn at
// random.
void try_policy(const CacheOptions& o) {
  const uint64_t count = o.window + 2 * o.tile + (o.budget ? o.budget->tokens.value_or(0) : 0);
  constexpr uint64_t kChannels = 4, kMostTried = 4096;
  const uint64_t tried = std::min(count, std::max(kMostTried, o.least(0)));
  form::Matrix keys({tried, kChannels});
  for (size_t i = 0; i < keys.values.size(); ++i)
    keys.values[i] = static_cast<float>(random_normal(1, i));
  select::AttentionRecord record(o.latest_queries());
  record.add(std::vector<float>(tried, 1));
  const select::Items items{.count = tried, .vectors = keys.view(), .attention = &record};
  const std::optional<uint64_t> budget =
      o.budget ? std::optional(o.least(o.budget->of(count))) : std::nullopt;
  o.keep->select(items, budget, o.window);
  if (o.budget && o.budget->moving) o.budget->moving->select(items, budget, o.window);
}

// That the budget has room for what stays in any case.
void check_budget(const CacheOptions& o) {
  if (o.budget && o.budget->tokens && o.least(*o.budget->tokens) > *o.budget->tokens) {
    fail(ErrorKind::kLimit,
         "a budget of {} tokens is less than the {} that stay in any case: a window of {} with a "
         "tile of {}, and what the policy never drops",
         *o.budget->tokens, o.least(*o.budget->tokens), o.window, o.tile);
  }
  try_policy(o);
}

// "256", "25%"
Budget amount_said(std::string_view wanted) {
  const bool share = wanted.ends_with('%');
  const std::string_view digits = wanted.substr(0, wanted.size() - (share ? 1 : 0));
  double number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = read.ec == std::errc() && read.ptr == digits.data() + digits.size();
  Budget out;
  if (whole && share && number > 0 && number <= 100) {
    out.share = number / 100;
  } else if (whole && !share && number >= 1 && number <= kMostTokens &&
             number == std::floor(number)) {
    out.tokens = static_cast<uint64_t>(number);
  } else {
    fail(ErrorKind::kUsage, "`{}` is not a number of tokens or a share of them, as 256 or 25%",
         wanted);
  }
  return out;
}

void check_policy(const CacheOptions& o, const Arguments& args) {
  if (o.tile % 16 != 0) throw args.wrong("tile", "a multiple of 16");
  if (o.prompts == Prompts::kAsked && !o.needs_attention())
    throw args.wrong("prompts", "asked only where attention says what stays");
  if (args.has("probes") && (!o.needs_attention() || o.latest_queries() > 0))
    throw args.wrong("probes", "left out, unless attention of all queries says what stays");
  if (o.probes <= 0) throw args.wrong("probes", "above 0%");
  if (o.balanced && (o.keys.by != By::kToken || o.axes))
    throw args.wrong("balanced", "left out, unless keys are by token and not along axes");
  if (o.cut == Cut::kSpans && (o.keep || o.axes || o.prompts == Prompts::kWhole))
    throw args.wrong("cut", "`even` with `keep`, a profile or prompts that are read whole");
  if (o.together && o.budget && o.budget->moving)
    throw args.wrong("together",
                     "left out with classes of heads, which keep tokens by other rules");
  if (!o.keep) {
    for (const std::string_view other : {"budget", "shares", "together"}) {
      if (args.has(other)) throw args.wrong(other, "left out, unless `keep` says what stays");
    }
    if (o.positions != Positions::kText) throw args.wrong("positions", "`text` without `keep`");
    return;
  }
  if (!o.budget && args.has("shares")) throw args.wrong("shares", "left out without a budget");
  if (o.keep->needs_queries())
    throw args.wrong("keep", "a policy without `relevance`, which asks for queries");
  if (o.keep->has_rest() && o.positions == Positions::kCache)
    throw args.wrong("positions", "`text` where a rest stays");
  check_budget(o);
}

}  // namespace

uint64_t Budget::of(uint64_t read) const {
  if (tokens) return *tokens;
  return static_cast<uint64_t>(std::ceil(share * static_cast<double>(read)));
}

CacheOptions CacheOptions::parse(std::string_view text) {
  const Expression e = form::parse(text);
  if (!e.is_call() || e.name() != "cache")
    return {.keys = {e, By::kChannel}, .values = {e, By::kToken}};
  const Arguments args(
      e, {"form",    "keys",  "values",   "keys_by", "values_by", "window",   "sink",   "tile",
          "profile", "kept",  "ranks",    "rest",    "keep",      "budget",   "shares", "positions",
          "prompts", "reads", "reads_by", "probes",  "balanced",  "together", "cut"});
  const auto tokens = [&](std::string_view what, int64_t least, int64_t most, int64_t otherwise) {
    return static_cast<uint64_t>(args.integer(what, least, most, otherwise));
  };
  std::optional<Expression> both;
  if (args.has("form")) both = args.expression("form");
  if (!both && (args.has("keep") || args.has("reads"))) both = form::parse("dense(f16)");
  std::optional<select::Policy> keep;
  if (args.has("keep")) keep.emplace(form::to_string(args.expression("keep")));
  constexpr auto kMost = static_cast<int64_t>(kTileTokens);
  const std::optional<AxesOptions> axes = axes_of(args);
  CacheOptions out = {
      .keys = {args.expression("keys", both), static_cast<By>(args.choice("keys_by", kBy, 0))},
      .values = {args.expression("values", both),
                 static_cast<By>(args.choice("values_by", kBy, axes ? 0 : 1))},
      .window = tokens("window", 0, kMostTokens, 128),
      .sink = tokens("sink", 0, kMostTokens, 0),
      .tile = tokens("tile", 16, kMost, kMost),
      .axes = axes,
      .keep = keep,
      .budget = budget_of(args),
      .reads = reads_of(args),
      .probes = args.fraction("probes", 1),
      .balanced = args.flag("balanced", false),
      .positions = static_cast<Positions>(args.choice("positions", kPositions, 0)),
      .prompts = static_cast<Prompts>(args.choice("prompts", kPrompts, 0)),
      .together = args.flag("together", false),
      .cut = static_cast<Cut>(args.choice("cut", kCut, 0))};
  check_policy(out, args);
  return out;
}

std::string CacheOptions::text() const {
  std::vector<form::Argument> args = {{"keys", Value(keys.form)},
                                      {"values", Value(values.form)},
                                      {"keys_by", word(kBy[static_cast<size_t>(keys.by)])},
                                      {"values_by", word(kBy[static_cast<size_t>(values.by)])},
                                      {"window", Value(window)},
                                      {"sink", Value(sink)},
                                      {"tile", Value(tile)}};
  if (axes) add_axes(*axes, args);
  if (keep) {
    args.push_back({"keep", Value(form::parse(keep->text()))});
    args.push_back({"positions", word(kPositions[static_cast<size_t>(positions)])});
  }
  if (budget) {
    args.push_back({"budget", amount(*budget)});
    args.push_back({"shares", Value(shares_of(*budget))});
  }
  if (probes < 1) args.push_back({"probes", Value(Percent{100 * probes})});
  if (together) args.push_back({"together", word("true")});
  if (cut != Cut::kEven) args.push_back({"cut", word(kCut[static_cast<size_t>(cut)])});
  if (balanced) args.push_back({"balanced", word("true")});
  if (reads) {
    args.push_back({"reads", amount(reads->of)});
    args.push_back({"reads_by", word(kReadsBy[static_cast<size_t>(reads->by)])});
  }
  args.push_back({"prompts", word(kPrompts[static_cast<size_t>(prompts)])});
  return form::to_string(Expression::call("cache", std::move(args)));
}

std::string CacheOptions::name() const {
  if (!axes) return text();
  CacheOptions named = *this;
  named.axes->path = fmt::format("{:016x}", axes->profile->id);
  return named.text();
}

void CacheOptions::check(const std::vector<uint64_t>& heads, uint64_t head_size) const {
  try {
    if (axes) axes->profile->check(heads, head_size);
  } catch (const Error& e) {
    throw e.in(axes->path);
  }
  uint64_t all = 0;
  for (const uint64_t h : heads) all += h;
  const auto named = [&](std::string_view what, size_t count) {
    if (count > 0 && count != all)
      fail(ErrorKind::kUsage, "cache: `{}` names {} heads, the model has {}", what, count, all);
  };
  if (!budget) return;
  named("heads", budget->heads.size());
  named("weights", budget->weights.size());
}

CacheOptions CacheOptions::with_budget(std::string_view wanted) const {
  if (!keep)
    fail(ErrorKind::kUsage, "a budget is of tokens, and this cache keeps all of them: {}", text());
  const Budget said = amount_said(wanted);
  CacheOptions out = *this;
  if (!out.budget) out.budget.emplace();
  out.budget->tokens = said.tokens;
  out.budget->share = said.share;
  check_budget(out);
  return out;
}

uint64_t CacheOptions::tile_bits(uint64_t head_size) const {
  if (axes) {
    check(axes->profile->heads, head_size);
    const auto heads = head_axes(*this);
    // A few of them tell enough: it is asked for before every session.
    constexpr size_t kAsked = 8;
    uint64_t sum = 0, count = 0;
    for (size_t h = 0; h < heads.size(); h += (heads.size() + kAsked - 1) / kAsked, ++count)
      sum += heads[h]->tile_bits(tile);
    return count == 0 ? 0 : (sum + count - 1) / count;
  }
  std::vector<float> numbers(tile * head_size);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(random_normal(1, i));
  Past past;
  past.add(*this, numbers.data(), numbers.data(), tile, head_size);
  return past.bits();
}

uint64_t CacheOptions::least(uint64_t wanted) const {
  const uint64_t most = window + tile - 1;  // that lie as they are
  uint64_t out = std::max(wanted, keep ? keep->least(wanted, most) : most);
  if (budget && budget->moving) out = std::max(out, budget->moving->least(wanted, most));
  return out;
}

uint64_t CacheOptions::kept(uint64_t read) const {
  return budget && !keep->has_rest() ? std::min(read, least(budget->of(read))) : read;
}

}  // namespace pith::kv
