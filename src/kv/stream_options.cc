#include <fmt/core.h>

#include <array>
#include <cmath>

#include "pith/base/error.h"
#include "pith/form/arguments.h"
#include "pith/kv/stream.h"

namespace pith::kv {
namespace {

using form::Argument;
using form::Arguments;
using form::Expression;
using form::Value;

constexpr std::array<std::string_view, 4> kDeltas = {"none", "mean", "previous", "anchor"};
constexpr std::array<std::string_view, 3> kModels = {"channel", "layer", "shared"};
constexpr std::array<std::string_view, 2> kSteps = {"equal", "dynamic"};
constexpr std::array<std::string_view, 2> kRanks = {"searched", "equal"};
constexpr std::array<std::string_view, 2> kRope = {"kept", "undone"};
constexpr int64_t kLevels = 12;
constexpr double kFinest = 0.125;  // the step of level 0

Value word(std::string_view n) { return Expression::call(std::string(n)); }
void read_fineness(const Arguments& args, StreamOptions& o) {
  if (args.has("step") + args.has("bits") + args.has("level") > 1)
    throw args.wrong("level", "alone: of `level`, `step` and `bits` one says how fine it is");
  const auto level = static_cast<double>(args.integer("level", 0, kLevels, 4));
  o.step = args.number("step", 1e-4, 1e3, kFinest * std::exp2(level / 2));
  if (args.has("bits")) o.bits = args.number("bits", 0.01, 16);
}

void read_rotation(const Arguments& args, StreamOptions& o) {
  const bool undone = args.choice("rope", kRope, 1) == 1;
  if (!undone && (args.has("base") || args.has("neighbours")))
    throw args.wrong(args.has("base") ? "base" : "neighbours", "left out where rope=kept");
  if (!undone) o.rotation.reset();
  if (!undone) return;
  o.rotation = {args.number("base", 1, 1e12, 10000), args.flag("neighbours", false)};
  o.base_open = !args.has("base");
  o.neighbours_open = !args.has("neighbours");
}

void read_profile(const Arguments& args, StreamOptions& o) {
  for (const std::string_view of : {"kept", "ranks", "steps"}) {
    if (!args.has("profile") && args.has(of)) throw args.wrong(of, "left out without a profile");
  }
  if (!args.has("profile")) return;
  for (const std::string_view not_of : {"rope", "base", "neighbours", "deeper", "deltas"}) {
    if (args.has(not_of)) throw args.wrong(not_of, "left out with a profile");
  }
  o.profile_path = args.text("profile");
  o.profile = load_profile(o.profile_path);
  o.rotation = o.profile->rotation;
  o.base_open = o.neighbours_open = false;
  o.deltas = Deltas::kNone;
  o.kept = args.fraction("kept", 1);
  o.ranks = static_cast<Ranks>(args.choice("ranks", kRanks, 0));
  o.steps = static_cast<Steps>(args.choice("steps", kSteps, 0));
  if (o.steps == Steps::kDynamic && !o.bits)
    throw args.wrong("steps", "equal where no `bits` are given");
}

}  // namespace

StreamOptions StreamOptions::parse(const Expression& call) {
  const Arguments args(call, {"level", "step", "bits", "deeper", "deltas", "group", "models",
                              "rope", "base", "neighbours", "profile", "kept", "ranks", "steps"});
  StreamOptions o;
  read_fineness(args, o);
  o.deeper = args.number("deeper", 0.1, 10, 1);
  o.deltas = static_cast<Deltas>(args.choice("deltas", kDeltas, 1));
  o.group = static_cast<uint64_t>(args.integer("group", 2, 4096, 10));
  if (args.has("group") && o.deltas < Deltas::kPrevious)
    throw args.wrong("group", "left out but for deltas=anchor and deltas=previous");
  o.models = static_cast<Models>(args.choice("models", kModels, 0));
  read_rotation(args, o);
  read_profile(args, o);
  return o;
}

std::string StreamOptions::text() const {
  std::vector<Argument> a;
  a.push_back(bits ? Argument{"bits", Value(*bits)} : Argument{"step", Value(step)});
  a.push_back({"models", word(kModels[static_cast<size_t>(models)])});
  if (!profile_path.empty()) {
    a.push_back({"profile", Value(profile_path)});
    a.push_back({"kept", Value(kept)});
    a.push_back({"ranks", word(kRanks[static_cast<size_t>(ranks)])});
    a.push_back({"steps", word(kSteps[static_cast<size_t>(steps)])});
    return form::to_string(Expression::call("stream", a));
  }
  a.push_back({"deeper", Value(deeper)});
  a.push_back({"deltas", word(kDeltas[static_cast<size_t>(deltas)])});
  if (deltas >= Deltas::kPrevious) a.push_back({"group", Value(group)});
  a.push_back({"rope", word(kRope[rotation ? 1 : 0])});
  if (rotation && !base_open) a.push_back({"base", Value(rotation->base)});
  if (rotation && !neighbours_open)
    a.push_back({"neighbours", word(rotation->neighbours ? "true" : "false")});
  return form::to_string(Expression::call("stream", a));
}

std::string StreamOptions::name() const {
  StreamOptions named = *this;
  named.base_open = named.neighbours_open = false;
  if (profile) named.profile_path = fmt::format("{:016x}", profile->id);
  return named.text();
}

StreamOptions StreamOptions::with_rotation(const Rotation& of_model) const {
  if (profile) {
    try {
      profile->check_rotation(of_model);
    } catch (const Error& e) {
      throw e.in(profile_path);
    }
  }
  if (!rotation || profile) return *this;
  if (!base_open && rotation->base != of_model.base)
    fail(ErrorKind::kUsage, "`base` is {}, but the model's is {}: leave it out", rotation->base,
         of_model.base);
  if (!neighbours_open && rotation->neighbours != of_model.neighbours)
    fail(ErrorKind::kUsage, "`neighbours` is {}, but of the model {}: leave it out",
         rotation->neighbours, of_model.neighbours);
  StreamOptions out = *this;
  out.rotation = of_model;
  return out;
}

}  // namespace pith::kv
