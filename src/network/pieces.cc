// Operators that put values together and take them apart: Concat, Split, Slice, Gather, Pad.
#include <algorithm>

#include "operation.h"
#include "strided.h"

namespace pith::network {
namespace {

// Elements before and from an axis on.
struct Around {
  uint64_t outer = 1, inner = 1;
};
Around around(const Dims& dims, size_t axis) {
  Around a;
  for (size_t k = 0; k < dims.size(); ++k) (k < axis ? a.outer : a.inner) *= dims[k];
  return a;
}

template <class T>
std::span<const T> elements_of(const Tensor& t) {
  if constexpr (std::is_same_v<T, float>) {
    return t.floats();
  } else {
    return t.integers();
  }
}

Operation make_concat(const Making& m) {
  const int64_t along = m.attributes.integer("axis", 0);
  return [along](const Step& s) {
    const Tensor& first = s.in(0);
    const size_t axis = axis_of(along, first.rank());
    Dims dims = first.dims();
    dims[axis] = 0;
    for (size_t k = 0; k < s.inputs.size(); ++k) {
      Dims other = s.in(k).dims();
      if (other.size() != dims.size())
        fail(ErrorKind::kData, "input {} has {} dimensions", k, other.size());
      dims[axis] += std::exchange(other[axis], dims[axis]);
      for (size_t d = 0; d < dims.size(); ++d) {
        if (d != axis && other[d] != dims[d])
          fail(ErrorKind::kData, "input {} has another dimension {}", k, d);
      }
    }
    const uint64_t count = elements(dims), outer = around(dims, axis).outer;
    return with_elements(first, [&]<class T>(std::span<const T>) {
      std::vector<T> y;
      y.reserve(count);
      for (uint64_t o = 0; o < outer; ++o) {
        for (size_t k = 0; k < s.inputs.size(); ++k) {
          const std::span<const T> x = elements_of<T>(s.in(k));
          const uint64_t inner = around(s.in(k).dims(), axis).inner;
          y.insert(y.end(), x.begin() + static_cast<std::ptrdiff_t>(o * inner),
                   x.begin() + static_cast<std::ptrdiff_t>((o + 1) * inner));
        }
      }
      return only(dims, std::move(y));
    });
  };
}

// Sizes are an attribute up to opset 12, an input from there on; none: equal ones.
Operation make_split(const Making& m) {
  const int64_t along = m.attributes.integer("axis", 0);
  const std::vector<int64_t> attribute = m.attributes.integers("split");
  m.attributes.ignore("num_outputs");
  return [along, attribute, count = m.node.outputs.size()](const Step& s) {
    const Tensor& x = s.in(0);
    const size_t axis = axis_of(along, x.rank());
    std::vector<int64_t> sizes = attribute;
    if (s.has(1)) sizes.assign(s.in(1).integers().begin(), s.in(1).integers().end());
    const auto all = static_cast<int64_t>(x.dim(axis)), n = static_cast<int64_t>(count);
    for (int64_t k = 0; sizes.size() < count; ++k) {
      const int64_t one = (all + n - 1) / n;
      sizes.push_back(std::clamp<int64_t>(all - k * one, 0, one));
    }
    std::vector<Tensor> out;
    int64_t left = all;
    for (size_t k = 0; k < count; ++k) {
      Steps p = whole(x.dims());
      if (sizes[k] < 0 || sizes[k] > left)
        fail(ErrorKind::kData, "pieces that do not fill {} elements", all);
      p.begin = (all - left) * p.steps[axis];
      p.dims[axis] = static_cast<uint64_t>(sizes[k]);
      left -= sizes[k];
      out.push_back(picked(x, p));
    }
    if (left != 0 || sizes.size() != count)
      fail(ErrorKind::kData, "pieces that do not fill {} elements", all);
    return out;
  };
}

// Elements begin, begin + step, … before `end` of n.
void slice(Steps& p, size_t axis, int64_t begin, int64_t end, int64_t step) {
  const auto n = static_cast<int64_t>(p.dims[axis]);
  if (step == 0 || step == INT64_MIN) fail(ErrorKind::kData, "a step of {}", step);
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  if (begin < 0) begin = begin < -n ? -1 : begin + n;
  if (end < 0) end = end < -n ? -1 : end + n;
  begin = std::clamp(begin, step > 0 ? 0 : std::min<int64_t>(0, high), high);
  end = std::clamp(end, low, n);
  const int64_t room = step > 0 ? end - begin : begin - end, by = step > 0 ? step : -step;
  p.dims[axis] = room <= 0 || n == 0 ? 0 : static_cast<uint64_t>((room - 1) / by + 1);
  if (p.dims[axis] == 0) return;
  p.begin += begin * p.steps[axis];
  if (p.dims[axis] > 1) p.steps[axis] *= step;
}

// Begins, ends, axes and steps are attributes up to opset 9, inputs from there on.
Operation make_slice(const Making& m) {
  const bool by_attributes = m.attributes.has("starts");
  const std::vector<int64_t> lists[] = {m.attributes.integers("starts"),
                                        m.attributes.integers("ends"),
                                        m.attributes.integers("axes")};
  return [=, begins = lists[0], ends = lists[1], axes = lists[2]](const Step& s) {
    const auto list = [&](size_t k, const std::vector<int64_t>& attribute) {
      if (by_attributes || !s.has(k)) return attribute;
      const std::span<const int64_t> v = s.in(k).integers();
      return std::vector<int64_t>(v.begin(), v.end());
    };
    const Tensor& x = s.in(0);
    const std::vector<int64_t> from = list(1, begins), to = list(2, ends);
    std::vector<int64_t> along = list(3, axes), steps = list(4, {});
    for (size_t k = along.size(); k < from.size(); ++k) along.push_back(static_cast<int64_t>(k));
    steps.resize(std::max(steps.size(), from.size()), 1);
    if (to.size() != from.size())
      fail(ErrorKind::kData, "{} begins and {} ends", from.size(), to.size());
    Steps p = whole(x.dims());
    std::vector<bool> used(x.rank(), false);
    for (size_t k = 0; k < from.size(); ++k) {
      const size_t axis = axis_of(along[k], x.rank());
      if (used[axis]) fail(ErrorKind::kData, "axis {} comes twice", axis);
      used[axis] = true;
      slice(p, axis, from[k], to[k], steps[k]);
    }
    return std::vector{picked(x, p)};
  };
}

Operation make_gather(const Making& m) {
  const int64_t along = m.attributes.integer("axis", 0);
  return [along](const Step& s) {
    const Tensor &x = s.in(0), &index = s.in(1);
    const size_t axis = axis_of(along, x.rank());
    const Around a = around(x.dims(), axis);
    const uint64_t n = x.dim(axis), inner = n == 0 ? 0 : a.inner / n;
    Dims dims(x.dims().begin(), x.dims().begin() + static_cast<std::ptrdiff_t>(axis));
    dims.insert(dims.end(), index.dims().begin(), index.dims().end());
    dims.insert(dims.end(), x.dims().begin() + static_cast<std::ptrdiff_t>(axis) + 1,
                x.dims().end());
    const uint64_t count = elements(dims);
    return with_elements(x, [&]<class T>(std::span<const T> from) {
      std::vector<T> y;
      y.reserve(count);
      for (uint64_t o = 0; o < a.outer; ++o) {
        for (const int64_t i : index.integers()) {
          const auto row = from.subspan((o * n + axis_of(i, n)) * inner, inner);
          y.insert(y.end(), row.begin(), row.end());
        }
      }
      return only(dims, std::move(y));
    });
  };
}

// Zeros or another constant around a value.
Operation make_pad(const Making& m) {
  if (m.attributes.text("mode", "constant") != "constant")
    fail(ErrorKind::kUsage, "its mode is not supported");
  const std::vector<int64_t> attribute = m.attributes.integers("pads");
  const float value = m.attributes.number("value", 0);
  return [attribute, value](const Step& s) {
    const Tensor& x = s.in(0);
    std::vector<int64_t> pads = attribute;
    if (s.has(1)) pads.assign(s.in(1).integers().begin(), s.in(1).integers().end());
    if (s.has(3)) fail(ErrorKind::kData, "axes of padding are not supported");
    if (pads.size() != 2 * x.rank())
      fail(ErrorKind::kData, "{} pads for {} dimensions", pads.size(), x.rank());
    Dims dims = x.dims();
    for (size_t k = 0; k < pads.size(); ++k) {
      if (pads[k] < 0 || pads[k] > static_cast<int64_t>(kMostElements))
        fail(ErrorKind::kData, "a pad of {}", pads[k]);
      dims[k % x.rank()] += static_cast<uint64_t>(pads[k]);
    }
    float fill = value;
    if (s.has(2) && s.in(2).size() == 1) fill = s.in(2).floats()[0];
    std::vector<float> y(elements(dims), fill);
    const Steps to = whole(dims);
    const uint64_t n = x.rank() == 0 ? 1 : x.dims().back();
    for (uint64_t at = 0; at < x.size(); at += n) {
      uint64_t rest = at, place = 0;
      for (size_t k = x.rank(); k-- > 0; rest /= x.dim(k)) {
        place +=
            (rest % x.dim(k) + static_cast<uint64_t>(pads[k])) * static_cast<uint64_t>(to.steps[k]);
      }
      std::ranges::copy(x.floats().subspan(at, n), y.begin() + static_cast<std::ptrdiff_t>(place));
    }
    return only(std::move(dims), std::move(y));
  };
}

}  // namespace

void add_pieces(OperatorTable& table) {
  table["Concat"] = make_concat;
  table["Split"] = make_split;
  table["Slice"] = make_slice;
  table["Gather"] = make_gather;
  table["Pad"] = make_pad;
}

}  // namespace pith::network
