// Options that several commands have.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "pith/base/error.h"

namespace pith::command {

void add_threads(CLI::App* command, int& threads);
// `meaning` ends the help text: "store differences to this …".
void add_bases(CLI::App* command, std::vector<std::string>& bases, const std::string& meaning);
// An option that may be given several times, each time with one value.
CLI::Option* add_repeatable(CLI::App* command, const std::string& names,
                            std::vector<std::string>& values, const std::string& help,
                            const std::string& type);

// The error with the option before it, where its text does not begin with one already.
Error of_option(const Error& e, const char* option);

CLI::Validator not_empty();

// For unsigned values, which the parser would otherwise wrap around; says nothing in the help.
CLI::Validator not_negative();

}  // namespace pith::command
