// How far formats lie above the least bits that a Gaussian matrix takes at their error.
#include <cmath>

#include "bench_llama.h"
#include "bench_weights.h"
#include "bench_weights_peer.h"
#include "pith/base/file.h"
#include "pith/base/random.h"
#include "pith/form/form.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kRows = 1024, kColumns = 4096;

const std::vector<std::string> kPeerTypes = {"q8_0",   "q6_K",    "q5_K",  "iq4_xs",  "q4_K",
                                             "q4_0",   "iq3_s",   "q3_K",  "iq3_xxs", "q2_K",
                                             "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s"};

form::Matrix gaussian() {
  form::Matrix m({kRows, kColumns});
  for (size_t i = 0; i < m.values.size(); i += 2) {  // Box and Muller
    const double r = std::sqrt(-2 * std::log(1 - random_unit(7, i)));
    const double a = 2 * M_PI * random_unit(7, i + 1);
    m.values[i] = static_cast<float>(r * std::cos(a));
    m.values[i + 1] = static_cast<float>(r * std::sin(a));
  }
  return m;
}

std::vector<std::string> forms(bool quick) {
  std::vector<std::string> list;
  for (const int bits : {2, 3, 4, 6}) {
    list.push_back(fmt::format("integer(bits={}) > rans", bits));
    if (quick) continue;
    list.push_back(fmt::format("integer(bits={}, states=256) > rans", bits));
    list.push_back(fmt::format("integer(bits={}, states=8) > rans", bits));
    list.push_back(fmt::format("integer(bits={}, states=1) > rans", bits));
    if (bits <= 4) list.push_back(fmt::format("trellis({})", bits));
    list.push_back(fmt::format("uniform({}, group=64)", bits));
  }
  return list;
}

MatrixFigures ours(const form::Matrix& m, const std::string& expression) {
  const form::FormPtr form = form::encode(form::parse(expression), m.view());
  const form::Matrix back = form::decode(*form);
  double error = 0;
  for (size_t i = 0; i < m.values.size(); ++i) {
    const double e = double{back.values[i]} - double{m.values[i]};
    error += e * e;
  }
  const auto n = static_cast<double>(m.values.size());
  return {8 * static_cast<double>(form::write(*form).size()) / n, error / n};
}

void add(Table& table, const char* who, const std::string& name, MatrixFigures f) {
  const double bound = 0.5 * std::log2(1 / f.error);
  table.add({text(name),
             text(who),
             number(f.bits, 3),
             {fmt::format("{:.3e}", f.error), f.error},
             number(bound, 3),
             number(f.bits - bound, 3)});
}

}  // namespace

void bench_gaussian(const Options& options, const fs::path& folder, Report& report) {
  report.section(fmt::format("A Gaussian matrix of {} x {}", kRows, kColumns));
  report.note(
      "error: mean square, of elements of variance 1; least: bits that any code of such a source "
      "takes at that error, log2(1 / error) / 2; above: what the format takes beyond it");
  const form::Matrix m = gaussian();
  Table table({"format", "of", "bits", "error", "least", "above"});
  for (const std::string& e : forms(options.quick)) {
    report.status(e);
    add(table, "pith", e, ours(m, e));
  }
  if (has_llama()) {
    report.status("llama.cpp");
    const fs::path file = folder / "gaussian.f32";
    write_file(file, {reinterpret_cast<const uint8_t*>(m.values.data()), m.values.size() * 4},
               true);
    const auto peers = peer_matrices(file, kColumns, kPeerTypes);
    for (size_t i = 0; i < peers.size(); ++i) add(table, "llama.cpp", kPeerTypes[i], peers[i]);
    fs::remove(file);
  }
  report.table(table);
}

}  // namespace pith::bench
