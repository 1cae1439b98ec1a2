// Tables of what has a name in the notation: kinds of form, bases, coders.
#pragma once

#include <string>
#include <string_view>

namespace pith::form {

// The entry whose `name` it is; null where there is none.
template <class Table>
const typename Table::value_type* find_named(const Table& table, std::string_view name) {
  for (const auto& entry : table) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

// "dense, uniform, …", for messages: of the entries that `wanted` holds for.
template <class Table, class Wanted>
std::string names_of(const Table& table, const Wanted& wanted) {
  std::string all;
  for (const auto& entry : table) {
    if (wanted(entry)) all += (all.empty() ? "" : ", ") + std::string(entry.name);
  }
  return all;
}
template <class Table>
std::string names_of(const Table& table) {
  return names_of(table, [](const auto&) { return true; });
}

}  // namespace pith::form
