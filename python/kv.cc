// Keys and values as bytes.
#include <pybind11/stl.h>

#include <cstring>

#include "bindings.h"
#include "buffers.h"
#include "pith/base/error.h"
#include "pith/kv/chunk_coding.h"

namespace pith::python {
namespace {

namespace py = pybind11;
using Shape = std::vector<uint64_t>;  // layers, heads, tokens, channels

std::vector<float> floats_of(const py::object& data, uint64_t count) {
  const Buffer buffer(data);
  if (buffer.bytes().size() != checked_mul(count, sizeof(float)))
    fail(ErrorKind::kUsage, "{} bytes are not what the shape needs", buffer.bytes().size());
  std::vector<float> out(count);
  if (count > 0) std::memcpy(out.data(), buffer.bytes().data(), buffer.bytes().size());
  return out;
}

kv::Arrays arrays_of(const py::object& keys, const py::object& values, const Shape& shape,
                     uint64_t first) {
  if (shape.size() != 4) fail(ErrorKind::kUsage, "keys and values have four dimensions");
  uint64_t count = 1;
  for (const uint64_t n : shape) count = checked_mul(count, n);
  return {.heads = std::vector<uint64_t>(shape[0], shape[1]),
          .first = first,
          .tokens = shape[2],
          .head_size = shape[3],
          .keys = floats_of(keys, count),
          .values = floats_of(values, count)};
}

py::bytes bytes_of(const Bytes& b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }

double checked_base(double base) {
  if (!(base >= 1 && base <= 1e12)) fail(ErrorKind::kUsage, "base is from 1 to 1e12, not {}", base);
  return base;
}

py::bytes compress(const py::object& keys, const py::object& values, const Shape& shape,
                   const std::string& coding, std::optional<double> base, bool neighbours,
                   uint64_t first, int threads) {
  const kv::Arrays arrays = arrays_of(keys, values, shape, first);
  const Bytes out = [&] {
    py::gil_scoped_release unlocked;
    kv::ChunkCoding how = kv::ChunkCoding::parse(coding);
    if (base) how = how.with_rotation({.base = checked_base(*base), .neighbours = neighbours});
    return how.encode(arrays, threads);
  }();
  return bytes_of(out);
}

// Keys, values, their shape and the position of the first token.
py::tuple restore(const py::object& data, const py::object& profile, int threads) {
  const Buffer buffer(data);
  std::shared_ptr<const kv::Profile> known;
  if (!profile.is_none()) {
    const Buffer bytes(profile);
    known = std::make_shared<const kv::Profile>(kv::read_profile(bytes.bytes()));
  }
  const kv::Arrays a = [&] {
    py::gil_scoped_release unlocked;
    return kv::decode_chunk(buffer.bytes(), known, threads);
  }();
  for (const uint64_t h : a.heads) {
    if (h != a.heads[0])
      fail(ErrorKind::kUsage, "layers with unlike numbers of heads fit no array");
  }
  const auto floats = [](const std::vector<float>& v) {
    return py::bytes(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(float));
  };
  const Shape shape = {a.heads.size(), a.heads.empty() ? 0 : a.heads[0], a.tokens, a.head_size};
  return py::make_tuple(floats(a.keys), floats(a.values), shape, a.first);
}

py::bytes profile(const std::vector<std::tuple<py::object, py::object, Shape, uint64_t>>& caches,
                  const std::string& joined, double base, bool neighbours, int threads) {
  kv::ProfileOptions options{.rotation = {.base = checked_base(base), .neighbours = neighbours}};
  if (joined != "all" && joined != "layer" && joined != "head")
    fail(ErrorKind::kUsage, "joined is 'all', 'layer' or 'head', not '{}'", joined);
  options.joined = joined == "all"     ? kv::Joined::kAll
                   : joined == "layer" ? kv::Joined::kLayer
                                       : kv::Joined::kHead;
  std::vector<kv::Arrays> all;
  for (const auto& [keys, values, shape, first] : caches)
    all.push_back(arrays_of(keys, values, shape, first));
  const Bytes out = [&] {
    py::gil_scoped_release unlocked;
    return kv::fit_profile(all, options, threads).bytes();
  }();
  return bytes_of(out);
}

}  // namespace

void bind_kv(py::module_& m) {
  m.def("kv_compress", &compress, py::arg("keys"), py::arg("values"), py::arg("shape"),
        py::arg("coding"), py::arg("base"), py::arg("neighbours"), py::arg("first"),
        py::arg("threads"));
  m.def("kv_restore", &restore, py::arg("data"), py::arg("profile"), py::arg("threads"));
  m.def("kv_profile", &profile, py::arg("caches"), py::arg("joined"), py::arg("base"),
        py::arg("neighbours"), py::arg("threads"));
}

}  // namespace pith::python
