#include "options.h"

#include "pith/base/error.h"

namespace pith::command {

void add_threads(CLI::App* command, int& threads) {
  CLI::Validator range = CLI::Range(0, 4096);
  range.description("");
  command->add_option("-T,--threads", threads, "threads; 0: as many as there are cores")
      ->type_name("N")
      ->check(range);
}

CLI::Option* add_repeatable(CLI::App* command, const std::string& names,
                            std::vector<std::string>& values, const std::string& help,
                            const std::string& type) {
  return command->add_option(names, values, help + " (repeatable)")
      ->type_name(type)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

CLI::Validator not_negative() {
  const auto check = [](const std::string& text) -> std::string {
    return text.starts_with('-') ? fmt::format("must be 0 or more, not {}", text) : "";
  };
  return CLI::Validator(check, "");
}

Error of_option(const Error& e, const char* option) {
  return std::string_view(e.what()).starts_with("--") ? e : e.in(option);
}

CLI::Validator not_empty() {
  return CLI::Validator(
      [](const std::string& text) { return std::string(text.empty() ? "must not be empty" : ""); },
      "");
}

void add_bases(CLI::App* command, std::vector<std::string>& bases, const std::string& meaning) {
  add_repeatable(command, "--base", bases, meaning, "PATH");
}

}  // namespace pith::command
