// JSON of untrusted files: a bounded parse into a small tree.
//
// Unlike a general JSON library it refuses what no model file needs and an attacker would like:
// deep nesting, more values than memory is for, and objects that name a member twice (readers
// disagree about which one counts).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pith/base/bytes.h"

namespace pith::io {

struct Json {
  struct Member;
  using Array = std::vector<Json>;
  using Object = std::vector<Member>;  // in file order, names unique

  // Numbers are kept as uint64_t where they are non-negative integers, else as double.
  std::variant<std::nullptr_t, bool, uint64_t, double, std::string, Array, Object> value;

  const std::string* text() const { return std::get_if<std::string>(&value); }
  const uint64_t* number() const { return std::get_if<uint64_t>(&value); }
  const Array* array() const { return std::get_if<Array>(&value); }
  const Object* object() const { return std::get_if<Object>(&value); }
  // The member of an object; nullptr when there is none or this is no object.
  const Json* find(std::string_view name) const;
};

struct Json::Member {
  std::string name;
  Json value;
};

// Throws ErrorKind::kData, with `what` in front.
Json parse_json(ByteView text, std::string_view what);

// All of an array's numbers; throws ErrorKind::kData naming `what` when it is not such an array.
std::vector<uint64_t> numbers(const Json* array, std::string_view what);

}  // namespace pith::io
