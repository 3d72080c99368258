// A pseudo-terminal (pty(7)): a pair of a master, which a terminal emulator or the like holds, and a slave, which
// programs take for a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace drover {

// What one read(2) of a terminal in canonical mode gives.
struct TerminalLine {
  std::vector<std::byte> bytes;
  bool end_of_file = false;  // ended by VEOF and not by one of the characters in it
  template <class A>
  void serialize(A& a, unsigned) {
    a& bytes& end_of_file;
  }
};

enum class TerminalFlow : std::uint8_t {
  Running = 0,
  StoppedByKey = 1,      // VSTOP was typed
  StoppedByProgram = 2,  // tcflow(3), TCOOFF
};

struct TerminalState {
  std::uint32_t number = 0;      // of /dev/pts/NUMBER
  bool given = false;            // its master is outside: whoever restores the tree takes it
  bool hung_up = false;          // the master is closed, and what was open of the slave is dead; nothing else counts
  std::uint32_t mode = 0;        // permissions of the slave
  std::vector<std::byte> modes;  // struct termios2
  std::uint16_t rows = 0, columns = 0, width_pixels = 0, height_pixels = 0;
  bool locked = false;       // TIOCSPTLCK
  bool exclusive = false;    // TIOCEXCL
  bool packet_mode = false;  // TIOCPKT
  TerminalFlow flow = TerminalFlow::Running;
  std::int32_t session = 0;           // whose controlling terminal it is; 0: nobody's
  std::int32_t foreground_group = 0;  // of that session
  std::vector<std::byte> output;      // not yet read by the master
  std::vector<TerminalLine> lines;    // not yet read by programs, in canonical mode
  std::vector<std::byte> typed;       // a line that is not ended yet; not in canonical mode: all that was not yet read

  template <class A>
  void serialize(A& a, unsigned) {
    a& number& given& hung_up& mode& modes& rows& columns& width_pixels& height_pixels& locked& exclusive& packet_mode&
        flow& session& foreground_group& output& lines& typed;
  }
};

}  // namespace drover
