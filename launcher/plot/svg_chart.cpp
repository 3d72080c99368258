#include "launcher/plot/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>

#include "launcher/plot/svg_axis.h"

namespace drover {

namespace {

// Okabe and Ito's palette: told apart by colour-blind readers too, and by its darkness in print.
constexpr std::array<const char*, 7> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                 "#56b4e9", "#e69f00", "#000000"};
constexpr double kTop = 34, kBottom = 48, kLeft = 62, kRight = 16;  // margins, in pixels
constexpr double kLegendLine = 16;
constexpr double kPageTitle = 34;

using Out = std::back_insert_iterator<std::string>;

struct Plot {  // a chart with its axes and the place of its inner rectangle
  const SvgChart& chart;
  SvgAxis x, y;
  double left, right, top, bottom;
};

bool drawable(const SvgChart& chart, std::pair<double, double> point) {
  return std::isfinite(point.first) && std::isfinite(point.second) && (!chart.log_x || point.first > 0) &&
         (!chart.log_y || point.second > 0);
}

Plot lay_out(const SvgChart& chart, double x, double y) {
  SvgRange xs, ys;
  for (const SvgSeries& series : chart.series)
    for (const auto& point : series.points) {
      if (!drawable(chart, point)) continue;
      xs.add(point.first);
      ys.add(point.second);
    }
  for (const SvgRule& rule : chart.rules) {
    const bool log = rule.axis == SvgRule::Axis::X ? chart.log_x : chart.log_y;
    if (std::isfinite(rule.value) && (!log || rule.value > 0))
      (rule.axis == SvgRule::Axis::X ? xs : ys).add(rule.value);
  }
  if (chart.y_from_zero && !chart.log_y) ys.add(0);
  const double left = x + kLeft, right = x + chart.width - kRight, top = y + kTop, bottom = y + chart.height - kBottom;
  return {chart, SvgAxis(xs, chart.log_x, left, right), SvgAxis(ys, chart.log_y, bottom, top), left, right, top,
          bottom};
}

void add_text(Out out, double x, double y, const char* anchor, std::string_view text, const char* more = "") {
  fmt::format_to(out, "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                 xml_escape(text));
}

void add_line(Out out, double x1, double y1, double x2, double y2, const char* style) {
  fmt::format_to(out, "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
}

void add_axes(Out out, const Plot& plot) {
  for (const double tick : plot.x.ticks()) {
    const double x = plot.x.place(tick);
    add_line(out, x, plot.top, x, plot.bottom, "stroke=\"#e4e4e4\"");
    add_line(out, x, plot.bottom, x, plot.bottom + 4, "stroke=\"#444\"");
    add_text(out, x, plot.bottom + 16, "middle", tick_label(tick));
  }
  for (const double tick : plot.y.ticks()) {
    const double y = plot.y.place(tick);
    add_line(out, plot.left, y, plot.right, y, "stroke=\"#e4e4e4\"");
    add_line(out, plot.left - 4, y, plot.left, y, "stroke=\"#444\"");
    add_text(out, plot.left - 7, y + 4, "end", tick_label(tick));
  }
  fmt::format_to(out, "<path d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\" fill=\"none\" stroke=\"#444\"/>\n", plot.left, plot.top,
                 plot.bottom, plot.right);
  const double middle = (plot.left + plot.right) / 2, y_middle = (plot.top + plot.bottom) / 2;
  add_text(out, middle, plot.top - 14, "middle", plot.chart.title, " font-size=\"14\" font-weight=\"bold\"");
  add_text(out, middle, plot.bottom + 36, "middle", plot.chart.x_title);
  const double x = plot.left - kLeft + 14;
  add_text(out, x, y_middle, "middle", plot.chart.y_title,
           fmt::format(" transform=\"rotate(-90 {:.1f} {:.1f})\"", x, y_middle).c_str());
}

void add_rules(Out out, const Plot& plot) {
  constexpr const char* kStyle = "stroke=\"#777\" stroke-dasharray=\"2 3\"";
  for (const SvgRule& rule : plot.chart.rules) {
    const bool across_x = rule.axis == SvgRule::Axis::X;
    if (!std::isfinite(rule.value) || (rule.value <= 0 && (across_x ? plot.chart.log_x : plot.chart.log_y))) continue;
    if (across_x) {
      const double x = plot.x.place(rule.value);
      add_line(out, x, plot.top, x, plot.bottom, kStyle);
      if (!rule.label.empty()) add_text(out, x + 3, plot.top + 10, "start", rule.label, " fill=\"#555\"");
    } else {
      const double y = plot.y.place(rule.value);
      add_line(out, plot.left, y, plot.right, y, kStyle);
      if (!rule.label.empty()) add_text(out, plot.right - 2, y - 3, "end", rule.label, " fill=\"#555\"");
    }
  }
}

void add_series(Out out, const Plot& plot, const SvgSeries& series, const char* colour) {
  std::string path, dots;
  bool pen_down = false;
  for (const auto& point : series.points) {
    if (!drawable(plot.chart, point)) {
      pen_down = false;
      continue;
    }
    const double x = plot.x.place(point.first), y = plot.y.place(point.second);
    fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", pen_down ? "L" : "M", x, y);
    fmt::format_to(std::back_inserter(dots), "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"/>", x, y);
    pen_down = true;
  }
  if (path.empty()) return;
  fmt::format_to(out, "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"{}/>\n<g fill=\"{}\">{}</g>\n",
                 path, colour, series.dashed ? " stroke-dasharray=\"6 4\"" : "", colour, dots);
}

void add_legend(Out out, const Plot& plot) {
  double y = plot.top + 12;
  for (std::size_t i = 0; i < plot.chart.series.size(); ++i) {
    const SvgSeries& series = plot.chart.series[i];
    if (series.name.empty()) continue;
    const std::string style = fmt::format("stroke=\"{}\" stroke-width=\"1.8\"{}", kColours[i % kColours.size()],
                                          series.dashed ? " stroke-dasharray=\"6 4\"" : "");
    add_line(out, plot.left + 10, y - 4, plot.left + 34, y - 4, style.c_str());
    add_text(out, plot.left + 40, y, "start", series.name);
    y += kLegendLine;
  }
}

void add_chart(Out out, const SvgChart& chart, double x, double y) {
  const Plot plot = lay_out(chart, x, y);
  add_axes(out, plot);
  const bool any = std::any_of(chart.series.begin(), chart.series.end(), [&](const SvgSeries& series) {
    return std::any_of(series.points.begin(), series.points.end(),
                       [&](const auto& point) { return drawable(chart, point); });
  });
  if (!any)
    add_text(out, (plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2, "middle", "no data", " fill=\"#777\"");
  add_rules(out, plot);
  for (std::size_t i = 0; i < chart.series.size(); ++i)
    add_series(out, plot, chart.series[i], kColours[i % kColours.size()]);
  add_legend(out, plot);
}

std::string document(double width, double height, const std::string& body) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\" viewBox=\"0 0 {:.0f} {:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}</svg>\n",
      width, height, width, height, body);
}

}  // namespace

std::string svg_chart(const SvgChart& chart) {
  std::string body;
  add_chart(std::back_inserter(body), chart, 0, 0);
  return document(chart.width, chart.height, body);
}

std::string svg_page(const std::string& title, const std::vector<SvgChart>& charts, unsigned columns) {
  columns = std::max(1U, columns);
  double width = 0, height = 0;
  for (const SvgChart& chart : charts) {
    width = std::max<double>(width, chart.width);
    height = std::max<double>(height, chart.height);
  }
  const std::size_t rows = (charts.size() + columns - 1) / columns;
  const double page_width = std::max(320.0, width * static_cast<double>(std::min<std::size_t>(columns, charts.size())));
  std::string body;
  add_text(std::back_inserter(body), page_width / 2, 22, "middle", title, " font-size=\"16\" font-weight=\"bold\"");
  for (std::size_t i = 0; i < charts.size(); ++i) {
    const std::size_t row = i / columns, column = i % columns;
    add_chart(std::back_inserter(body), charts[i], width * static_cast<double>(column),
              kPageTitle + height * static_cast<double>(row));
  }
  return document(page_width, kPageTitle + height * static_cast<double>(rows), body);
}

std::string xml_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&apos;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

}  // namespace drover
