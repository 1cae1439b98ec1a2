// pith verify: reads every byte of archives and compares every checksum.
#include <algorithm>

#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "progress_bar.h"
#include "signals.h"
#include "units.h"

namespace pith::command {
namespace {

struct Arguments {
  std::vector<std::string> archives, bases;
  int threads = 0;
  bool quiet = false, json = false;
};

struct Result {
  std::string label, error;  // error: the archive could not be opened
  archive::VerifyReport report;
  std::vector<std::vector<std::string>> tensors;  // touched, by problem
  bool ok() const { return error.empty() && report.ok(); }
};

std::vector<std::string> touched(const archive::Archive& archive,
                                 const archive::VerifyProblem& problem) {
  std::vector<std::string> names;
  for (const size_t t : problem.tensors) names.push_back(archive.tensors()[t].region.name);
  return names;
}

// "a, b, c and 12 more".
std::string list_text(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  std::string s;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) s += (i ? ", " : "") + names[i];
  if (names.size() > kShown) s += fmt::format(" and {} more", names.size() - kShown);
  return s;
}

void say(const Result& r, double seconds, bool quiet) {
  if (!r.error.empty()) return print_error(r.error);
  for (size_t i = 0; i < r.report.problems.size(); ++i) {
    const std::string tensors =
        r.tensors[i].empty() ? "" : " (tensors: " + list_text(r.tensors[i]) + ")";
    print_error(fmt::format("{}: {}{}", r.label, r.report.problems[i].what, tensors));
  }
  if (!r.ok()) {
    print_error(
        fmt::format("{}: damaged; 'pith recover {} -o DIR' saves what it can", r.label, r.label));
  } else if (!quiet) {
    note("{} : ok ({}, {} => {}, {})", r.label, count_text(r.report.files, "file"),
         size_text(r.report.stored), size_text(r.report.raw), rate_text(r.report.raw, seconds));
  }
}

Result verify_one(const Arguments& a, const std::string& path) {
  Result result;
  result.label = path == "-" ? "(standard input)" : path;
  ProgressBar bar("verifying " + result.label, a.quiet);
  try {
    archive::OpenOptions options;
    options.bases = to_paths(a.bases);
    const OpenedArchive opened = open_archive(path, options);
    result.report = opened.archive.verify(a.threads, bar.callback());
    for (const auto& problem : result.report.problems) {
      result.tensors.push_back(touched(opened.archive, problem));
    }
  } catch (const Error& e) {
    if (interrupted()) throw;
    result.error = e.what();
  }
  bar.clear();
  say(result, bar.seconds(), a.quiet);
  return result;
}

Json to_json(const Result& r) {
  Json problems = Json::array();
  for (size_t i = 0; i < r.report.problems.size(); ++i) {
    problems.push_back({{"what", r.report.problems[i].what}, {"tensors", r.tensors[i]}});
  }
  Json j = {{"archive", r.label}, {"ok", r.ok()}};
  if (!r.error.empty()) j["error"] = r.error;
  j["files"] = r.report.files;
  j["frames"] = r.report.frames;
  j["raw"] = r.report.raw;
  j["stored"] = r.report.stored;
  j["problems"] = std::move(problems);
  return j;
}

void run(const Arguments& a) {
  const std::vector<std::string> stdin_only{"-"};
  Json all = Json::array();
  bool ok = true;
  for (const std::string& path : a.archives.empty() ? stdin_only : a.archives) {
    const Result result = verify_one(a, path);
    ok = ok && result.ok();
    all.push_back(to_json(result));
  }
  if (a.json) print_json(all);
  if (!ok) throw Exit{kExitError};
}

}  // namespace

void add_verify(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("verify", "Check every byte of archives");
  c->add_option("archive", a->archives, "archives; '-' or none: standard input")
      ->type_name("FILE.pith");
  add_bases(c, a->bases, "where the base of a delta is");
  add_threads(c, a->threads);
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->add_flag("--json", a->json, "the result as JSON on standard output");
  c->footer(
      R"(Everything is read and decoded, and compared with the checksums of each chunk and each file. Damage
is named by file, tensor and place, and the exit status is 1.

Examples:
  pith verify model.pith              says ok, or what is damaged
  pith verify -q model.pith all.pith  says nothing while all is well
  pith verify --json model.pith       for programs)");
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
