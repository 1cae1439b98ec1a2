#include "eval_network.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>

#include "network_inputs.h"
#include "output.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/base/random.h"
#include "pith/io/onnx.h"
#include "pith/network/network.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;
using network::Tensor;

// The file of an archive that holds a network; throws ErrorKind::kUsage unless there is one.
size_t network_file(const archive::Archive& archive, const std::string& path) {
  std::vector<size_t> found;
  for (size_t i = 0; i < archive.files().size(); ++i) {
    if (archive.files()[i].format == "onnx") found.push_back(i);
  }
  if (found.size() != 1) {
    fail(ErrorKind::kUsage, "{}: holds {} networks, not one", path, found.size());
  }
  return found[0];
}

struct Opened {
  io::OnnxGraph file;
  uint64_t bytes = 0;  // with external data
};

// External data are read where they lie; of an archive's network all must be in its one file.
Opened open_network(const std::string& path) {
  if (path.ends_with(".onnx")) return {io::read_onnx_graph(path), fs::file_size(path)};
  const auto archive = archive::Archive::open(path);
  const size_t file = network_file(archive, path);
  Bytes bytes;
  archive.extract_file(file,
                       [&](ByteView more) { bytes.insert(bytes.end(), more.begin(), more.end()); });
  return {io::read_onnx_graph(Buffer(std::move(bytes)), path), fs::file_size(path)};
}

Tensor random_input(const io::OnnxValue& value, size_t number, uint64_t samples) {
  network::Dims dims;
  for (size_t k = 0; k < value.shape.size(); ++k) {
    if (!value.shape[k] && k > 0) {
      fail(ErrorKind::kUsage, "input {}: its shape is not known beforehand; give --inputs",
           value.name);
    }
    dims.push_back(value.shape[k].value_or(samples));
  }
  if (!value.dtype || !(*value.dtype == DType::kF32 || *value.dtype == DType::kF16)) {
    fail(ErrorKind::kUsage, "input {}: only floats are made up; give --inputs", value.name);
  }
  std::vector<float> values(network::elements(dims));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(random_normal(number, i));
  }
  return {std::move(dims), std::move(values)};
}

struct Ran {
  std::vector<Tensor> outputs;
  double seconds = std::numeric_limits<double>::infinity();  // the best of three
};

Ran run(const io::OnnxGraph& file, const std::vector<Tensor>& inputs, int threads) {
  const network::Network net(network::graph_of(file));
  Ran ran;
  for (int k = 0; k < 3; ++k) {
    const auto start = std::chrono::steady_clock::now();
    ran.outputs = net.run(inputs, {.threads = thread_count(threads)});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    ran.seconds = std::min(ran.seconds, took.count());
  }
  return ran;
}

struct Difference {
  double error = 0;         // squares of differences over squares
  double worst = 0;         // the largest difference, as a share of the largest element
  double same_largest = 0;  // share of rows (of the last dimension) with the largest in one place
};

double share(double part, double whole) {
  if (whole > 0) return part / whole;
  return part > 0 ? std::numeric_limits<double>::infinity() : 0;
}

Difference difference(std::span<const float> made, std::span<const float> true_values,
                      uint64_t width) {
  Difference d;
  double squares = 0, most = 0;
  for (size_t i = 0; i < made.size(); ++i) {
    const double off = std::abs(double{made[i]} - true_values[i]);
    d.error += off * off;
    squares += double{true_values[i]} * true_values[i];
    d.worst = std::max(d.worst, off);
    most = std::max(most, std::abs(double{true_values[i]}));
  }
  d.error = share(d.error, squares);
  d.worst = share(d.worst, most);
  const uint64_t rows = width == 0 ? 0 : made.size() / width;
  for (uint64_t r = 0; r < rows; ++r) {
    const auto largest = [&](std::span<const float> values) {
      const auto row = values.subspan(r * width, width);
      return std::ranges::max_element(row) - row.begin();
    };
    d.same_largest += largest(made) == largest(true_values) ? 1.0 / static_cast<double>(rows) : 0;
  }
  return d;
}

}  // namespace

bool is_network(const std::string& path) {
  if (path.ends_with(".onnx")) return true;
  if (!path.ends_with(".pith") || !fs::is_regular_file(path)) return false;
  const auto archive = archive::Archive::open(path);
  return std::ranges::any_of(archive.files(), [](const auto& f) { return f.format == "onnx"; });
}

void eval_network(const NetworkEvalArguments& a) {
  if (a.against.empty()) {
    fail(ErrorKind::kUsage, "a network is compared with the original: give --against FILE.onnx");
  }
  const Opened subject = open_network(a.model), original = open_network(a.against);
  std::vector<Tensor> inputs;
  if (a.inputs.empty()) {
    for (const io::OnnxValue& value : original.file.inputs) {
      inputs.push_back(random_input(value, inputs.size(), a.samples));
    }
  } else {
    inputs = read_inputs(original.file.inputs, a.inputs);
  }
  const Ran ours = run(subject.file, inputs, a.threads);
  const Ran theirs = run(original.file, inputs, a.threads);
  if (ours.outputs.size() != theirs.outputs.size()) {
    fail(ErrorKind::kUsage, "{}: has {} outputs, {} has {}", a.model, ours.outputs.size(),
         a.against, theirs.outputs.size());
  }
  Table table({"output", "shape", ">error", ">worst", ">same largest"});
  Json rows = Json::array();
  for (size_t k = 0; k < ours.outputs.size(); ++k) {
    const Tensor &x = ours.outputs[k], &y = theirs.outputs[k];
    const std::string& name = original.file.outputs[k].name;
    if (x.dims() != y.dims()) fail(ErrorKind::kUsage, "output {}: has another shape", name);
    if (!y.is_float()) continue;
    const Difference d = difference(x.floats(), y.floats(), y.dims().empty() ? 1 : y.dims().back());
    table.row({name, shape_text(y.dims()), fmt::format("{:.2e}", d.error),
               fmt::format("{:.2e}", d.worst), fmt::format("{:.4f}", d.same_largest)});
    rows.push_back({{"output", name},
                    {"shape", y.dims()},
                    {"error", d.error},
                    {"worst", d.worst},
                    {"same_largest", d.same_largest}});
  }
  if (a.json) {
    return print_json({{"model", a.model},
                       {"against", a.against},
                       {"bytes", subject.bytes},
                       {"against_bytes", original.bytes},
                       {"seconds", ours.seconds},
                       {"against_seconds", theirs.seconds},
                       {"outputs", rows}});
  }
  write_stdout(
      fmt::format("{}: {} beside {} of {}; {:.4g} s for these inputs, {:.4g} s the original\n{}",
                  a.model, size_text(subject.bytes), size_text(original.bytes), a.against,
                  ours.seconds, theirs.seconds, table.text()));
}

}  // namespace pith::command
