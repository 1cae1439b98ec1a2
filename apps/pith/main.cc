// pith: compression of AI model files. Parses the command line, runs one subcommand, and
// turns whatever goes wrong into one line and an exit status.
#include <cstdio>
#include <exception>
#include <new>

#include "command.h"
#include "message.h"
#include "output.h"
#include "pith/base/error.h"
#include "signals.h"

namespace pith::command {
namespace {

constexpr const char* kExamples =
    R"(Exit status: 0 all is well, 1 an error or damage, 2 wrong usage, 130 interrupted.

Examples:
  pith compress model.safetensors              write model.safetensors.pith beside it
  pith decompress model.safetensors.pith -f    and back again, bit for bit
  pith inspect model.pith                      what is inside, and how it is coded
  pith verify model.pith                       check every byte of it
  pith compress --help                         every command has its own examples)";

void add_commands(CLI::App& app) {
  app.require_subcommand(1);
  app.set_version_flag("--version", "pith " PITH_VERSION);
  app.footer(kExamples);
  app.get_formatter()->column_width(34);
  add_compress(app);
  add_decompress(app);
  add_inspect(app);
  add_verify(app);
  add_recover(app);
  add_recipes(app);
  add_run(app);
  add_kv(app);
  add_calibrate(app);
  add_eval(app);
  add_export(app);
  ::add_bench(app);
}

// Help and version come as "errors" of success from the parser.
int parser_exit(CLI::App& app, const CLI::ParseError& e) {
  if (e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(e);
  const auto used = app.get_subcommands();
  const std::string command = used.empty() ? "pith" : "pith " + used.front()->get_name();
  print_error(fmt::format("{} (try '{} --help')", e.what(), command));
  return kExitUsage;
}

int error_exit(const Error& e) {
  if (const int signal = interrupted()) {
    print_error("interrupted");
    return 128 + signal;
  }
  print_error(e.what());
  return e.kind() == ErrorKind::kUsage ? kExitUsage : kExitError;
}

int run(int argc, char** argv) {
  CLI::App app(
      "Compression of AI model files: every bit comes back, unless a recipe says otherwise.",
      "pith");
  add_commands(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) {
    return parser_exit(app, e);
  } catch (const Exit& e) {
    return e.code;
  } catch (const BrokenPipe&) {
    die_of_broken_pipe();
  } catch (const Error& e) {
    return error_exit(e);
  } catch (const std::bad_alloc&) {
    print_error("not enough memory");
  } catch (const std::exception& e) {
    print_error(fmt::format("unexpected: {}", e.what()));
  }
  return kExitError;
}

}  // namespace
}  // namespace pith::command

// Memory can end before the first option is read; then there is nothing better than to terminate.
int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape)
  pith::command::install_signal_handlers();
  const int code = pith::command::run(argc, argv);
  if (std::fflush(stdout) != 0 && code == 0) {
    pith::command::print_error("standard output: cannot write");
    return pith::command::kExitError;
  }
  return code;
}
