#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "compress.h"
#include "message.h"
#include "output.h"
#include "pith/recipe/sized_plan.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void usage(std::string_view text) { fail(ErrorKind::kUsage, "{}", text); }

bool from_stdin(const CompressArguments& a) {
  return a.inputs.empty() || (a.inputs.size() == 1 && a.inputs[0] == "-");
}

void check_recipes(const CompressArguments& a) {
  if (a.recipes.empty()) {
    if (!a.settings.empty()) usage("--set belongs to a recipe; name one with --recipe");
    return;
  }
  if (a.recipes.size() > 1 || a.recipes[0].find(',') != std::string::npos) {
    fail(
        ErrorKind::kUsage,
        "--recipe names one: recipes are not chained, but what {} leave of a model takes --bits or "
        "another limit, --choose or --form",
        fmt::join(recipe::reducing_recipes(), ", "));
  }
  if (a.rebase) {
    usage("--rebase writes an archive again as it is; for a recipe, pith decompress it first");
  }
}

void check(const CompressArguments& a) {
  const bool with_dash = std::ranges::find(a.inputs, "-") != a.inputs.end();
  if (with_dash && a.inputs.size() > 1) usage("'-' (standard input) cannot be mixed with files");
  if (a.inputs.empty() && stdin_is_terminal()) usage("no input; name a file, or pipe data in");
  if (a.fast + a.max + !a.level.empty() > 1) usage("--fast, --max and --level exclude each other");
  if (a.keep && a.remove) usage("-k and --rm exclude each other");
  if (a.to_stdout && !a.output.empty()) usage("-c and -o exclude each other");
  if (a.remove && (from_stdin(a) || a.to_stdout || a.dry_run)) {
    usage("--rm needs named inputs and an output file");
  }
  if (a.remove && a.rebase) usage("--rm does not go with --rebase");
  if (a.rebase && a.inputs.size() != 1) usage("--rebase takes one archive");
  check_recipes(a);
  const bool lossy = !a.forms.empty() || has_limits(a) || !a.recipes.empty() ||
                     !a.choices.empty() || !a.forms_of.empty();
  if (!a.lossless.empty() && !lossy) {
    usage("--keep says what --form, a limit or a recipe leaves alone");
  }
  if (a.remove && !a.forms.empty()) usage("--rm does not go with --form, which is lossy");
}

// "m.safetensors.index.json" lists the shards of a model: the archive is named for the model.
std::string default_name(const fs::path& input) {
  const fs::path path = input.has_filename() ? input : input.parent_path();
  const std::string name = path.filename().string();
  if (name.empty() || name == "." || name == "..")
    usage("this folder needs a name for its archive: -o OUT.pith");
  for (const std::string_view suffix : {".safetensors.index.json", ".bin.index.json"}) {
    if (name.size() > suffix.size() && name.ends_with(suffix)) {
      return path.parent_path() / (name.substr(0, name.size() - suffix.size()) + ".pith");
    }
  }
  return path.string() + ".pith";
}

void choose_target(const CompressArguments& a, CompressPlan& plan) {
  if (a.dry_run) {
    plan.target = Target::kNowhere;
  } else if (a.to_stdout || a.output == "-" || (a.output.empty() && from_stdin(a))) {
    plan.target = Target::kStdout;
    if (a.json) usage("--json and the archive cannot both go to standard output");
    if (stdout_is_terminal())
      usage("compressed data are not written to a terminal; use -o, or redirect");
  } else if (!a.output.empty()) {
    plan.path = a.output;
  } else if (a.inputs.size() > 1) {
    usage("several inputs go into one archive, which needs a name: -o OUT.pith");
  } else {
    plan.path = a.rebase ? a.inputs[0] : default_name(a.inputs[0]);
  }
  // Known now: no reason to find out after reading the input.
  if (plan.target == Target::kFile) plan.path = output_path(plan.path, a.force);
}

void refuse_own_input(const CompressArguments& a, const fs::path& target) {
  for (const std::string& input : a.inputs) {
    std::error_code error;
    if (!a.rebase && fs::equivalent(input, target, error)) {
      fail(ErrorKind::kUsage, "{}: is an input; the archive needs another name", target.string());
    }
  }
}

