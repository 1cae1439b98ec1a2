#include "bench.h"

#include <fmt/core.h>

#include <filesystem>
#include <memory>

#include "bench_cache_speed.h"
#include "bench_cache_store.h"
#include "bench_data.h"
#include "bench_kv.h"
#include "bench_network.h"
#include "bench_recipes.h"
#include "bench_speed.h"
#include "command.h"
#include "options.h"
#include "units.h"

namespace pith::bench {
namespace {

void add_common(CLI::App& c, Options& o) {
  c.add_option("--work", o.work, "folder for scratch files")->type_name("DIR");
  c.add_option("--runs", o.runs, "the best of so many runs counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  c.add_flag_callback(
      "--cpu-time", [&o] { o.clock = Clock::kCpu; },
      "in memory, CPU time counts: for a machine that is not quiet");
  c.add_flag("--json", o.json, "as JSON");
}

CLI::App& add(CLI::App& parent, const char* name, const char* about, void (*run)(const Options&),
              const std::shared_ptr<Options>& options) {
  CLI::App& c = *parent.add_subcommand(name, about);
  add_common(c, *options);
  c.callback([=] { run(*options); });
  return c;
}

void add_lossless(CLI::App& parent, const std::shared_ptr<Options>& o) {
  CLI::App& c =
      add(parent, "lossless", "Every data set and level, against general compressors and ZipNN",
          bench_lossless, o);
  c.add_option("--data", o->data, "folder of tools/bench_data.py")
      ->type_name("DIR")
      ->capture_default_str();
  c.add_option("--files", o->files, "only data sets whose name matches this shell pattern")
      ->type_name("GLOB");
  c.add_option("--threads", o->threads, "of the rows that go from file to file")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  c.add_flag("--quick", o->quick, "leave out peers that take minutes");
  c.add_flag("!--no-prepare", o->prepare, "do not run tools/bench_data.py first");
}

void add_delta(CLI::App& parent, const std::shared_ptr<Options>& o) {
  add(parent, "delta", "Successive checkpoints, against XOR + zstd and ZipNN's delta", bench_delta,
      o)
      .add_flag("--quick", o->quick, "leave out peers that take minutes");
}

void add_large(CLI::App& parent, const std::shared_ptr<Options>& o, const char* name,
               const char* about, void (*run)(const Options&)) {
  add(parent, name, about, run, o)
      .add_option_function<std::string>(
          "--size", [o](const std::string& s) { o->size = command::parse_size(s, "--size"); },
          "of the input, perturbed copies of the model [512MiB]")
      ->type_name("SIZE");
}

void add_data(CLI::App& c, const std::shared_ptr<Options>& o) {
  c.add_option("--data", o->data, "folder for what is made once: models, matrices")
      ->type_name("DIR")
      ->capture_default_str();
  c.add_flag("--quick", o->quick, "fewer rows");
}

// Of a network that is named, recipes; else the study of the one that is at hand.
void add_vision(CLI::App& parent, const std::shared_ptr<Options>& o) {
  const auto n = std::make_shared<NetworkOptions>();
  CLI::App& c =
      add(parent, "vision",
          "Codes, low ranks and masks on a vision transformer, alone and in pairs in both orders; "
          "or recipes on any network of ONNX",
          bench_vision, o);
  c.add_flag("--quick", o->quick, "few rows, few images");
  c.add_option("network", n->network, "an ONNX file, on which recipes are tried at equal bytes")
      ->type_name("NET.onnx");
  c.add_option("--inputs", n->samples,
               "its inputs, npy or npz: the first half is fitted to, the other measured on")
      ->type_name("FILE");
  c.add_option("--recipes", n->recipes, "only these [all that are for networks]")
      ->delimiter(',')
      ->type_name("NAME,...");
  c.add_option("--sizes", n->sizes, "bits a weight of the whole archive")
      ->delimiter(',')
      ->type_name("BITS,...")
      ->capture_default_str();
  c.add_option("--threads", n->threads, "of a network that is named")->check(CLI::Range(1, 1024));
  c.callback([o, n] {
    if (n->network.empty()) return bench_vision(*o);
    n->json = o->json;
    bench_network(*n);
  });
}

void add_run(CLI::App& parent, const std::shared_ptr<Options>& o) {
  CLI::App& c =
      add(parent, "run", "Language models, prompt and generation, against llama.cpp", bench_run, o);
  add_data(c, o);
  c.add_option("--files", o->files, "only types whose name matches this shell pattern")
      ->type_name("GLOB");
}

void add_gemv(CLI::App& parent, const std::shared_ptr<Options>& o) {
  CLI::App& c = add(parent, "gemv", "Matrices in each form times 1 to 64 vectors", bench_gemv, o);
  add_data(c, o);
  c.add_option("--form", o->forms, "this one instead of the usual (repeatable)")
      ->type_name("EXPR")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_weights(CLI::App& parent, const std::shared_ptr<Options>& o) {
  CLI::App& c = add(parent, "weights",
                    "What is left of a model at each size, against llama.cpp's quantized files",
                    bench_weights, o);
  add_data(c, o);
  c.add_option("--files", o->files, "only GGUF mixes whose name matches this shell pattern")
      ->type_name("GLOB");
  c.add_option("--part", o->parts,
               "only these: curve (what is left at each size), gguf (files of the same types, run "
               "by llama.cpp), gaussian (matrices of random numbers)")
      ->type_name("PART,...")
      ->delimiter(',')
      ->check(CLI::IsMember({"curve", "gguf", "gaussian"}));
  const auto rows = [&](const char* name, std::vector<std::string>& values, const char* type,
                        const char* help) {
    c.add_option(name, values, help)
        ->type_name(type)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  rows("--form", o->forms, "EXPR",
       "another row: every matrix in this form, without calibration; $bits in it is tried until "
       "the file has each size (repeatable)");
  rows("--fit", o->fitted, "EXPR", "the same, calibrated and with error feedback (repeatable)");
  rows("--recipe", o->recipes, "NAME[:KEY=VALUE,…]",
       "another row: a published method for weights (repeatable)");
  c.add_option("--windows", o->windows, "of 512 predictions of each text")
      ->check(CLI::Range(2, 100'000))
      ->capture_default_str();
  c.add_option("--plots", o->plots, "folder for the plots; default: among the data")
      ->type_name("DIR");
}

void add_recipes(CLI::App& parent) {
  const auto o = std::make_shared<RecipesOptions>();
  o->sizes = {2.6, 3.1, 4.1, 5.5};
  CLI::App* c = parent.add_subcommand(
      "recipes", "Published methods for weights at equal bytes: what they lose, and whom it hurts");
  c->add_option("model", o->model,
                "a folder with config.json and safetensors, or a GGUF file; default: data/lm")
      ->type_name("MODEL");
  c->add_option("--sizes", o->sizes, "bits for each weight, of the whole archive")
      ->type_name("N,...")
      ->delimiter(',')
      ->capture_default_str();
  c->add_option("--text", o->text,
                "what is predicted, which no method may see before; default: books-test.txt")
      ->type_name("FILE");
  c->add_option("--calibrate", o->calibration,
                "what methods may see: a text, or statistics of pith calibrate")
      ->type_name("FILE");
  c->add_option("--recipes", o->recipes, "only these; default: all for weights that have a size")
      ->type_name("NAME[:KEY=VALUE],...")
      ->delimiter(',');
  c->add_option("-o,--output", o->output,
                "folder for results, from which an interrupted run goes on; default: MODEL-recipes")
      ->type_name("FOLDER");
  c->add_option("--json", o->json, "all figures; default: results.json there")->type_name("FILE");
  c->add_option("--svg", o->svg, "divergence against size; default: frontier.svg there")
      ->type_name("FILE");
  c->add_option("--windows", o->windows, "of 512 predictions of the text")
      ->check(CLI::Range(2, 100'000))
      ->capture_default_str();
  c->add_option("--tokens", o->tokens, "that are read for calibration; default: 16384")
      ->type_name("N")
      ->check(command::not_negative());
  c->add_option("--risen", o->risen, "nats by which a token's loss must rise to count as hurt")
      ->type_name("N")
      ->check(CLI::Range(0.0, 100.0).description(""))
      ->capture_default_str();
  c->add_flag("--keep-archives", o->keep_archives, "leave the archives in the folder");
  command::add_threads(c, o->threads);
  c->add_flag("-q,--quiet", o->quiet, "say nothing but errors and the result");
  c->callback([o] {
    if (o->model.empty()) o->model = reference_model().parent_path().string();
    if (o->output.empty()) {
      const std::filesystem::path model = std::filesystem::weakly_canonical(o->model);
      o->output = model.stem().string() + "-recipes";
    }
    if (o->text.empty()) {
      o->text = (shared_data() / "text/books-test.txt").string();
      if (!std::filesystem::exists(o->text)) {
        fmt::print("skipped: there is no {}; set PITH_DATA, or name a --text\n", o->text);
        return;
      }
    }
    bench_recipes(*o);
  });
}

void add_speed(CLI::App& parent) {
  const auto o = std::make_shared<SpeedOptions>();
  CLI::App* c = parent.add_subcommand(
      "speed",
      "Models as they run, prompt and generation, beside the first: what smaller ones gain");
  c->add_option("models", o->models, "folders, GGUF files and archives of the same vocabulary")
      ->type_name("MODEL")
      ->required();
  c->add_option("--prompt", o->prompt, "ids that are read at once")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  c->add_option("--generate", o->decode, "ids that are read one by one")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  c->add_option("--runs", o->runs, "the best of so many rounds counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  c->add_option("--threads", o->threads, "each of these numbers")
      ->type_name("N,...")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  c->add_flag_callback(
      "--cpu-time", [o] { o->clock = Clock::kCpu; },
      "CPU time of one thread counts: for a machine that is not quiet");
  c->add_flag("--json", o->json, "as JSON");
  c->callback([o] { bench_speed(*o); });
}

void add_cache_speed(CLI::App& parent) {
  const auto o = std::make_shared<CacheSpeedOptions>();
  CLI::App* c = parent.add_subcommand(
      "cache-speed", "Tokens behind long contexts, with several caches and beside llama.cpp's");
  c->add_option("model", o->model, "a GGUF file")->type_name("MODEL")->required();
  c->add_option("--kv", o->caches, "a cache; 'full': all in floats (repeatable)")
      ->type_name("EXPR")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  c->add_option("--depth", o->depth, "tokens of the context")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  c->add_option("--steps", o->steps, "tokens that are read one by one")
      ->check(CLI::Range(1, 1 << 10))
      ->capture_default_str();
  c->add_option("--runs", o->runs, "the best of so many counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command::add_threads(c, o->threads);
  c->add_flag_callback(
      "--cpu-time", [o] { o->clock = Clock::kCpu; }, "CPU time of one thread counts");
  c->add_flag("--json", o->json, "as JSON");
  c->callback([o] { bench_cache_speed(*o); });
}

void add_cache_store(CLI::App& parent) {
  const auto o = std::make_shared<CacheStoreOptions>();
  CLI::App* c = parent.add_subcommand(
      "cache-store",
      "Time to the first token through Redis over links of several speeds, against recomputing");
  c->add_option("model", o->model, "a folder with config.json and safetensors, or a GGUF file")
      ->type_name("MODEL")
      ->required();
  c->add_option("--text", o->text, "the prompt is its beginning")->type_name("FILE")->required();
  c->add_option("--tokens", o->tokens, "of the prompt")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  c->add_option("--kv-chunk", o->chunk_tokens, "tokens of a chunk")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  c->add_option("--kv-coding", o->codings, "of chunks (repeatable)")
      ->type_name("EXPR")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  c->add_option("--links", o->megabytes, "MB a second")
      ->type_name("N,...")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--latency", o->milliseconds, "of the link, milliseconds")->capture_default_str();
  c->add_option("--changes", o->changes,
                "of links that change, MB a second at first and in the end")
      ->type_name("MB-MB,...")
      ->delimiter(',')
      ->capture_default_str();
  c->add_option("--level", o->levels,
                "over these, codings of chunks, the finest first (repeatable)")
      ->type_name("EXPR")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  c->add_option("--deadline", o->deadline, "over these, seconds until all is read")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--runs", o->runs, "the best of so many counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command::add_threads(c, o->threads);
  c->add_flag("--json", o->json, "as JSON");
  c->callback([o] { bench_cache_store(*o); });
}

void add_kv(CLI::App& parent) {
  const auto o = std::make_shared<KvOptions>();
  CLI::App* c = parent.add_subcommand(
      "kv", "Caches of keys and values at equal bytes: published ones and plain ones, over tasks");
  c->add_option("--model", o->model, "a folder, GGUF file or archive; default: the reference model")
      ->type_name("MODEL");
  c->add_option("--text", o->text, "what is read and predicted; default: books-test.txt")
      ->type_name("FILE");
  c->add_option("--tuning", o->tuning, "on which sizes are sought; default: books-valid.txt")
      ->type_name("FILE");
  c->add_option("--calibrate", o->calibration,
                "whose profiles caches along axes use; default: books-calibration.txt")
      ->type_name("FILE");
  c->add_option("--recall", o->recall,
                "a model that was trained to tell planted facts; default: one that is built")
      ->type_name("MODEL");
  c->add_option("--sizes", o->sizes, "shares of the bytes of f16, all counted")
      ->type_name("N,...")
      ->delimiter(',')
      ->capture_default_str();
  c->add_option("--cache", o->caches, "only this and what its claims compare (repeatable)")
      ->type_name("EXPR|NAME")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  c->add_option(
       "-o,--output", o->output,
       "all figures as JSON; rows are kept in FILE.rows, so that later runs measure what is new")
      ->type_name("FILE");
  c->add_option("--windows", o->windows, "of 1000 tokens of the text")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  c->add_option("--seed", o->seed, "of the facts: equal seeds give equal figures")
      ->check(CLI::Range(uint64_t{0}, uint64_t{1} << 32))
      ->capture_default_str();
  c->add_flag("--quick", o->quick, "one window");
  command::add_threads(c, o->threads);
  c->callback([o] { bench_kv(*o); });
}

void add_kernels(CLI::App& parent) {
  const auto arguments = std::make_shared<std::vector<std::string>>();
  CLI::App* c = parent.add_subcommand(
      "kernels", "The entropy coders alone (a Google Benchmark program beside pith)");
  c->add_option("arguments", *arguments, "passed on, after --");
  c->callback([=] { bench_kernels(*arguments); });
}

void list(const CLI::App& parent) {
  for (const CLI::App* c : parent.get_subcommands([](const CLI::App*) { return true; })) {
    fmt::print("{:<12} {}\n", c->get_name(), c->get_description());
  }
}

}  // namespace
}  // namespace pith::bench

void add_bench(CLI::App& app) {
  using namespace pith::bench;
  CLI::App* c = app.add_subcommand("bench", "Run benchmarks, with their peers side by side");
  const auto options = std::make_shared<Options>();
  add_lossless(*c, options);
  add_delta(*c, options);
  add_large(*c, options, "threads", "One and two threads; where CPU time goes; peak memory",
            bench_threads);
  add_large(*c, options, "random", "One tensor, one row, a hundred rows, against decompressing all",
            bench_random);
  add_run(*c, options);
  add_gemv(*c, options);
  add_weights(*c, options);
  add(*c, "proxies", "What cheap proxies say of a form, and what the model really loses with it",
      bench_proxies, options)
      .add_flag("--quick", options->quick, "fewer measurements");
  add(*c, "differences",
      "Differences of checkpoints in factors, whole and by subbands, of as many numbers",
      bench_differences, options)
      .add_flag("--quick", options->quick, "one size");
  add(*c, "video",
      "What a model stores and moves as pictures, coded by ffmpeg's intra coders, against forms",
      bench_video, options)
      .add_flag("--quick", options->quick, "one size");
  add_vision(*c, options);
  add(*c, "diffusion",
      "Weights taken out of a small diffusion: of its encoder of words, its denoiser, or both",
      bench_diffusion, options)
      .add_flag("--quick", options->quick, "few rows, few drawings");
  add(*c, "pruning",
      "Two small networks trained, pruned and trained on by choices set against each other",
      bench_pruning, options)
      .add_flag("--quick", options->quick, "two seeds, one size");
  add(*c, "waves", "Surrogates of waves with full, separable and fewer kernels, step after step",
      bench_waves, options)
      .add_flag("--quick", options->quick, "few motions");
  add(*c, "cache-stream",
      "Keys and values as they are stored and sent: bits, what is lost, how fast they are read",
      bench_cache_stream, options)
      .add_flag("--quick", options->quick, "one window");
  add_recipes(*c);
  add_speed(*c);
  add_cache_speed(*c);
  add_cache_store(*c);
  add_kv(*c);
  add_kernels(*c);
  c->callback([c] {
    if (c->get_subcommands().empty()) list(*c);
  });
  c->footer(R"(Examples:
  pith bench                                 the list
  pith bench lossless --files 'lm-bf16*'     one data set
  pith bench recipes lm --text book.txt --sizes 3.1,4.1
  pith bench vision net.onnx --inputs images.npz --sizes 4,6
  pith bench speed lm lm-half.pith           what an archive gains when it runs
  pith bench kv --cache 'uniform(3, group=64)'   a cache beside the full one
  PITH_ZIPNN="python3 tools/peer_zipnn.py" pith bench delta)");
}
