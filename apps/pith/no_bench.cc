// A pith without benchmarks (PITH_BENCH=OFF): they need the libraries of the peers.
#include "command.h"
#include "pith/base/error.h"

void add_bench(CLI::App& app) {
  CLI::App* command = app.add_subcommand("bench", "Benchmarks, each beside its peers");
  command->allow_extras();
  command->callback([] {
    pith::fail(pith::ErrorKind::kUsage, "this pith was built without benchmarks (PITH_BENCH=OFF)");
  });
}
