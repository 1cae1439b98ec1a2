#include <algorithm>
#include <cmath>

#include "broadcast.h"
#include "operation.h"

namespace pith::network {
namespace {

template <class F>
Operation unary(F f) {
  return [f](const Step& s) {
    const std::span<const float> x = s.in(0).floats();
    std::vector<float> y(x.size());
    std::ranges::transform(x, y.begin(), f);
    return only(s.in(0).dims(), std::move(y));
  };
}

// On floats, or on integers where both are.
template <class F>
Operation binary(F f) {
  return [f](const Step& s) {
    const Tensor &a = s.in(0), &b = s.in(1);
    const Pairing p(a.dims(), b.dims());
    if (a.is_float()) return only(p.dims, paired<float>(p, a.floats(), b.floats(), f));
    return only(p.dims, paired<int64_t>(p, a.integers(), b.integers(), f));
  };
}

template <class F>
Operation comparison(F f) {
  return [f](const Step& s) {
    const Tensor &a = s.in(0), &b = s.in(1);
    const Pairing p(a.dims(), b.dims());
    if (a.is_float()) return only(p.dims, paired<int64_t>(p, a.floats(), b.floats(), f));
    return only(p.dims, paired<int64_t>(p, a.integers(), b.integers(), f));
  };
}

// Integers wrap as two's complement, so that no input is undefined behaviour.
template <class T, class F>
T wrapped(T a, T b, F f) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(f(static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
  } else {
    return f(a, b);
  }
}

template <class T>
T divided(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) fail(ErrorKind::kData, "an integer is divided by zero");
    if (b == -1) return wrapped(T{0}, a, std::minus<>());
  }
  return a / b;
}

// Of Pow, whose exponent may be an integer.
std::vector<Tensor> power(const Step& s) {
  const auto as_float = [](const Tensor& t) {
    if (t.is_float()) return t;
    const std::span<const int64_t> v = t.integers();
    return Tensor(t.dims(), std::vector<float>(v.begin(), v.end()));
  };
  const Tensor a = as_float(s.in(0)), b = as_float(s.in(1));
  const Pairing p(a.dims(), b.dims());
  return only(p.dims, paired<float>(p, a.floats(), b.floats(), [](float x, float y) {
                return y == 2 ? x * x : std::pow(x, y);
              }));
}

// Bounds are attributes up to opset 10, inputs from there on.
Operation clip(const Making& m) {
  const float least = m.attributes.number("min", -HUGE_VALF);
  const float most = m.attributes.number("max", HUGE_VALF);
  return [least, most](const Step& s) {
    const auto bound = [&](size_t k, float otherwise) {
      if (!s.has(k)) return otherwise;
      const std::span<const float> v = s.in(k).floats();
      if (v.size() != 1) fail(ErrorKind::kData, "a bound of {} elements", v.size());
      return v[0];
    };
    const float low = bound(1, least), high = bound(2, most);
    const std::span<const float> x = s.in(0).floats();
    std::vector<float> y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = std::min(std::max(x[i], low), high);
    return only(s.in(0).dims(), std::move(y));
  };
}

Operation hard_sigmoid(const Making& m) {
  const float alpha = m.attributes.number("alpha", 0.2F), beta = m.attributes.number("beta", 0.5F);
  return unary([=](float x) { return std::clamp(alpha * x + beta, 0.0F, 1.0F); });
}

Operation leaky(const Making& m) {
  const float alpha = m.attributes.number("alpha", 0.01F);
  return unary([=](float x) { return x < 0 ? alpha * x : x; });
}

Operation gelu(const Making& m) {
  if (m.attributes.text("approximate", "none") == "tanh") {
    return unary([](float x) {
      return 0.5F * x * (1 + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
    });
  }
  return unary([](float x) { return 0.5F * x * (1 + std::erf(x * 0.7071067812F)); });
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

void add_unary(OperatorTable& t) {
  t["Relu"] = [](const Making&) { return unary([](float x) { return x > 0 ? x : 0.0F; }); };
  t["Sigmoid"] = [](const Making&) { return unary(sigmoid); };
  t["Tanh"] = [](const Making&) { return unary([](float x) { return std::tanh(x); }); };
  t["Erf"] = [](const Making&) { return unary([](float x) { return std::erf(x); }); };
  t["Exp"] = [](const Making&) { return unary([](float x) { return std::exp(x); }); };
  t["Log"] = [](const Making&) { return unary([](float x) { return std::log(x); }); };
  t["Sqrt"] = [](const Making&) { return unary([](float x) { return std::sqrt(x); }); };
  t["Neg"] = [](const Making&) { return unary([](float x) { return -x; }); };
  t["Abs"] = [](const Making&) { return unary([](float x) { return std::abs(x); }); };
  t["Floor"] = [](const Making&) { return unary([](float x) { return std::floor(x); }); };
  t["Reciprocal"] = [](const Making&) { return unary([](float x) { return 1 / x; }); };
  t["HardSwish"] = [](const Making&) {
    return unary([](float x) { return x * std::clamp(x / 6 + 0.5F, 0.0F, 1.0F); });
  };
  t["Gelu"] = gelu;
  t["HardSigmoid"] = hard_sigmoid;
  t["LeakyRelu"] = leaky;
  t["Clip"] = clip;
}

void add_binary(OperatorTable& t) {
  t["Add"] = [](const Making&) {
    return binary([](auto a, auto b) { return wrapped(a, b, std::plus<>()); });
  };
  t["Sub"] = [](const Making&) {
    return binary([](auto a, auto b) { return wrapped(a, b, std::minus<>()); });
  };
  t["Mul"] = [](const Making&) {
    return binary([](auto a, auto b) { return wrapped(a, b, std::multiplies<>()); });
  };
  t["Div"] = [](const Making&) { return binary([](auto a, auto b) { return divided(a, b); }); };
  t["Pow"] = [](const Making&) -> Operation { return power; };
  t["Equal"] = [](const Making&) { return comparison([](auto a, auto b) { return a == b; }); };
  t["Less"] = [](const Making&) { return comparison([](auto a, auto b) { return a < b; }); };
  t["Greater"] = [](const Making&) { return comparison([](auto a, auto b) { return a > b; }); };
}

}  // namespace

void add_elementwise(OperatorTable& table) {
  add_unary(table);
  add_binary(table);
}

}  // namespace pith::network
