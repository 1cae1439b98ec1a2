#include "pith/select/policy.h"

#include <algorithm>

#include "keepers.h"
#include "levels.h"
#include "mergers.h"
#include "pith/base/error.h"
#include "score_names.h"

namespace pith::select {

using form::Expression;

struct Step {
  std::vector<Keeper> keepers = {};  // one of the three
  std::optional<Merger> merger = {};
  std::optional<Levels> levels = {};
};

namespace {

using Kind = Expression::Kind;

bool is_call(const Expression& e, std::string_view name) { return e.is_call() && e.name() == name; }

// The terms of a step, and what comes after its `|`. In the notation of forms `|` binds closer than
// `+`: it hangs on the last term.
std::optional<Expression> split(const Expression& e, std::vector<Expression>& terms) {
  if (e.kind() == Kind::kBasis) {
    std::optional<Expression> after = split(e.operands()[0], terms);
    if (after) throw e.place().error(ErrorKind::kUsage, "write steps as a | b | c");
    return e.operands()[1];
  }
  if (e.kind() != Kind::kSum) {
    terms.push_back(e);
    return {};
  }
  std::optional<Expression> after;
  for (const Expression& term : e.operands()) {
    if (after)
      throw term.place().error(ErrorKind::kUsage, "`|` stands after the last of the terms");
    after = split(term, terms);
  }
  return after;
}

std::vector<Step> steps_of(const Expression& whole) {
  std::vector<Step> steps;
  for (std::optional<Expression> e = whole; e;) {
    std::vector<Expression> terms;
    const std::optional<Expression> after = split(*e, terms);
    Step step;
    const Expression& first = terms[0];
    if (terms.size() == 1 && is_call(first, "merge")) {
      step.merger = merger_of(first);
    } else if (terms.size() == 1 && (is_call(first, "rest") || is_call(first, "tiles"))) {
      if (after)
        throw first.place().error(ErrorKind::kUsage, first.name() + "(…) is the last step");
      step.levels = levels_of(first);
    } else {
      for (const Expression& term : terms) step.keepers.push_back(keeper_of(term));
    }
    const bool after_keepers = !steps.empty() && !steps.back().keepers.empty();
    if (step.keepers.empty() && !after_keepers)
      throw first.place().error(
          ErrorKind::kUsage,
          fmt::format("{} stands after keepers: a + b | {}(…)", first.name(), first.name()));
    steps.push_back(std::move(step));
    e = after;
  }
  return steps;
}

Selection kept_by(const std::vector<Keeper>& keepers, const Items& items,
                  std::optional<uint64_t> budget, uint64_t window) {
  uint64_t room = std::min(budget.value_or(items.count), items.count);
  std::vector<bool> taken(items.count);
  uint64_t held = std::min(window, items.count);
  std::fill(taken.end() - static_cast<std::ptrdiff_t>(held), taken.end(), true);
  const auto let = [&](const Keeper& k, uint64_t most) {
    take(k, items, most, taken);
    held = static_cast<uint64_t>(std::ranges::count(taken, true));
  };
  for (const Keeper& k : keepers) {
    if (k.must()) let(k, items.count);
  }
  if (budget && held > room) {
    fail(ErrorKind::kLimit, "{} items must stay, and the budget is {}", held, *budget);
  }
  for (const Keeper& k : keepers) {
    if (k.must()) continue;
    if (k.amount.open() && !k.takes_as_they_are() && !budget)
      fail(ErrorKind::kUsage, "a policy with a keeper without a number needs a budget");
    let(k, room - held);
  }
  Selection s{.count = items.count};
  for (uint32_t i = 0; i < taken.size(); ++i) {
    if (taken[i]) s.kept.push_back(i);
  }
  return s;
}

// What the items that stay are, for the next step.
struct Left {
  form::Matrix vectors;
  AttentionRecord attention;
  Items items;  // views of the above

  Left(const Left&) = delete;
  Left& operator=(const Left&) = delete;
  Left(const Items& before, const Selection& s)
      : attention(before.attention ? *before.attention : AttentionRecord()), items(before) {
    items.count = s.kept.size();
    if (before.vectors.data != nullptr) {
      vectors = kept_rows(s, before.vectors);
      items.vectors = vectors.view();
    }
    if (before.attention != nullptr) {
      attention.keep(s);
      items.attention = &attention;
    }
  }
};

// The budget is for what the last keepers leave.
size_t budgeted(const std::vector<Step>& steps) {
  size_t last = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!steps[i].keepers.empty()) last = i;
  }
  return last;
}

template <class See>
void for_scores(const std::vector<Step>& steps, const See& see) {
  for (const Step& step : steps) {
    for (const Keeper& k : step.keepers) {
      if (k.score) see(*k.score);
    }
    if (step.merger && step.merger->weight) see(*step.merger->weight);
    if (step.levels && step.levels->score) see(*step.levels->score);
  }
}

}  // namespace

Policy::Policy(std::string_view text)
    : expression_(form::parse(text)),
      steps_(std::make_shared<const std::vector<Step>>(steps_of(expression_))) {}

Selection Policy::select(const Items& items, std::optional<uint64_t> budget,
                         uint64_t window) const {
  const std::vector<Step>& steps = *steps_;
  const size_t last = budgeted(steps);
  Selection so_far = everything(items.count);
  for (size_t i = 0; i < steps.size();) {
    std::optional<Left> left;  // the first step has what there is, as it is
    if (i > 0) left.emplace(items, so_far);
    const Items& among = left ? left->items : items;
    Selection s = kept_by(steps[i].keepers, among, i == last ? budget : std::nullopt, window);
    for (++i; i < steps.size() && steps[i].keepers.empty(); ++i) {
      if (steps[i].merger) merge(*steps[i].merger, among, s);
      if (steps[i].levels) keep_rests(*steps[i].levels, among, s);
    }
    so_far = in_sequence(so_far, s);
  }
  return so_far;
}

bool Policy::needs_attention() const {
  bool needs = false;
  for_scores(*steps_, [&](const Expression& e) { needs |= uses_attention(e); });
  return needs;
}

bool Policy::needs_all_attention() const {
  bool needs = false;
  for_scores(*steps_, [&](const Expression& e) { needs |= uses_all_attention(e); });
  return needs;
}

bool Policy::needs_vectors() const {
  bool needs = false;
  for_scores(*steps_, [&](const Expression& e) { needs |= uses_vectors(e); });
  for (const Step& step : *steps_) {
    needs |= step.merger && step.merger->by_vectors();
    for (const Keeper& k : step.keepers) needs |= k.kind == Keeper::Kind::kCenters;
  }
  return needs;
}

bool Policy::needs_queries() const {
  bool needs = false;
  for_scores(*steps_, [&](const Expression& e) { needs |= uses_queries(e); });
  return needs;
}

uint64_t Policy::least(uint64_t count, uint64_t window) const {
  uint64_t sink = 0;
  for (const Keeper& k : steps_->at(budgeted(*steps_)).keepers) {
    if (!k.must()) continue;
    uint64_t& most = k.kind == Keeper::Kind::kSink ? sink : window;
    most = std::max(most, k.amount.of(count));
  }
  return sink + window;
}

uint64_t Policy::latest() const {
  uint64_t most = 0;
  for_scores(*steps_, [&](const Expression& e) { most = std::max(most, latest_of(e)); });
  return most;
}

bool Policy::has_rest() const { return steps_->back().levels.has_value(); }

std::string Policy::text() const { return form::to_string(expression_); }

}  // namespace pith::select
