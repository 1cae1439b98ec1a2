// Random expressions of forms with codebooks.
#pragma once

#include <string>
#include <vector>

#include "testing.h"

namespace pith::form {

inline int64_t random_of(std::initializer_list<int64_t> choices) {
  return choices.begin()[random_below(choices.size())];
}
inline Value random_name_of(std::initializer_list<const char*> choices) {
  return Expression::call(choices.begin()[random_below(choices.size())]);
}
inline int64_t random_up_to(int64_t most) {
  return 1 + static_cast<int64_t>(random_below(static_cast<size_t>(most)));
}

// Groups of whole multiples of `unit`.
inline void add_random_scales(int64_t unit, std::vector<Argument>& args) {
  const bool number = random_below(2) == 0;
  args.push_back(
      {"group", number ? Value(unit * random_up_to(20)) : random_name_of({"row", "tensor"})});
  args.push_back({"scales", random_name_of({"f32", "f16", "bf16"})});
}

inline Expression random_codebook() {
  const int64_t dim = random_of({1, 1, 2, 3, 4, 8}), stages = random_of({1, 1, 2, 3});
  std::vector<Argument> args = {{"", Value(random_of({2, 3, 4, 8, 16, 20, 256, 300}))},
                                {"dim", Value(dim)},
                                {"stages", Value(stages)}};
  if (random_below(4) == 0) args.push_back({"rows", Value(random_up_to(4))});
  if (random_below(4) == 0) args.push_back({"columns", Value(dim * random_up_to(20))});
  if (stages > 1 && random_below(2)) args.push_back({"fit", random_name_of({"additive"})});
  if (random_below(3) == 0) args.push_back({"entries", random_name_of({"i8"})});
  if (random_below(4) != 0) add_random_scales(dim, args);
  return Expression::call("codebook", std::move(args));
}

inline Expression random_lattice() {
  if (random_below(2)) {
    std::vector<Argument> args = {{"", random_name_of({"e8"})}, {"", Value(random_up_to(5))}};
    add_random_scales(1, args);
    return Expression::call("lattice", std::move(args));
  }
  const int64_t dim = random_of({1, 2, 5, 8, 16, 24, 32});
  std::vector<Argument> args = {{"", random_name_of({"pyramid"})},
                                {"dim", Value(dim)},
                                {"k", Value(random_up_to(dim < 8 ? 40 : 20))},
                                {"gain", Value(random_of({0, 1, 4}))}};
  add_random_scales(dim, args);
  return Expression::call("lattice", std::move(args));
}

inline Expression random_trellis() {
  const int64_t bits = random_up_to(4);
  std::vector<Argument> args = {{"", Value(bits)},
                                {"states", Value(int64_t{16} << (bits + random_of({0, 0, 1, 2})))}};
  add_random_scales(1, args);
  return Expression::call("trellis", std::move(args));
}

// Any of these.
inline Expression random_codes() {
  switch (random_below(3)) {
    case 0:
      return random_codebook();
    case 1:
      return random_lattice();
    default:
      return random_trellis();
  }
}

}  // namespace pith::form
