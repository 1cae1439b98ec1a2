#include "pith/kv/options.h"

#include <array>

#include "pith/base/random.h"
#include "pith/form/arguments.h"
#include "pith/kv/past.h"

namespace pith::kv {
namespace {

using form::Arguments;
using form::Expression;
using form::Value;

constexpr std::array<std::string_view, 2> kBy = {"channel", "token"};
constexpr int64_t kMostTokens = int64_t{1} << 32;

Value name(std::string_view n) { return Expression::call(std::string(n)); }

}  // namespace

CacheOptions CacheOptions::parse(std::string_view text) {
  const Expression e = form::parse(text);
  if (!e.is_call() || e.name() != "cache")
    return {.keys = {e, By::kChannel}, .values = {e, By::kToken}};
  const Arguments args(e, {"keys", "values", "keys_by", "values_by", "window", "sink"});
  const auto tokens = [&](std::string_view what, int64_t otherwise) {
    return static_cast<uint64_t>(args.integer(what, 0, kMostTokens, otherwise));
  };
  return {.keys = {args.expression("keys"), static_cast<By>(args.choice("keys_by", kBy, 0))},
          .values = {args.expression("values"), static_cast<By>(args.choice("values_by", kBy, 1))},
          .window = tokens("window", 128),
          .sink = tokens("sink", 0)};
}

std::string CacheOptions::text() const {
  return form::to_string(
      Expression::call("cache", {{"keys", Value(keys.form)},
                                 {"values", Value(values.form)},
                                 {"keys_by", name(kBy[static_cast<size_t>(keys.by)])},
                                 {"values_by", name(kBy[static_cast<size_t>(values.by)])},
                                 {"window", Value(window)},
                                 {"sink", Value(sink)}}));
}

uint64_t CacheOptions::tile_bits(uint64_t head_size) const {
  std::vector<float> numbers(kTileTokens * head_size);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(random_normal(1, i));
  Past past;
  past.add(*this, numbers.data(), numbers.data(), kTileTokens, head_size);
  return past.bits();
}

}  // namespace pith::kv
