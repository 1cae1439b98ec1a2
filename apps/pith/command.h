// The subcommands of `pith`. Each file adds one to the parser; its callback does the work and
// throws pith::Error, or Exit for a result that is no error of its own (damage found by `verify`).
#pragma once

#include <CLI/CLI.hpp>

namespace pith::command {

inline constexpr int kExitError = 1;
inline constexpr int kExitUsage = 2;

struct Exit {
  int code;
};

void add_compress(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_decompress(CLI::App& app);
void add_inspect(CLI::App& app);
void add_verify(CLI::App& app);
void add_recover(CLI::App& app);
void add_recipes(CLI::App& app);
void add_run(CLI::App& app);
void add_kv(CLI::App& app);
void add_kv_bench(CLI::App& kv);
void add_kv_profile(CLI::App& kv);
void add_eval(CLI::App& app);
void add_export(CLI::App& app);

}  // namespace pith::command

// Defined by bench.cc, or by no_bench.cc in a build without benchmarks.
void add_bench(CLI::App& app);
