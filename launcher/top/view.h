// What the person at the keyboard has chosen to see, and how large the window is.
#pragma once

#include <string>
#include <vector>

#include "launcher/top/world.h"

namespace drover::top {

inline constexpr std::size_t kLeastWidth = 40, kLeastHeight = 10;

// A list over the screen from which one line is taken; without values a text to read.
struct Menu {
  struct Item {
    std::string label, value;
  };
  std::string title;
  std::vector<Item> items;
  std::size_t selected = 0;
  bool choice = true;

  void step(std::ptrdiff_t by);  // stops at both ends
  // So many of its items fit at once into a window of this height.
  static std::size_t rows(std::size_t height);
};

enum class Pane { Nodes, Jobs };

struct View {
  std::size_t width = 80, height = 24;
  bool wide_characters = true;  // else bars are drawn in ASCII
  Pane focus = Pane::Jobs;

  // What is selected stays so while lines come and go: by name and id. settle() keeps the rest true.
  std::string node;
  long job = 0;
  std::size_t node_index = 0, job_index = 0;
  std::size_t first_node = 0, first_job = 0;  // of those shown

  Sort sort = Sort::Job;
  bool backwards = false;
  std::string filter;
  bool typing_filter = false;

  const Menu* menu = nullptr;
  std::string message;  // what became of the last command
  Style message_style = Style::Plain;
};

}  // namespace drover::top
