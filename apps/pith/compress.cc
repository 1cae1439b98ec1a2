// pith compress: files, folders or a pipe into one archive.
#include "compress.h"

#include <sys/stat.h>

#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "progress_bar.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;

void run(const CompressArguments& a) {
  CompressPlan plan = plan_compress(a);
  if (plan.network) return compress_network(a, plan);
  rotate_inputs(a, plan);
  reduce_inputs(a, plan);
  if (!a.frontier.empty()) return compress_frontier(a, plan);
  std::unique_ptr<ModelFit> fit;
  std::optional<FittedModel> fitted;
  if (fits_model(a, plan)) {
    const weights::Limits limits = limits_of(a);
    fit = std::make_unique<ModelFit>(a, plan);
    if (a.dry_run) {
      if (plan.reduced) report_reduction(a, *plan.reduced);
      return report_fit(a, fit->expected(limits), nullptr);
    }
    fitted = fit->fit(limits, plan);
  }
  ProgressBar bar(plan.label, a.quiet);
  plan.options.progress = bar.callback();
  archive::WriteReport report = write_plan(plan);
  bar.clear();
  if (plan.changed) report.raw = plan.changed->bytes;
  if (fit) fit->done();
  report_compress(a, plan, report, fitted ? to_json(*fitted) : Json());
  if (plan.reduced) report_reduction(a, *plan.reduced);
  if (fitted) report_fit(a, *fitted, &report);
  plan.inputs.clear();
  if (a.remove) remove_inputs(a.inputs, plan.path, a.bases, a.threads, a.quiet);
}

constexpr const char* kExamples =
    R"(Inputs: a model.safetensors.index.json brings its shards and is stored as model.pith; an ONNX model brings
its external data; folders are stored whole. Without a level: default. --level fast and max trade size
for time; all of them give every bit back.

Forms make a model smaller with losses: every matrix of floats is stored in the form of the last --form that
matches its name (docs/forms.md) and comes back as the nearest that the form can hold. Norms and biases (one
dimension, unless a pattern is their very name), integers, quantized blocks and other files stay exact.

Limits and recipes are for language models and for networks of ONNX (docs/networks.md). A recipe with a limit turns what sets its size; what is left of that with -O is what the limit decides.

Examples:
  pith compress model.safetensors                       model.safetensors.pith, beside it
  pith compress model.gguf -o small.pith --max          smallest, slowly
  pith compress model config.json -o all.pith           a folder and a file in one archive
  pith compress model.safetensors.index.json            all shards, as model.pith
  pith compress step-2000.safetensors --base step-1000.safetensors    only what changed
  pith compress model.safetensors --dry-run -v          how each tensor would do
  pith compress model.safetensors --recipe zipnn        a published method by name
  pith compress model --recipe gptq --bits 4 -o m.pith  one of them within a limit
  pith compress model --form 'uniform(4, group=64)'     with losses: every matrix in 4.25 bits a weight
  pith compress model -o m.pith --form 'uniform(4)' --form 'embed|lm_head=uniform(8)' --keep 'layers.0'
  pith compress model --bits 4 --calibrate book.txt     with the least loss at 4 bits a weight, all counted
  pith compress model --kl 0.01 -o m.pith               as small as a divergence of 0.01 nats allows
  pith compress model --bits 4.5 --choose fast          of forms that multiply at the speed of memory
  pith compress model --bits 5 --choose gguf -o m.pith  of GGUF's types (then: pith export m.pith -o m.gguf)
  pith compress model --frontier 2.5,3,4,5 -o m.pith    m-2.5.pith to m-5.pith, and m.svg: what each loses
  pith compress model --forms-of q4_K_M.gguf -o m.pith  of the types that this file has, better fitted
  pith compress model --size 500MiB --dry-run           what each tensor would get
  pith compress net.onnx --bits 4 --inputs images.npz   a network of ONNX, by what its layers see
  pith compress net.onnx --recipe gptq -O bits=3 --inputs images.npz -o net.pith
  pith compress model --choose 'ggml(q4_0)' --rotate hadamard -o m.pith    no channel larger than all others
  cat model.gguf | pith compress > model.gguf.pith      in a pipe
  pith compress --rebase step.pith -o alone.pith        an archive without its base)";

void add_where(CLI::App* c, CompressArguments& a) {
  c->add_option("input", a.inputs, "files and folders; '-' or none: standard input")
      ->type_name("FILE");
  c->add_option("-o,--output", a.output, "the archive ('-': standard output)")
      ->type_name("OUT.pith");
  c->add_flag("-c,--stdout", a.to_stdout, "write to standard output");
  c->add_flag("-f,--force", a.force, "overwrite the output");
  c->add_flag("-k,--keep-inputs", a.keep, "keep the inputs (default)");
  c->add_flag("--rm", a.remove,
              "remove the inputs once the archive is written, synced and verified");
  c->add_flag("--dry-run", a.dry_run, "write nothing, only say what would come of it");
}

