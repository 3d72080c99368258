// Tables for people: columns as wide as their contents, numbers to the right, no rulers; plain text when piped.
#pragma once

#include <string>
#include <vector>

namespace drover {

class Table {
 public:
  enum class Align { Left, Right };
  enum class Colour { None, Green, Yellow, Red };
  struct Column {
    std::string title;
    Align align = Align::Left;
    Colour (*colour)(const std::string& cell) = nullptr;
  };
  struct Look {
    std::size_t width = 0;  // in columns of the terminal; 0: lines are not cut
    bool bold = false;      // titles stand out
    bool colour = false;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> row);  // as many cells as there are columns

  // Lines end without blanks. What does not fit the width is cut at the end of the line, with "…".
  std::string text(const Look& look) const;
  // To stdout, as fits what it is.
  void print() const;

 private:
  struct Shape {
    std::vector<std::size_t> widths;
    Look look;
  };
  std::string line(const std::vector<std::string>& cells, const Shape& shape) const;
  std::string coloured_line(const std::vector<std::string>& cells, const Shape& shape) const;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// What stdout can show: nothing but plain text unless it is a terminal; no escape codes if $TERM is "dumb"; no colours
// if $NO_COLOR is set (https://no-color.org).
Table::Look look_of_stdout();

// Human figures: "12.3 s", "4.0 MiB", "1:02:03".
std::string format_kib(double kib);
std::string format_seconds(double seconds);
std::string format_figure(double value);  // four digits, more only before the point: "0.6219", "13624"

}  // namespace drover
