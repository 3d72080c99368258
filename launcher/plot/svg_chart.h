// Line charts as SVG text: axes with ticks, a legend, several series, several panels on one page. Pure: text out, no
// files, no fonts to measure, the same text for the same data.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover {

struct SvgSeries {
  std::string name;                               // in the legend; "" leaves it out
  std::vector<std::pair<double, double>> points;  // x, y in the order to join them; one that isn't finite is a gap
  bool dashed = false;
};

// A thin line across the whole chart at one value, such as a threshold.
struct SvgRule {
  enum class Axis { X, Y };
  Axis axis = Axis::Y;
  double value = 0;
  std::string label;  // beside the line; "" for none
};

struct SvgChart {
  std::string title, x_title, y_title;  // units belong into the axes' titles
  bool log_x = false, log_y = false;    // points that are not above 0 on such an axis are gaps
  bool y_from_zero = true;              // else the axis begins near the least value; log_y ignores it
  std::vector<SvgSeries> series;
  std::vector<SvgRule> rules;
  unsigned width = 640, height = 400;  // pixels
};

// A whole SVG document. A chart without a finite point says "no data".
std::string svg_chart(const SvgChart&);

// Charts as panels of one document, `columns` (at least 1) in a row, each as wide and high as the largest of them.
std::string svg_page(const std::string& title, const std::vector<SvgChart>& charts, unsigned columns = 2);

// About `wanted` round values (1, 2 or 5 times a power of ten apart) that cover `low`..`high`: the first is not above
// `low` and the last not below `high`. Both finite, low <= high.
std::vector<double> linear_ticks(double low, double high, unsigned wanted = 5);
// Powers of ten that cover `low`..`high`, both above 0; less than two decades get 2 and 5 times them too.
std::vector<double> log_ticks(double low, double high);
// "0", "0.25", "1500", "20k", "1.5M": short, and different for different ticks of one axis.
std::string tick_label(double value);
// For text and attribute values: & < > " ' become entities; control characters, which XML can't hold, blanks.
std::string xml_escape(std::string_view);

}  // namespace drover
