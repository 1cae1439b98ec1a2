#include "cache_option.h"

#include "message.h"
#include "options.h"
#include "pith/base/error.h"
#include "pith/form/expression.h"
#include "pith/model/session.h"
#include "pith/recipe/cache_recipes.h"

namespace pith::command {

std::optional<kv::CacheOptions> cache_of(const std::string& text, const std::string& budget,
                                         const std::string& profile) {
  if (text.empty()) return std::nullopt;
  const char* option = "--kv";
  try {
    kv::CacheOptions cache = recipe::cache_options(text, {}, profile);
    option = "--kv-budget";
    return budget.empty() ? cache : cache.with_budget(budget);
  } catch (const Error& e) {
    throw of_option(e, option);
  }
}

void check_cache(const model::LanguageModel& model, const std::string& text,
                 const std::optional<kv::CacheOptions>& cache) {
  if (!cache) return;
  try {
    model::Session::check(model, *cache);
  } catch (const Error& e) {
    if (recipe::find_cache_recipe(text) || !form::parse(text).is_name()) throw e.in("--kv");
    fail(e.kind(), "--kv: {} is not the name of a cache (pith recipes), and as a form: {}", text,
         e.what());
  }
}

void warn_of_budget(const std::optional<kv::CacheOptions>& cache, const std::string& budget,
                    uint64_t positions) {
  if (!cache || !cache->budget || budget.empty()) return;
  const uint64_t wanted = cache->budget->of(positions), least = cache->least(wanted);
  if (least <= wanted || positions <= least) return;
  print_warning(
      fmt::format("--kv-budget: {} of {} tokens are {}, less than the {} that stay in any case",
                  budget, positions, wanted, least));
}

}  // namespace pith::command