// The name that standard input gets in the archive.
std::string stdin_name(const CompressPlan& plan) {
  const std::string name = plan.path.filename().string();
  return name.size() > 5 && name.ends_with(".pith") ? name.substr(0, name.size() - 5) : "stdin";
}

std::vector<archive::Input> stdin_inputs(CompressPlan& plan) {
  struct stat status;
  const bool regular = ::fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) &&
                       ::lseek(STDIN_FILENO, 0, SEEK_CUR) == 0;
  if (regular) return {{stdin_name(plan), archive::mapped_source("/proc/self/fd/0")}};
  if (plan.options.forms.empty()) {
    return {{stdin_name(plan), archive::stream_source(STDIN_FILENO)}};
  }
  // Which tensors there are is known at the end of some formats only.
  std::shared_ptr<const MappedFile> spool = spool_stdin();
  auto source = archive::memory_source(spool->bytes(), stdin_name(plan));
  plan.spool = std::move(spool);
  return {{stdin_name(plan), std::move(source)}};
}

void refuse_archives(const CompressArguments& a) {
  const bool again = a.recipes.empty() && !has_limits(a) && a.choices.empty() && a.forms_of.empty();
  for (const std::string& input : a.inputs) {
    if (!input.ends_with(".pith") || !fs::is_regular_file(input)) continue;
    const MappedFile file(input);
    if (archive::Archive::is_archive(file.bytes())) {
      fail(ErrorKind::kUsage, "{}: is a Pith archive already ({})", input,
           again ? "use --rebase to write it again"
                 : "pith decompress it first: recipes and limits take a model's own files");
    }
  }
}

void choose_inputs(const CompressArguments& a, CompressPlan& plan) {
  plan.label = from_stdin(a) ? "(standard input)" : a.inputs[0];
  if (a.inputs.size() > 1) plan.label += fmt::format(" and {} more", a.inputs.size() - 1);
  if (a.rebase) {
    archive::OpenOptions options;
    options.bases = to_paths(a.bases);
    const auto opened = std::make_shared<OpenedArchive>(open_archive(a.inputs[0], options));
    opened->archive.open_base();
    plan.inputs = archive::archive_inputs(opened->archive);
    plan.spool = opened;
  } else if (from_stdin(a)) {
    plan.inputs = stdin_inputs(plan);
  } else {
    refuse_archives(a);
    refuse_own_input(a, plan.path);
    plan.inputs = archive::expand_inputs(to_paths(a.inputs));
  }
}

std::vector<archive::FormRule> form_rules(const CompressArguments& a) {
  std::vector<archive::FormRule> rules;
  try {
    for (const std::string& text : a.forms) rules.push_back(archive::parse_form_rule(text));
    for (const std::string& text : a.lossless) rules.push_back(archive::lossless_rule(text));
    const archive::FormRules tried(rules);
  } catch (const Error& e) {
    throw e.in("--form");
  }
  return rules;
}

void apply_recipe(const CompressArguments& a, CompressPlan& plan, recipe::Plan& by_recipe) {
  plan.recipe = &recipe::find_recipe(a.recipes[0]);
  recipe::Values values;
  for (const std::string& setting : a.settings) recipe::add_value(values, setting);
  recipe::apply(*plan.recipe, values, by_recipe);
  const bool for_models = recipe::is_for_models(*plan.recipe);
  const bool lossy = has_limits(a) || !a.choices.empty() || !a.forms_of.empty() || !a.forms.empty();
  if (!for_models && !by_recipe.transform && lossy) {
    fail(ErrorKind::kUsage, "recipe {} loses nothing: no limit and no form goes with it",
         plan.recipe->name);
  }
  if (by_recipe.candidates.size() != 1 || !has_limits(a) || by_recipe.join_layers) return;
  // One form has one size: what sets it is turned, as far as it was not said.
  recipe::SizedPlan sized = recipe::at_sizes(*plan.recipe, values);
  by_recipe.candidates = std::move(sized.plan.candidates);
  by_recipe.allocation = std::move(sized.plan.allocation);
}

