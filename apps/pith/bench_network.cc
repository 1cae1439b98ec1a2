#include "bench_network.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "bench_report.h"
#include "network_inputs.h"
#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/recipe/network_plan.h"
#include "pith/recipe/sized_plan.h"

namespace pith::bench {
namespace {

using network::Tensor;

// Of each input the samples first <= n < last.
std::vector<Tensor> samples(const std::vector<Tensor>& inputs, uint64_t first, uint64_t last) {
  std::vector<Tensor> out;
  for (const Tensor& x : inputs) {
    network::Dims dims = x.dims();
    const auto each = static_cast<std::ptrdiff_t>(x.size() / dims[0]);
    dims[0] = last - first;
    const auto from = static_cast<std::ptrdiff_t>(first) * each,
               to = static_cast<std::ptrdiff_t>(last) * each;
    if (x.is_float()) {
      out.emplace_back(std::move(dims),
                       std::vector<float>(x.floats().begin() + from, x.floats().begin() + to));
    } else {
      out.emplace_back(std::move(dims), std::vector<int64_t>(x.integers().begin() + from,
                                                             x.integers().begin() + to));
    }
  }
  return out;
}

struct Row {
  std::string setting;
  uint64_t bytes = 0;
  double error = 0, same = 0, seconds = 0;
};

class Harness {
 public:
  explicit Harness(const NetworkOptions& o)
      : threads_(thread_count(o.threads)),
        path_(o.network),
        file_(io::read_onnx_graph(path_)),
        network_(network::graph_of(file_)) {
    const std::vector<Tensor> all = command::read_inputs(file_.inputs, o.samples);
    uint64_t n = all.empty() || all[0].rank() == 0 ? 0 : all[0].dim(0);
    for (const Tensor& x : all) {
      if (x.rank() == 0 || x.dim(0) != n) n = 0;
    }
    if (n < 2) fail(ErrorKind::kUsage, "{}: several samples are needed: some to fit to", o.samples);
    fitted_to_ = samples(all, 0, n / 2);
    held_out_ = samples(all, n / 2, n);
    wanted_ = network_.run(held_out_, {.threads = threads_});
    const std::filesystem::path paths[] = {path_};
    inputs_ = archive::expand_inputs(paths);
  }

  uint64_t samples_fitted() const { return fitted_to_[0].dim(0); }
  uint64_t samples_held_out() const { return held_out_[0].dim(0); }

  // Throws what says that it cannot be.
  Row measure(const recipe::Recipe& r, double bits) const {
    const auto start = std::chrono::steady_clock::now();
    recipe::Plan plan;
    recipe::apply(r, {}, plan);
    if (!plan.join_layers && !r.sizes.empty()) plan = recipe::at_sizes(r).plan;
    network::CompressNetworkOptions options = recipe::layer_options(plan);
    options.inputs = fitted_to_;
    options.threads = threads_;
    const network::NetworkCompressor compressor(file_, inputs_, std::move(options));
    const network::CompressedNetwork made = compressor.compress({.bits = bits});
    Row row{.setting = made.note};
    row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    archive::WriteOptions write;
    compressor.store(made, write);
    Bytes archive;
    archive::write_archive(
        inputs_, [&](ByteView more) { archive.insert(archive.end(), more.begin(), more.end()); },
        write);
    row.bytes = archive.size();
    Bytes file;
    archive::Archive::open_memory(archive).extract_file(
        0, [&](ByteView more) { file.insert(file.end(), more.begin(), more.end()); });
    compare(network::Network(network::graph_of(
                io::read_onnx_graph(Buffer(std::move(file)), path_ + " (small)"))),
            row);
    return row;
  }

 private:
  void compare(const network::Network& small, Row& row) const {
    const std::vector<Tensor> outputs = small.run(held_out_, {.threads = threads_});
    double error = 0, squares = 0;
    uint64_t same = 0, rows = 0;
    for (size_t k = 0; k < wanted_.size(); ++k) {
      if (!wanted_[k].is_float()) continue;
      const auto x = outputs[k].floats(), y = wanted_[k].floats();
      for (size_t i = 0; i < y.size(); ++i) {
        error += (x[i] - y[i]) * (x[i] - y[i]);
        squares += y[i] * y[i];
      }
      const uint64_t width = wanted_[k].dims().empty() ? 1 : wanted_[k].dims().back();
      const auto largest = [&](std::span<const float> v, uint64_t r) {
        const auto one = v.subspan(r * width, width);
        return std::ranges::max_element(one) - one.begin();
      };
      for (uint64_t r = 0; r < y.size() / width; ++r, ++rows) {
        same += largest(x, r) == largest(y, r) ? 1 : 0;
      }
    }
    row.error = squares > 0 ? error / squares : error;
    row.same = rows > 0 ? static_cast<double>(same) / static_cast<double>(rows) : 0;
  }

  int threads_;
  std::string path_;
  io::OnnxGraph file_;
  network::Network network_;
  std::vector<Tensor> fitted_to_, held_out_, wanted_;
  std::vector<archive::Input> inputs_;
};

}  // namespace

void bench_network(const NetworkOptions& options) {
  if (options.samples.empty()) {
    fail(ErrorKind::kUsage, "{}: what recipes are tried on: give --inputs FILE.npz",
         options.network);
  }
  Report report("vision", options.json);
  const Harness harness(options);
  report.note(fmt::format(
      "{}: recipes at their defaults but for what sets their size, within so many bits a weight of "
      "the whole archive; fitted to the first {} samples, measured on the other {}. error: of the "
      "outputs, as a share of their squares; same: rows whose largest element is that of the "
      "network as it was",
      options.network, harness.samples_fitted(), harness.samples_held_out()));
  std::vector<std::string> names(options.recipes);
  if (names.empty()) {
    for (const std::string_view name : recipe::network_recipes()) names.emplace_back(name);
  }
  for (const double bits : options.sizes) {
    report.section(fmt::format("At most {} bits a weight", bits));
    Table table({"recipe", "bytes", "error", "same, %", "s to fit", "setting"});
    for (const std::string& name : names) {
      report.status(name);
      try {
        const Row row = harness.measure(recipe::find_recipe(name), bits);
        table.add({text(name), count(row.bytes), number(row.error, 5), number(100 * row.same, 2),
                   number(row.seconds, 1), text(row.setting)});
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::kLimit && e.kind() != ErrorKind::kUsage) throw;
        table.add({text(name), none(), none(), none(), none(), text(e.what())});
      }
    }
    report.table(table);
  }
  report.finish();
}

}  // namespace pith::bench
