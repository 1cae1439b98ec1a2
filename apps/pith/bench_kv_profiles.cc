// The profiles that `pith bench kv` needs.
#include <fmt/format.h>
#include <unistd.h>

#include <system_error>

#include "bench_kv.h"
#include "kv_profile.h"
#include "pith/base/file.h"
#include "pith/form/expression.h"
#include "pith/recipe/cache_recipes.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;
using form::Expression;
using form::Value;

constexpr std::string_view kProfile = "profile";

// What makes the profile of a composition; empty: it has none.
std::string maker_of(const Expression& e) {
  const Value* value = e.is_call() ? e.argument(kProfile) : nullptr;
  const auto* text = value ? value->get_if<std::string>() : nullptr;
  return text && text->starts_with("--") ? *text : "";
}

}  // namespace

std::string composition(std::string_view name_or_cache) {
  const recipe::CacheRecipe* r = recipe::find_cache_recipe(name_or_cache);
  if (!r) return std::string(name_or_cache);
  if (r->profile.empty()) return std::string(r->compose);
  return form::to_string(form::substitute(
      form::parse(r->compose), {{std::string(kProfile), Value(std::string(r->profile))}}));
}

Profiles::Profiles(const model::LanguageModel& model, const Hash128& model_hash,
                   std::function<std::string()> text, const weights::Journal& journal, int threads)
    : model_(model),
      model_hash_(model_hash),
      give_text_(std::move(text)),
      journal_(journal),
      threads_(threads) {
  if (journal_.on()) return;
  folder_ = fs::temp_directory_path() / fmt::format("pith-profiles-{}", ::getpid());
  fs::create_directories(folder_);
}

Profiles::~Profiles() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

const std::string& Profiles::text() {
  if (!text_) text_ = give_text_();
  return *text_;
}

Hash128 Profiles::hash(const std::string& composition) {
  const std::string maker = maker_of(form::parse(composition));
  if (maker.empty()) return {};
  return weights::KeyMaker()
      .add("profile 1")
      .add(maker)
      .add(model_hash_)
      .add(hash128(as_bytes(text())))
      .key();
}

std::string Profiles::ready(const std::string& composition) {
  const Expression e = form::parse(composition);
  const std::string maker = maker_of(e);
  if (maker.empty()) return composition;
  const Hash128 key = hash(composition);
  const fs::path file = journal_.on() ? journal_.file(key) : folder_ / key.hex();
  if (!fs::exists(file))
    write_file(file, command::profile_of(model_, text(), maker, threads_).bytes(), false);
  std::vector<form::Argument> args(e.arguments().begin(), e.arguments().end());
  for (form::Argument& a : args) {
    if (a.key == kProfile) a.value = Value(file.string());
  }
  return form::to_string(Expression::call(e.name(), std::move(args)));
}

}  // namespace pith::bench
