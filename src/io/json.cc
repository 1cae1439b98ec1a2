#include "pith/io/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pith::io {
namespace {

constexpr size_t kMaxDepth = 200;         // destructors of the tree recurse this deep
constexpr size_t kMaxValues = 8'000'000;  // about 0.5 GB of tree; a tensor takes about ten

// nlohmann's parser keeps its own stack on the heap and calls this for every event, so that the
// limits are checked before anything is built.
class TreeBuilder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = std::string;
  using binary_t = nlohmann::json::binary_t;

  bool null() { return put(Json{nullptr}); }
  bool boolean(bool v) { return put(Json{v}); }
  bool number_integer(number_integer_t v) { return put(Json{static_cast<double>(v)}); }
  bool number_unsigned(number_unsigned_t v) { return put(Json{uint64_t{v}}); }
  bool number_float(number_float_t v, const string_t&) { return put(Json{v}); }
  bool string(string_t& v) { return put(Json{std::move(v)}); }
  bool binary(binary_t&) { return false; }
  bool start_object(size_t) { return put(Json{Json::Object()}); }
  bool start_array(size_t) { return put(Json{Json::Array()}); }
  bool key(string_t& name) {
    key_ = std::move(name);
    return true;
  }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool end_object() {
    std::vector<std::string_view> names;
    for (const auto& member : *open_.back()->object()) names.push_back(member.name);
    std::ranges::sort(names);
    if (std::ranges::adjacent_find(names) != names.end()) return stop("a name stands twice");
    return end_array();
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) {
    return stop(fmt::format("not valid JSON at byte {}", position));
  }

  Json root;
  std::string wrong;

 private:
  bool stop(std::string why) {
    wrong = std::move(why);
    return false;
  }
  bool put(Json&& value) {
    if (++values_ > kMaxValues) return stop("too many values");
    if (open_.size() >= kMaxDepth) return stop("nested too deep");
    const bool container = value.array() || value.object();
    Json* at = place(std::move(value));
    if (container) open_.push_back(at);
    return true;
  }
  // Open containers do not move: only the innermost one grows.
  Json* place(Json&& value) {
    if (open_.empty()) return &(root = std::move(value));
    Json& parent = *open_.back();
    if (auto* array = std::get_if<Json::Array>(&parent.value)) {
      return &array->emplace_back(std::move(value));
    }
    auto& object = std::get<Json::Object>(parent.value);
    return &object.emplace_back(Json::Member{std::move(key_), std::move(value)}).value;
  }

  std::vector<Json*> open_;
  std::string key_;
  size_t values_ = 0;
};

}  // namespace

const Json* Json::find(std::string_view name) const {
  const Object* members = object();
  if (!members) return nullptr;
  const auto at = std::ranges::find(*members, name, &Member::name);
  return at != members->end() ? &at->value : nullptr;
}

Json parse_json(ByteView text, std::string_view what) {
  TreeBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    fail(ErrorKind::kData, "{}: {}", what, builder.wrong);
  }
  return std::move(builder.root);
}

std::vector<uint64_t> numbers(const Json* array, std::string_view what) {
  const auto* items = array ? array->array() : nullptr;
  if (!items) fail(ErrorKind::kData, "{} is not an array", what);
  std::vector<uint64_t> out;
  for (const Json& item : *items) {
    if (!item.number()) fail(ErrorKind::kData, "{} holds something else than counts", what);
    out.push_back(*item.number());
  }
  return out;
}

}  // namespace pith::io
