#include "improve.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <queue>

namespace pith::budget {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Move {
  double rate = 0;   // value saved for a share of the slacks
  double value = 0;  // saved
  size_t part = 0, option = 0;

  // For a queue whose top is the best, the first part among equals.
  bool operator<(const Move& other) const {
    if (rate != other.rate) return rate < other.rate;
    if (value != other.value) return value < other.value;
    return part > other.part;
  }
};

bool leaves_room(const Table& table, size_t from, size_t to, std::span<const double> left) {
  for (size_t k = 0; k < left.size(); ++k) {
    if (table.weights(to)[k] - table.weights(from)[k] > left[k]) return false;
  }
  return true;
}

// The shares of the slacks that a change takes, without those that it gives back.
double taken(const Table& table, size_t from, size_t to) {
  double sum = 0;
  for (size_t k = 0; k < table.limits(); ++k) {
    sum += std::max(0.0, table.weights(to)[k] - table.weights(from)[k]) / table.slack[k];
  }
  return sum;
}

std::optional<Move> best_move(const Table& table, size_t part, size_t from,
                              std::span<const double> left) {
  std::optional<Move> best;
  for (size_t to = table.first[part]; to < table.first[part + 1]; ++to) {
    const double saved = table.value[from] - table.value[to];
    if (!(saved > 0) || !leaves_room(table, from, to, left)) continue;
    const double share = taken(table, from, to);
    const Move move{share > 0 ? saved / share : kInfinity, saved, part, to};
    if (!best || *best < move) best = move;
  }
  return best;
}

void apply(const Table& table, size_t& option, size_t to, std::vector<double>& left) {
  for (size_t k = 0; k < left.size(); ++k) {
    left[k] -= table.weights(to)[k] - table.weights(option)[k];
  }
  option = to;
}

bool improve_once(const Table& table, Choice& choice, std::vector<double>& left) {
  std::priority_queue<Move> moves;
  const auto consider = [&](size_t part) {
    if (const auto move = best_move(table, part, choice[part], left)) moves.push(*move);
  };
  for (size_t i = 0; i < table.parts(); ++i) consider(i);
  bool changed = false;
  while (!moves.empty()) {
    const Move move = moves.top();
    moves.pop();
    if (leaves_room(table, choice[move.part], move.option, left)) {
      apply(table, choice[move.part], move.option, left);
      changed = true;
    }
    consider(move.part);
  }
  return changed;
}

double excess(const Table& table, size_t from, size_t to, std::span<const double> left) {
  double sum = 0;
  for (size_t k = 0; k < left.size(); ++k) {
    const double after = left[k] - (table.weights(to)[k] - table.weights(from)[k]);
    sum += std::max(0.0, -after / table.slack[k]);
  }
  return sum;
}

// What a change costs: value, and weight at its price.
double expense(const Table& table, std::span<const double> prices, size_t from, size_t to) {
  double sum = table.value[to] - table.value[from];
  for (size_t k = 0; k < prices.size(); ++k) {
    sum += prices[k] * (table.weights(to)[k] - table.weights(from)[k]) / table.slack[k];
  }
  return std::max(0.0, sum);
}

}  // namespace

void improve(const Table& table, Choice& choice) {
  std::vector<double> left = left_of(table, choice);
  // With one limit nothing that did not fit ever will; with several, a change can make room.
  while (improve_once(table, choice, left) && table.limits() > 1) {
  }
}

bool repair(const Table& table, std::span<const double> prices, Choice& choice) {
  std::vector<double> left = left_of(table, choice);
  while (!fits(left)) {
    double least = kInfinity;
    std::optional<Move> best;
    for (size_t i = 0; i < table.parts(); ++i) {
      const double now = excess(table, choice[i], choice[i], left);
      for (size_t to = table.first[i]; to < table.first[i + 1]; ++to) {
        const double less = now - excess(table, choice[i], to, left);
        if (!(less > 1e-15 * now)) continue;
        const double rate = expense(table, prices, choice[i], to) / less;
        if (rate < least || !best) {
          least = rate;
          best = Move{rate, 0, i, to};
        }
      }
    }
    if (!best) return false;
    apply(table, choice[best->part], best->option, left);
  }
  return fits(left_of(table, choice));
}

}  // namespace pith::budget
