// Where the benchmarks register; none is built yet.
#include "command.h"
#include "pith/base/error.h"

void add_bench(CLI::App& app) {
  CLI::App* command = app.add_subcommand("bench", "Benchmarks, each beside its peers");
  command->allow_extras();
  command->callback([] {
    pith::fail(pith::ErrorKind::kUsage, "no benchmark is built yet");
  });
}
