// Tables for people: columns as wide as their contents, numbers to the right, no rulers; plain text when piped.
#pragma once

#include <string>
#include <vector>

namespace drover {

class Table {
 public:
  enum class Align { Left, Right };
  struct Column {
    std::string title;
    Align align = Align::Left;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> row);  // as many cells as there are columns

  // Lines end without blanks. With `width` > 0 the last column is cut to fit it; with `bold` the titles stand out.
  std::string text(std::size_t width = 0, bool bold = false) const;
  // To stdout, fitted to the terminal if it is one.
  void print() const;

 private:
  std::string line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                   std::size_t width) const;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Human figures: "12.3 s", "4.0 MiB", "1:02:03".
std::string format_kib(double kib);
std::string format_seconds(double seconds);
std::string format_figure(double value);  // four digits, more only before the point: "0.6219", "13624"

}  // namespace drover
