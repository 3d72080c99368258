#include "launcher/top/controls.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "launcher/top/layout.h"

namespace drover::top {

namespace {

using Kind = Key::Kind;

// How far a key goes in a list, of which `page` lines are shown.
std::ptrdiff_t distance(Kind kind, std::size_t page) {
  constexpr std::ptrdiff_t kAll = 1'000'000'000;
  switch (kind) {
    case Kind::Up:
      return -1;
    case Kind::Down:
      return 1;
    case Kind::PageUp:
      return -static_cast<std::ptrdiff_t>(std::max<std::size_t>(page, 1));
    case Kind::PageDown:
      return static_cast<std::ptrdiff_t>(std::max<std::size_t>(page, 1));
    case Kind::Home:
      return -kAll;
    case Kind::End:
      return kAll;
    default:
      return 0;
  }
}

std::size_t moved(std::size_t index, std::ptrdiff_t by, std::size_t count) {
  if (count == 0) return 0;
  return static_cast<std::size_t>(
      std::clamp<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(index) + by, 0, static_cast<std::ptrdiff_t>(count) - 1));
}

// Where a job would get on best: a free node before others, then the one with the least load.
bool better_place(const NodeRow& a, const NodeRow& b) {
  const auto rank = [](const NodeRow& node) { return node.state == "FREE" ? 0 : node.state == "NORMAL" ? 1 : 2; };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return a.own_load + a.foreign_load < b.own_load + b.foreign_load;
}

Menu help() {
  Menu menu{"drover top", {}, 0, false};
  for (const char* line :
       {"Up Down PgUp PgDn Home End   select a job, or a node", "Tab          go to the nodes, and back to the jobs",
        "m            move the selected job to another node", "k            send the selected job a signal",
        "h            hold the selected job, or release it",
        "d, u         drain the selected node, let it take jobs again",
        "s, S         sort by the next column, backwards",
        "/            show only jobs whose name or command holds a word", "Space, r     ask for news at once",
        "Ctrl-L       draw everything again", "q            quit", "",
        "A bar of load is jobs, then everything else that runs there:",
        "green up to the low watermark, yellow to the high one, then red."})
    menu.items.push_back({line, ""});
  return menu;
}

// The last character of UTF-8 text.
void erase_last(std::string& text) {
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0U) == 0x80) text.pop_back();
  if (!text.empty()) text.pop_back();
}

}  // namespace

std::vector<KeyHint> key_hints(Pane focus) {
  return {{"m", "Move"},
          {"k", "Kill"},
          {"h", "Hold"},
          {"d", "Drain"},
          {"s", "Sort"},
          {"/", "Filter"},
          {"Tab", focus == Pane::Jobs ? "Nodes" : "Jobs"},
          {"?", "Help"},
          {"q", "Quit"}};
}

std::optional<Action> Controls::press(const Key& key, const World& world) {
  std::optional<Action> action;
  view_.message.clear();
  if (view_.typing_filter)
    action = press_in_filter(key);
  else if (question_ != Question::None)
    action = press_in_menu(key);
  else if (key.kind == Kind::Text)
    action = press_command(key.text, world);
  else
    go(key, world);
  settle(world);
  return action;
}

void Controls::settle(const World& world) {
  view_.menu = question_ == Question::None ? nullptr : &menu_;
  top::settle(world, view_);
}

std::optional<Action> Controls::press_in_filter(const Key& key) {
  if (key.kind == Kind::Text)
    view_.filter += key.text;
  else if (key.kind == Kind::Backspace)
    erase_last(view_.filter);
  else if (key.kind == Kind::Escape)
    view_.filter.clear();
  if (key.kind == Kind::Enter || key.kind == Kind::Escape) view_.typing_filter = false;
  return std::nullopt;
}

std::optional<Action> Controls::press_in_menu(const Key& key) {
  if (menu_.choice && distance(key.kind, 1) != 0) {
    menu_.step(distance(key.kind, Menu::rows(view_.height)));
    return std::nullopt;
  }
  const bool yes = key.kind == Kind::Enter;
  const bool no = key.kind == Kind::Escape || (key.kind == Kind::Text && (key.text == "q" || key.text == "n"));
  if (menu_.choice && !yes && !no) return std::nullopt;
  std::optional<Action> action;
  if (menu_.choice && yes && menu_.selected < menu_.items.size()) action = answer(menu_.items[menu_.selected]);
  question_ = Question::None;
  return action;
}

std::optional<Action> Controls::answer(const Menu::Item& item) {
  switch (question_) {
    case Question::Move:
      return Action{Action::Kind::Move, asked_job_, 0, item.value};
    case Question::Kill:
      return Action{Action::Kind::Kill, asked_job_, std::atoi(item.value.c_str())};
    case Question::Drain:
      if (item.value.empty()) return std::nullopt;
      return Action{Action::Kind::Drain, 0, 0, asked_node_};
    case Question::Help:
    case Question::None:
      break;
  }
  return std::nullopt;
}

