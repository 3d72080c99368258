// MPI as Drover uses it: initialised once, errors returned and checked, nothing that blocks after the start.
#pragma once

#include <mpi.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace drover::mpi {

// A failed MPI call: "MPI_Isend to rank 3: MPI_ERR_OTHER: known error not in list".
class MpiError : public std::runtime_error {
 public:
  MpiError(std::string_view operation, int code);
};
inline void check(int code, std::string_view operation) {
  if (code != MPI_SUCCESS) throw MpiError(operation, code);
}

// A communicator with one owner. An unfreed one is a leak of 8 KiB and one of 32,765 ids.
class Communicator {
 public:
  Communicator() = default;
  explicit Communicator(MPI_Comm comm) : comm_(comm) {}
  Communicator(Communicator&& other) noexcept : comm_(other.release()) {}
  Communicator& operator=(Communicator&& other) noexcept;
  ~Communicator() { reset(); }

  MPI_Comm get() const { return comm_; }
  explicit operator bool() const { return comm_ != MPI_COMM_NULL; }
  MPI_Comm release();
  void reset();

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

// The world of one mpirun. One object per process, made before any other MPI call.
class World {
 public:
  World(int* argc, char*** argv);  // throws MpiError, std::runtime_error (thread level)
  // How to leave is the owner's choice: finalize() when nobody was ever lost, else leave without it (see DESIGN:
  // MPI_Finalize and MPI_Abort hang after a dead rank, _exit(0) is clean under recovery).
  void finalize();

  int rank() const { return rank_; }
  int size() const { return size_; }
  Communicator duplicate() const;  // collective

 private:
  int rank_ = 0, size_ = 0;
};

}  // namespace drover::mpi
