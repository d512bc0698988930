// AMX on a machine that has none. The processor refuses each of its instructions by a signal; here the signal is answered by
// doing what the instruction should have done, with the plain code of tile.h, and going on behind it. So the machine code
// that AMX will get is run where there is no AMX: its order, its registers, its addresses, its shapes.
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ucontext.h>

#define CHAINRULE_ISA trap
#include "tile.h"

namespace {

using namespace chainrule::trap;

constexpr int REGISTERS[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// An instruction of the form C4, three bits of registers and a map, W vvvv L pp, opcode, ModRM, and what names memory.
struct Instruction {
  int opcode, prefix, length = 5;
  int first, second, third;  // the tiles: ModRM's two, and that of vvvv
  bool of_memory;
  int64_t address = 0, stride = 0;
};

int64_t number_at(const uint8_t* at, int bytes) {  // with its sign
  int64_t number = 0;
  std::memcpy(&number, at, bytes);
  return number << (64 - 8 * bytes) >> (64 - 8 * bytes);
}

Instruction read(const uint8_t* at, const greg_t* registers) {
  tile_require(at[0] == 0xC4 && (at[1] & 0x1F) == 2);
  int higher_index = ~at[1] >> 3 & 8, higher_base = ~at[1] >> 2 & 8;
  int mode = at[4] >> 6, base = at[4] & 7;
  Instruction found{at[3], at[2] & 3, 5, at[4] >> 3 & 7, base, ~at[2] >> 3 & 15, mode != 3};
  if (!found.of_memory) return found;
  bool bare = mode == 0 && base == 5;  // beside the next instruction
  if (base == 4) {
    int index = (at[5] >> 3 & 7) | higher_index;
    if (index != 4) found.stride = registers[REGISTERS[index]] << (at[5] >> 6);
    base = at[5] & 7;
    found.length = 6;
    tile_require(mode != 0 || base != 5);
  }
  if (!bare) found.address = registers[REGISTERS[base | higher_base]];
  int bytes = bare || mode == 2 ? 4 : mode == 1 ? 1 : 0;
  if (bytes) found.address += number_at(at + found.length, bytes);
  found.length += bytes;
  if (bare) found.address += int64_t(at) + found.length;
  return found;
}

void run(const Instruction& found) {
  enum { none, of_66, of_F3, of_F2 };
  void* memory = (void*)found.address;
  if (found.opcode == 0x49 && found.prefix == none && found.of_memory) {
    tile_require(emulated.shapes.palette == 0);  // each task has given back what it took
    tile_begin(*(const TileShapes*)memory);
  } else if (found.opcode == 0x49 && found.prefix == none) tile_end();
  else if (found.opcode == 0x49 && found.prefix == of_F2) tile_zero(found.first);
  else if (found.opcode == 0x4B && found.prefix == of_F2) tile_load(found.first, memory, found.stride);
  else if (found.opcode == 0x4B && found.prefix == of_F3) tile_store(found.first, memory, found.stride);
  else if (found.opcode == 0x5C && found.prefix == of_F3) tile_multiply(found.first, found.second, found.third);
  else tile_require(false);
}

void answer(int, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  Instruction found = read((const uint8_t*)registers[REG_RIP], registers);
  run(found);
  registers[REG_RIP] += found.length;
}

}  // namespace

void stand_in_for_amx() {
  struct sigaction action {};
  action.sa_sigaction = answer;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, nullptr);
}