std::optional<Action> Controls::press_command(const std::string& text, const World& world) {
  switch (text.size() == 1 ? text[0] : '\0') {
    case 'm':
      ask_where_to_move(world);
      break;
    case 'k':
      ask_which_signal(world);
      break;
    case 'h':
      return hold_or_release(world);
    case 'd':
      ask_whether_to_drain(world);
      break;
    case 'u':
      if (!view_.node.empty()) return Action{Action::Kind::Undrain, 0, 0, view_.node};
      break;
    case 's':
      view_.sort = static_cast<Sort>((static_cast<int>(view_.sort) + 1) % kSorts);
      break;
    case 'S':
      view_.backwards = !view_.backwards;
      break;
    case '/':
      view_.typing_filter = true;
      break;
    case '?':
      ask(Question::Help, help());
      break;
    case 'r':
    case ' ':
      return Action{Action::Kind::Refresh};
    case '\f':
      return Action{Action::Kind::Redraw};
    case 'q':
      return Action{Action::Kind::Quit};
    default:
      break;
  }
  return std::nullopt;
}

void Controls::go(const Key& key, const World& world) {
  const Geometry shape = geometry(world, view_);
  if (key.kind == Kind::Tab) {
    view_.focus = view_.focus == Pane::Jobs ? Pane::Nodes : Pane::Jobs;
  } else if (key.kind == Kind::Escape) {
    view_.filter.clear();
  } else if (view_.focus == Pane::Nodes) {
    if (world.nodes.empty()) return;
    view_.node_index = moved(view_.node_index, distance(key.kind, shape.node_rows), world.nodes.size());
    view_.node = world.nodes[view_.node_index].name;
  } else {
    const auto jobs = sorted_jobs(world, view_.filter, view_.sort, view_.backwards);
    if (jobs.empty()) return;
    view_.job_index = moved(view_.job_index, distance(key.kind, shape.job_rows), jobs.size());
    view_.job = jobs[view_.job_index]->id;
  }
}

void Controls::say(std::string text) {
  view_.message = std::move(text);
  view_.message_style = Style::Yellow;
}

void Controls::ask(Question question, Menu menu) {
  question_ = question;
  menu_ = std::move(menu);
}

void Controls::ask_where_to_move(const World& world) {
  const JobRow* job = world.job(view_.job);
  if (job == nullptr) return say("no job is selected");
  if (job->state != "running") return say(fmt::format("job {} can't be moved: it is {}", job->id, job->state));
  Menu menu{fmt::format("Move job {} ({}) from {} to", job->id, job->name, job->node), {}, 0, true};
  const NodeRow* best = nullptr;
  for (const NodeRow& node : world.nodes) {
    if (node.name == job->node || !node.takes_jobs()) continue;
    if (best == nullptr || better_place(node, *best)) {
      best = &node;
      menu.selected = menu.items.size();
    }
    menu.items.push_back({fmt::format("{:<10} {:<8} load {:.2f}, {} job{}", node.name, node.state,
                                      node.own_load + node.foreign_load, node.jobs, node.jobs == 1 ? "" : "s"),
                          node.name});
  }
  if (menu.items.empty()) return say("no other node takes jobs now");
  asked_job_ = job->id;
  ask(Question::Move, std::move(menu));
}

void Controls::ask_which_signal(const World& world) {
  const JobRow* job = world.job(view_.job);
  if (job == nullptr) return say("no job is selected");
  Menu menu{fmt::format("Send job {} ({})", job->id, job->name), {}, 0, true};
  const auto offer = [&](int signal, const char* what) {
    menu.items.push_back(
        {fmt::format("{:>2} {:<5} {}", signal, ::sigabbrev_np(signal), what), fmt::format("{}", signal)});
  };
  offer(SIGTERM, "end, please");
  offer(SIGINT, "as ctrl-c");
  offer(SIGKILL, "end at once");
  offer(SIGHUP, "");
  offer(SIGQUIT, "");
  offer(SIGSTOP, "stand still");
  offer(SIGCONT, "go on");
  offer(SIGUSR1, "");
  offer(SIGUSR2, "");
  asked_job_ = job->id;
  ask(Question::Kill, std::move(menu));
}

std::optional<Action> Controls::hold_or_release(const World& world) {
  const JobRow* job = world.job(view_.job);
  if (job == nullptr) {
    say("no job is selected");
    return std::nullopt;
  }
  return Action{job->state == "held" ? Action::Kind::Release : Action::Kind::Hold, job->id};
}

void Controls::ask_whether_to_drain(const World& world) {
  const NodeRow* node = world.node(view_.node);
  if (node == nullptr) return say("no node is selected");
  asked_node_ = node->name;
  ask(Question::Drain,
      Menu{
          fmt::format("Drain {}?", node->name),
          {{fmt::format("Yes: its {} job{} go elsewhere, and it takes no more", node->jobs, node->jobs == 1 ? "" : "s"),
            "yes"},
           {"No", ""}},
          0,
          true});
}

}  // namespace drover::top
