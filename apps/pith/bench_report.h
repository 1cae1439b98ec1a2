// What a benchmark prints: sections of notes and tables, as Markdown while it runs or as one JSON
// document at its end.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pith::bench {

using Json = nlohmann::ordered_json;

// The same value for people and for programs.
struct Cell {
  std::string text;
  Json value;
};
Cell text(const std::string& s);
Cell count(uint64_t n);
Cell ratio(double r);                       // 1.5037
Cell rate(uint64_t bytes, double seconds);  // MB/s (10^6); empty when seconds <= 0
Cell change(double from, double to);        // "+1.3%": how much larger `to` is
Cell seconds(double s);
Cell number(double v, int digits);
Cell none();

class Table {
 public:
  explicit Table(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  std::string markdown() const;  // first column to the left, numbers to the right
  Json json() const;

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<Cell>> rows_;
};

class Report {
 public:
  Report(std::string benchmark, bool json);  // begins with the machine
  void section(const std::string& title);
  void note(const std::string& line);
  void table(const Table& table);
  void status(const std::string& what) const;  // on a terminal's stderr, overwritten by the next
  void finish();

 private:
  Json& current();
  bool json_;
  Json document_;
};

}  // namespace pith::bench
