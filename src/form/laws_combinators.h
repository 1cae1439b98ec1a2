// Random expressions of the forms that are made of others.
#pragma once

#include <rapidcheck.h>

#include <functional>

#include "pith/form/expression.h"

namespace pith::form {

class RandomCombinator {
 public:
  // Forms that the combinators are to be made of.
  explicit RandomCombinator(std::function<Expression()> part) : part_(std::move(part)) {}

  Expression operator()() const {
    switch (number(0, 6)) {
      case 0:
        return tiles();
      case 4:
        return call("transpose", {{"", Value(part_())}});
      case 1:
        return Expression::basis(basis(), part_());
      case 2:
        return blockdiag();
      case 3:
        return constant();
      default:
        return product();
    }
  }

  Expression basis() const {
    switch (number(0, 8)) {
      case 0:
        return call("permutation", {{"seed", Value(number(0, 3))}});
      case 1:
        return call("permutation", {{"stride", Value(number(1, 9))}});
      case 2:
        return call("permutation", {{"by", Value(call("norm"))}});
      case 3:
        return call("dct");
      case 4:
        return call("dct", {{"block", Value(number(1, 70))}});
      case 5:
        return call("wavelet", {{"", Value(call("db4"))}});
      case 6:
        return call("wavelet", {{"levels", Value(number(1, 5))}});
      case 7:
        return call("pca");
      default:
        return call("pca", {{"block", Value(number(1, 20))}});
    }
  }

 private:
  static int64_t number(int64_t least, int64_t most) {
    return *rc::gen::inRange<int64_t>(least, most + 1);
  }
  static Expression call(std::string name, std::vector<Argument> args = {}) {
    return Expression::call(std::move(name), std::move(args));
  }
  Expression part(std::optional<Range> rows, std::optional<Range> cols) const {
    std::vector<Argument> args = {{"", Value(part_())}};
    if (rows) args.push_back({"rows", Value(*rows)});
    if (cols) args.push_back({"cols", Value(*cols)});
    return call("part", std::move(args));
  }

  Expression constant() const {
    switch (number(0, 2)) {
      case 0:
        return call("zeros");
      case 1:
        return call("constant");
      default:
        return call("constant", {{"", 0.1}});
    }
  }

  Expression tiles() const {
    const int64_t r = number(-5, 5), c = number(-80, 80);
    const Range top{0, r}, bottom{r, {}}, left{0, c}, right{c, {}};
    const bool count_up = r >= 0 && c >= 0;
    switch (number(0, count_up ? 2 : 1)) {
      case 0:  // 0..-5 and -5.. also fit matrices that have fewer rows
        return call("tiles", {{"", Value(part(top, {}))}, {"", Value(part(bottom, {}))}});
      case 1:
        return call("tiles", {{"", Value(part({}, left))}, {"", Value(part({}, right))}});
      default:
        return call("tiles", {{"", Value(part(top, left))},
                              {"", Value(part(bottom, {}))},
                              {"", Value(part(top, right))}});
    }
  }

  Expression blockdiag() const {
    std::vector<Argument> args;
    if (number(0, 1)) {
      args.push_back({"", Value(number(1, 40))});
    } else {
      args.push_back({"blocks", Value(number(1, 9))});
    }
    if (number(0, 2) == 0) args.push_back({"values", Value(part_())});
    return call("blockdiag", std::move(args));
  }

  Expression product() const {
    const auto square = [&] {
      switch (number(0, 3)) {
        case 0:
          return call("permutation", {{"stride", Value(number(1, 9))}});
        case 1:
          return call("wavelet", {{"levels", Value(number(1, 5))}});
        case 2:
          return call("dct");
        default:
          return blockdiag();
      }
    };
    // Neither square nor more than one factor.
    const auto general = [&] {
      Expression e = part_();
      const bool plain = e.kind() != Expression::Kind::kProduct && e.name() != "blockdiag";
      return plain ? e : call("dense");
    };
    std::vector<Expression> factors;
    if (number(0, 1)) factors.push_back(square());
    factors.push_back(general());
    if (number(0, 1)) factors.push_back(square());
    if (factors.size() == 1 || number(0, 1)) {
      if (number(0, 1)) factors.push_back(call("rank", {{"", Value(number(1, 8))}}));
      factors.push_back(general());
    }
    return Expression::product(std::move(factors));
  }

  std::function<Expression()> part_;
};

}  // namespace pith::form
