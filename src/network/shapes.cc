// Operators that give elements other places or types, but no other values.
#include <algorithm>
#include <cmath>

#include "broadcast.h"
#include "operation.h"
#include "strided.h"

namespace pith::network {

Steps whole(const Dims& dims) {
  Steps out{dims, std::vector<int64_t>(dims.size(), 1), 0};
  for (size_t k = dims.size(); k-- > 1;) {
    out.steps[k - 1] = out.steps[k] * static_cast<int64_t>(dims[k]);
  }
  return out;
}

Tensor picked(const Tensor& from, const Steps& p) {
  return with_elements(from, [&]<class T>(std::span<const T> x) {
    std::vector<T> y(elements(p.dims));
    const uint64_t n = p.dims.empty() ? 1 : p.dims.back();
    const int64_t step = p.dims.empty() ? 0 : p.steps.back();
    std::vector<uint64_t> index(p.dims.size(), 0);
    int64_t at = p.begin;
    for (uint64_t row = 0; row < y.size(); row += n) {
      for (uint64_t i = 0; i < n; ++i)
        y[row + i] = x[static_cast<uint64_t>(at + static_cast<int64_t>(i) * step)];
      for (size_t k = p.dims.size() - (p.dims.empty() ? 0 : 1); k-- > 0;) {
        at += p.steps[k];
        if (++index[k] < p.dims[k]) break;
        at -= p.steps[k] * static_cast<int64_t>(p.dims[k]);
        index[k] = 0;
      }
    }
    return Tensor(p.dims, std::move(y));
  });
}

namespace {

Dims dims_of(const Tensor& shape) {
  Dims dims;
  for (const int64_t v : shape.integers()) {
    if (v < 0) fail(ErrorKind::kData, "a dimension of {}", v);
    dims.push_back(static_cast<uint64_t>(v));
  }
  return dims;
}

Tensor expanded(const Tensor& x, const Dims& dims) {
  Steps p{dims, {}, 0};
  for (const uint64_t step : broadcast_strides(x.dims(), dims))
    p.steps.push_back(static_cast<int64_t>(step));
  return picked(x, p);
}

// -1: what is left; 0: as it was, unless zeros are allowed.
Operation make_reshape(const Making& m) {
  const bool zeros = m.attributes.flag("allowzero", false);
  return [zeros](const Step& s) {
    const Tensor& x = s.in(0);
    Dims dims;
    std::optional<size_t> rest;
    uint64_t known = 1;
    for (const int64_t v : s.in(1).integers()) {
      if (v < -1 || (v == -1 && rest)) fail(ErrorKind::kData, "a dimension of {} in its shape", v);
      if (v == -1) rest = dims.size();
      if (v == 0 && !zeros && dims.size() >= x.rank())
        fail(ErrorKind::kData, "dimension {} is to stay but is not there", dims.size());
      const uint64_t d = v == -1            ? 1
                         : v == 0 && !zeros ? x.dim(dims.size())
                                            : static_cast<uint64_t>(v);
      dims.push_back(d);
      known = elements(dims);
    }
    if (rest && known > 0) dims[*rest] = x.size() / known;
    return std::vector{x.reshaped(std::move(dims))};
  };
}

Operation make_flatten(const Making& m) {
  const int64_t from = m.attributes.integer("axis", 1);
  return [from](const Step& s) {
    const Tensor& x = s.in(0);
    Dims dims(2, 1);
    const size_t axis = axis_of(from, x.rank(), true);
    for (size_t k = 0; k < x.rank(); ++k) dims[k < axis ? 0 : 1] *= x.dim(k);
    return std::vector{x.reshaped(std::move(dims))};
  };
}

Operation make_transpose(const Making& m) {
  const std::vector<int64_t> order = m.attributes.integers("perm");
  return [order](const Step& s) {
    const Tensor& x = s.in(0);
    const Steps from = whole(x.dims());
    Steps to{Dims(x.rank()), std::vector<int64_t>(x.rank()), 0};
    if (!order.empty() && order.size() != x.rank())
      fail(ErrorKind::kData, "an order of {} for {} dimensions", order.size(), x.rank());
    std::vector<bool> used(x.rank(), false);
    for (size_t k = 0; k < x.rank(); ++k) {
      const size_t at = order.empty() ? x.rank() - 1 - k : axis_of(order[k], x.rank());
      if (used[at]) fail(ErrorKind::kData, "dimension {} comes twice in its order", at);
      used[at] = true;
      to.dims[k] = from.dims[at];
      to.steps[k] = from.steps[at];
    }
    return std::vector{picked(x, to)};
  };
}

// Axes are an attribute up to opset 12, an input from there on.
std::vector<int64_t> axes_of(const std::vector<int64_t>& attribute, const Step& s) {
  if (!s.has(1)) return attribute;
  const std::span<const int64_t> v = s.in(1).integers();
  return {v.begin(), v.end()};
}

Operation make_squeeze(const Making& m) {
  const std::vector<int64_t> attribute = m.attributes.integers("axes");
  return [attribute](const Step& s) {
    const Tensor& x = s.in(0);
    const std::vector<int64_t> axes = axes_of(attribute, s);
    std::vector<bool> gone(x.rank(), false);
    for (const int64_t a : axes) gone[axis_of(a, x.rank())] = true;
    Dims dims;
    for (size_t k = 0; k < x.rank(); ++k) {
      if (axes.empty() ? x.dim(k) != 1 : !gone[k]) dims.push_back(x.dim(k));
    }
    return std::vector{x.reshaped(std::move(dims))};  // refuses to lose a dimension that is not 1
  };
}

Operation make_unsqueeze(const Making& m) {
  const std::vector<int64_t> attribute = m.attributes.integers("axes");
  return [attribute](const Step& s) {
    const Tensor& x = s.in(0);
    const std::vector<int64_t> axes = axes_of(attribute, s);
    const size_t rank = x.rank() + axes.size();
    std::vector<bool> fresh(rank, false);
    for (const int64_t a : axes) {
      const size_t at = axis_of(a, rank);
      if (fresh[at]) fail(ErrorKind::kData, "axis {} comes twice", a);
      fresh[at] = true;
    }
    Dims dims;
    for (size_t k = 0, old = 0; k < rank; ++k) dims.push_back(fresh[k] ? 1 : x.dim(old++));
    return std::vector{x.reshaped(std::move(dims))};
  };
}

std::vector<Tensor> shape_of(const Step& s) {
  const Dims& dims = s.in(0).dims();
  return only({dims.size()}, std::vector<int64_t>(dims.begin(), dims.end()));
}

std::vector<Tensor> expand(const Step& s) {
  const Dims dims = broadcast(s.in(0).dims(), dims_of(s.in(1)));
  return {expanded(s.in(0), dims)};
}

Operation make_constant_of_shape(const Making& m) {
  const Tensor value = m.attributes.tensor("value", Tensor(Dims{1}, std::vector<float>{0}));
  if (value.size() != 1) fail(ErrorKind::kUsage, "its value has {} elements", value.size());
  return [value](const Step& s) {
    return std::vector{expanded(value.reshaped({}), dims_of(s.in(0)))};
  };
}

std::vector<Tensor> where(const Step& s) {
  Dims dims = broadcast(s.in(0).dims(), broadcast(s.in(1).dims(), s.in(2).dims()));
  const Tensor c = expanded(s.in(0), dims), a = expanded(s.in(1), dims),
               b = expanded(s.in(2), dims);
  return with_elements(a, [&]<class T>(std::span<const T> yes) {
    std::span<const T> no;
    if constexpr (std::is_same_v<T, float>) {
      no = b.floats();
    } else {
      no = b.integers();
    }
    std::vector<T> y(yes.size());
    for (size_t i = 0; i < y.size(); ++i) y[i] = c.integers()[i] != 0 ? yes[i] : no[i];
    return only(std::move(dims), std::move(y));
  });
}

// Towards zero; what leaves the range ends at it.
int64_t to_integer(float v) {
  if (std::isnan(v)) return 0;
  if (v >= 0x1p63F) return INT64_MAX;
  return v <= -0x1p63F ? INT64_MIN : static_cast<int64_t>(v);
}

// To types by their numbers in TensorProto; floats have the precision of float32.
Operation make_cast(const Making& m) {
  const int64_t to = m.attributes.integer("to", 1);
  m.attributes.ignore("saturate");  // of 8-bit floats
  if (to != 1 && to != 6 && to != 7 && to != 9 && to != 11) {
    fail(ErrorKind::kUsage, "values of type {} are not supported", to);
  }
  const bool to_float = to == 1 || to == 11;
  return [=](const Step& s) {
    const Tensor& x = s.in(0);
    if (x.is_float() == to_float) return std::vector{x};
    if (to_float) {
      return only(x.dims(), std::vector<float>(x.integers().begin(), x.integers().end()));
    }
    std::vector<int64_t> y(x.size());
    std::ranges::transform(x.floats(), y.begin(),
                           [to](float v) { return to == 9 ? v != 0 : to_integer(v); });
    return only(x.dims(), std::move(y));
  };
}

}  // namespace

void add_shapes(OperatorTable& t) {
  t["Reshape"] = make_reshape;
  t["Flatten"] = make_flatten;
  t["Transpose"] = make_transpose;
  t["Squeeze"] = make_squeeze;
  t["Unsqueeze"] = make_unsqueeze;
  t["Shape"] = [](const Making&) -> Operation { return shape_of; };
  t["Expand"] = [](const Making&) -> Operation { return expand; };
  t["Where"] = [](const Making&) -> Operation { return where; };
  t["ConstantOfShape"] = make_constant_of_shape;
  t["Cast"] = make_cast;
  t["Identity"] = [](const Making&) -> Operation {
    return [](const Step& s) { return std::vector{s.in(0)}; };
  };
}

}  // namespace pith::network