void add_limits(CLI::App* c, CompressArguments& a) {
  const auto limit = [&](const char* name, std::string& value, const char* help, const char* type) {
    c->add_option(name, value, help)
        ->type_name(type)
        ->group("Limits (models and networks, with losses)");
  };
  limit("--bits", a.bits, "bits for each weight, of the whole archive", "N");
  limit("--size", a.size, "bytes of the archive, as 500MiB", "SIZE");
  limit("--ratio", a.ratio, "how many times smaller than the input", "R");
  limit("--kl", a.kl, "divergence from the model as it was, nats a token", "X");
  limit("--perplexity", a.perplexity, "growth of perplexity, as 1%", "SHARE");
  limit("--latency", a.latency, "milliseconds for a token, matrices alone, on this machine", "MS");
  add_repeatable(c, "--choose", a.choices,
                 "forms of which each matrix gets one: fast (codes of fixed width), gguf, or any; "
                 "default: integers, entropy-coded, which are smallest",
                 "EXPR")
      ->group("Limits (models and networks, with losses)");
  c->add_option("--frontier", a.frontier,
                "several numbers of bits, as 2.5,3,4: an archive of each, a table and a plot of "
                "what they lose")
      ->delimiter(',')
      ->type_name("N,...")
      ->group("Limits (models and networks, with losses)");
  limit("--forms-of", a.forms_of,
        "a model of the same tensors: each matrix gets the form that it has there, as the types "
        "of a GGUF file",
        "MODEL");
  limit("--calibrate", a.calibration,
        "the text that the model is to be good at, or what pith calibrate made of it", "FILE");
  limit("--inputs", a.samples,
        "of a network of ONNX: arrays by the names of its inputs, npy or npz; layers are fitted to "
        "what they multiply there",
        "FILE");
  c->add_option("--tokens", a.tokens, "of the text that are read; default: by the model's size")
      ->type_name("N")
      ->check(not_negative())
      ->group("Limits (models and networks, with losses)");
}

void add_how(CLI::App* c, CompressArguments& a) {
  c->add_option("--level", a.level, "fast, default or max")->type_name("LEVEL");
  c->add_flag("--fast", a.fast, "same as --level fast");
  c->add_flag("--max", a.max, "same as --level max");
  add_bases(c, a.bases, "store differences to this archive, file or folder");
  c->add_flag("--rebase", a.rebase,
              "the input is an archive: write it again, standing alone "
              "(--base then says where its base is)");
  add_repeatable(c, "--recipe", a.recipes, "a published method (see: pith recipes)", "NAME");
  add_repeatable(c, "-O,--set", a.settings, "an option of the recipe", "KEY=VALUE");
  add_repeatable(c, "--form", a.forms,
                 "store matrices (whose name matches) in a compressed form, with losses",
                 "[REGEX=]EXPR");
  add_repeatable(c, "--keep,--lossless", a.lossless,
                 "with --form or limits: keep tensors of matching names exact", "REGEX");
  c->add_option("--rotate", a.rotate,
                "with --form or limits: fold rotations into the model's weights first: none "
                "(default), values, hadamard or learned (docs/rotations.md)")
      ->type_name("HOW");
  c->add_option(
       "--smooth", a.smooth,
       "with --form or limits: even out the channels that norms give by their size to this "
       "power (0.5 is good; 0: no), for what runs on inputs of 8 bits (docs/rotations.md)")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("POWER");
  add_threads(c, a.threads);
}

}  // namespace

archive::WriteReport write_plan(const CompressPlan& plan) {
  switch (plan.target) {
    case Target::kFile:
      return archive::write_archive(plan.inputs, plan.path, plan.options);
    case Target::kStdout:
      return archive::write_archive(
          plan.inputs, [](ByteView data) { write_stdout(data); }, plan.options);
    case Target::kNowhere:
      break;
  }
  return archive::write_archive(
      plan.inputs, [](ByteView) {}, plan.options);
}

void add_compress(CLI::App& app) {
  auto a = std::make_shared<CompressArguments>();
  CLI::App* c = app.add_subcommand("compress", "Compress files, folders or a pipe into an archive");
  add_where(c, *a);
  add_how(c, *a);
  add_limits(c, *a);
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->add_flag("-v,--verbose", a->verbose, "a table of the tensors, and where the time went");
  c->add_flag("--json", a->json, "the report as JSON on standard output");
  c->footer(kExamples);
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