void choose_options(const CompressArguments& a, CompressPlan& plan, recipe::Plan& by_recipe) {
  by_recipe.write.threads = a.threads;
  by_recipe.write.overwrite = a.force;
  if (!a.rebase && !a.bases.empty()) by_recipe.write.base = archive::open_base(to_paths(a.bases));
  if (!a.recipes.empty()) apply_recipe(a, plan, by_recipe);
  if (by_recipe.transform && !a.forms.empty())
    usage("--form does not go with a recipe that is lossy");
  if (by_recipe.transform && a.remove) usage("--rm does not go with a recipe that is lossy");
  plan.losses = by_recipe.losses;
  plan.candidates = by_recipe.candidates;
  plan.allocation = by_recipe.allocation;
  plan.calibrated = by_recipe.calibrated;
  plan.curvature = by_recipe.curvature;
  plan.refine = by_recipe.refine;
  plan.leave_out = by_recipe.leave_out;
  plan.reduce = by_recipe.reduce;
  plan.options = by_recipe.write;
  std::ranges::move(form_rules(a), std::back_inserter(plan.options.forms));
  if (!a.level.empty()) plan.options.level = recipe::parse_level(a.level);
  if (a.fast && !fits_model(a, plan)) plan.options.level = lossless::Level::kFast;
  if (a.max) plan.options.level = lossless::Level::kMax;
}

// What lies in folders below a model's is no part of it: checkpoints, original files.
void keep_model_files(const CompressArguments& a, CompressPlan& plan) {
  const auto below = [](const archive::Input& input) {
    return std::ranges::count(input.path, '/') > 1 ||
           (!input.source && input.path.find('/') != std::string::npos);
  };
  const size_t before = plan.inputs.size();
  std::erase_if(plan.inputs, below);
  if (plan.inputs.size() < before && !a.quiet) {
    print_warning(fmt::format("{}: folders in it are left out, the model is what lies beside them",
                              a.inputs[0]));
  }
}

void check_fit(const CompressArguments& a, const CompressPlan& plan) {
  if (!fits_model(a, plan)) {
    if ((!a.calibration.empty() || a.tokens > 0) && !reads_text(a) && !plan.reduce) {
      usage("--calibrate and --tokens belong to a limit: --bits, --size, --ratio, --kl, …");
    }
    return;
  }
  if (from_stdin(a) || a.inputs.size() != 1) usage("limits are for one model, a file or a folder");
  if (a.rebase || !a.bases.empty()) usage("limits do not go with --rebase or --base");
  if (!plan.candidates.empty() && !a.choices.empty()) usage("--choose does not go with a recipe");
  if (a.remove) usage("--rm does not go with limits, which are lossy");
  const bool limited = !(a.bits.empty() && a.size.empty() && a.ratio.empty() && a.kl.empty() &&
                         a.perplexity.empty() && a.latency.empty());
  if (!a.frontier.empty() && limited) usage("--frontier names its limits itself");
  if (!a.frontier.empty() && plan.target == Target::kStdout) {
    usage("--frontier writes several archives: name them with -o OUT.pith");
  }
  if (!a.latency.empty() && a.choices.empty()) {
    usage("--latency needs forms whose speed is known beforehand: --choose fast, gguf or others");
  }
}

// The archive shall be no more readable than what is in it.
void narrow_umask(const CompressArguments& a, const CompressPlan& plan) {
  mode_t readable = 0777;
  for (const std::string& input : a.inputs) {
    struct stat status;
    if (::stat(input.c_str(), &status) == 0) readable &= status.st_mode;
  }
  for (const archive::Input& input : plan.inputs) {
    if (input.source) readable &= input.source->mode();
  }
  ::umask(::umask(0) | (~readable & 0077));
}

}  // namespace

CompressPlan plan_compress(const CompressArguments& a) {
  check(a);
  CompressPlan plan;
  choose_target(a, plan);
  recipe::Plan by_recipe;
  choose_options(a, plan, by_recipe);
  choose_inputs(a, plan);
  if (by_recipe.transform) plan.inputs = by_recipe.transform(std::move(plan.inputs));
  plan_network(a, by_recipe, plan);
  if (plan.network) {
    narrow_umask(a, plan);
    return plan;
  }
  check_fit(a, plan);
  check_rotation(a, plan);
  check_reduction(a, plan);
  if (fits_model(a, plan) || plan.reduce) {
    recipe::require_model(plan.recipe, a.inputs[0]);
    keep_model_files(a, plan);
  }
  narrow_umask(a, plan);
  return plan;
}

}  // namespace pith::command
