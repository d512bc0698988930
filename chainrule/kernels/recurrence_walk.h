// A recurrence for one type of numbers that enter its products, float32 or bfloat16: `Numbers` of numbers.h. States, the
// memory of an LSTM and all that happens between two products are float32.
#pragma once
#include "parallel.h"
#include "recurrence.h"
#include "vector.h"

// Each task takes some rows of the batch through the whole sequence, or, where the batch is small or the kernel large,
// some columns through one step. The kernel is packed once into panels, which hold the columns of all gates of the same
// units side by side: when the sums of a tile end, its states follow from them while they are still in registers.
namespace chainrule::CHAINRULE_ISA {

constexpr int MOST_SUMS = LANES == 16 ? 24 : 12;  // vectors that stay in registers

// A panel of the forward product is VECTORS wide, and a tile of it ROWS high.
template <Cell cell>
struct Layout {
  static constexpr int GATES = cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1;
  static constexpr int VECTORS = cell == Cell::simple ? 2 : GATES;
  static constexpr int UNITS = cell == Cell::simple ? 2 * LANES : LANES;
  static constexpr int ROWS = MOST_SUMS / VECTORS;
};

template <Cell kind>
struct CellConstant {
  static constexpr Cell value = kind;
};

template <class Body>
static inline void with_cell(Cell kind, Body&& body) {
  switch (kind) {
    case Cell::lstm: return body(CellConstant<Cell::lstm>{});
    case Cell::gru: return body(CellConstant<Cell::gru>{});
    default: return body(CellConstant<Cell::simple>{});
  }
}

static inline int64_t gates_of(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

// The rows of what is read again and again do not lie a power of two apart: they would displace each other in the cache.
static inline int64_t row_width(int64_t count) { return (count + 2 * LANES - 1) / (2 * LANES) * (2 * LANES) + 16; }

// The arrays of a call's own, one behind another in its room, each from the beginning of a cache line on.
class Shelf {
 public:
  explicit Shelf(void* room) : begin_(reinterpret_cast<uintptr_t>(room)) {}
  template <class Data>
  Data* take(int64_t count) {
    uintptr_t place = begin_ + uintptr_t(bytes_);
    bytes_ += (count * int64_t(sizeof(Data)) + 63) / 64 * 64;
    return reinterpret_cast<Data*>(place);
  }
  int64_t bytes() const { return bytes_; }  // of all that was taken

 private:
  uintptr_t begin_;
  int64_t bytes_ = 0;
};

static inline int64_t at_most_lanes(int64_t count) { return count < LANES ? count : LANES; }

// How a walk is divided: into bands of rows that go their own way, or into blocks of columns that wait for each other
// after each step.
struct Division {
  int64_t bands, blocks;
};

static inline Division divide(const Pool& pool, const RecurrenceSizes& sizes, int64_t panels) {
  int64_t threads = pool.threads(), columns = sizes.units * gates_of(sizes.cell);
  int64_t operations = 2 * sizes.batch * sizes.units * columns;  // of one step
  if (threads == 1 || operations * sizes.time < FEWEST_SHARED_OPERATIONS) return {1, 1};
  constexpr int64_t FEWEST_ROWS = 12, FEWEST_BLOCK_OPERATIONS = 400'000;
  if (sizes.batch >= threads * FEWEST_ROWS) return {threads, 1};
  int64_t blocks = operations / FEWEST_BLOCK_OPERATIONS;
  blocks = blocks < threads ? blocks : threads;
  blocks = blocks < panels ? blocks : panels;
  if (blocks >= 2) return {1, blocks};
  int64_t bands = sizes.batch < threads ? sizes.batch : threads;
  return {bands, 1};
}

// Runs `step(index, rows, panels)` for all indices below `steps`, each after the one before it on the same rows.
template <class Step>
static void run_steps(Pool& pool, Division division, int64_t batch, int64_t panels, int64_t steps, const Step& step) {
  if (division.blocks == 1) {
    parallel(pool, division.bands, [&](int64_t band) {
      Range rows = part(batch, division.bands, band);
      for (int64_t index = 0; index < steps; ++index) step(index, rows, Range{0, panels});
    });
    return;
  }
  // Tasks are begun in their order, so that one waits only for what other threads are at already.
  int64_t done = 0;
  parallel(pool, steps * division.blocks, [&](int64_t task) {
    int64_t index = task / division.blocks;
    pool.wait(done, index * division.blocks);
    step(index, Range{0, batch}, part(panels, division.blocks, task % division.blocks));
    __atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
  });
}

// Calls `tile(constant, row)` for tiles that cover the rows.
template <int ROWS, class Tile>
static inline void over_rows(Range rows, const Tile& tile) {
  int64_t row = rows.begin;
  for (; rows.end - row >= ROWS; row += ROWS) tile(Constant<ROWS>{}, row);
  for (; rows.end - row >= 2; row += 2) tile(Constant<2>{}, row);
  if (row < rows.end) tile(Constant<1>{}, row);
}

template <Cell cell, class Numbers>
struct Forward {
  using L = Layout<cell>;
  using Number = typename Numbers::Number;
  using Word = typename Numbers::Word;
  const RecurrenceForward<Number>& call;
  int64_t batch, time, units, columns, width, panels, panel_size;
  Shelf shelf;
  Word* packed;
  float *bias, *h[2], *c;
  Number* operand[2];  // what enters the product: the state, scaled and rounded where it is
  bool operand_is_state;

  explicit Forward(const RecurrenceForward<Number>& call_)
      : call(call_), batch(call.sizes.batch), time(call.sizes.time), units(call.sizes.units),
        columns(units * L::GATES), width(row_width(units)), panels((units + L::UNITS - 1) / L::UNITS),
        panel_size(L::VECTORS * LANES * Numbers::words(units)), shelf(call.room) {
    packed = shelf.take<Word>(panels * panel_size);
    bias = shelf.take<float>(panels * L::VECTORS * LANES);
    for (auto& buffer : h) buffer = shelf.take<float>(batch * width);
    c = shelf.take<float>(batch * width);
    for (auto& buffer : operand) buffer = shelf.take<Number>(batch * width);
    operand_is_state = false;
    if constexpr (!Numbers::ROUNDS) {
      operand_is_state = !call.scale;
      for (int i = 0; operand_is_state && i < 2; ++i) operand[i] = h[i];
    }
  }

  int64_t place(int64_t step) const { return call.sizes.reverse ? time - 1 - step : step; }
  // Where the columns of one vector of a panel begin, and the unit of the first.
  int64_t unit(int64_t panel, int vector) const {
    return panel * L::UNITS + (cell == Cell::simple ? vector * LANES : 0);
  }
  int64_t column(int64_t panel, int vector) const {
    return unit(panel, vector) + (cell == Cell::simple ? 0 : vector * units);
  }

  void pack(int64_t panel) const {
    for (int v = 0; v < L::VECTORS; ++v) {
      int64_t left = units - unit(panel, v), from = column(panel, v);
      Vector its_bias{};
      if (call.bias && left > 0) its_bias = load_some(call.bias + from, at_most_lanes(left));
      store(bias + (panel * L::VECTORS + v) * LANES, its_bias);
      Word* to = packed + panel * panel_size + v * LANES;
      for (int64_t p = 0; p < units; p += Numbers::TOGETHER, to += L::VECTORS * LANES) {
        const Number* row = call.kernel + p * columns + from;
        Numbers::pack_row(row, p + 1 < units ? row + columns : nullptr, left, to);
      }
    }
  }

  void begin(Range rows) const {
    for (int64_t n = rows.begin; n < rows.end; ++n)
      for (int64_t u = 0; u < units; u += LANES) {
        int64_t count = at_most_lanes(units - u);
        Vector state = load_some(call.h0 + n * units + u, count);
        store(h[0] + n * width + u, state);
        if constexpr (cell == Cell::lstm) store(c + n * width + u, load_some(call.c0 + n * units + u, count));
        if (call.scale) state *= load_some(call.scale + n * units + u, count);
        if (!operand_is_state) Numbers::write(operand[0] + n * width + u, state, LANES);
        if (call.factors && time) Numbers::write(call.factors + (n * time + place(0)) * units + u, state, count);
      }
  }

  // What follows from the sums of one row and LANES units: `sums[g]` is the product of the state and gate g's columns.
  inline __attribute__((always_inline)) void finish(int64_t step, int64_t n, int64_t u, const Vector* sums,
                                                    const float* their_bias) const {
    int64_t count = at_most_lanes(units - u), here = place(step), row = n * time + here, at = n * width + u;
    const Number* x = call.entering + row * columns + u;
    Vector before = load(h[step & 1] + at), after;
    Vector gate[4];
    for (int g = 0; g < L::GATES; ++g) gate[g] = sums[g] + load(their_bias + g * LANES);
    Vector memory{};
    if constexpr (cell == Cell::simple) {
      after = hyperbolic_tangent(gate[0] + Numbers::read(x, count));
    } else if constexpr (cell == Cell::lstm) {
      for (int g = 0; g < 4; ++g) gate[g] += Numbers::read(x + g * units, count);
      gate[0] = logistic(gate[0]);
      gate[1] = logistic(gate[1]);
      gate[2] = hyperbolic_tangent(gate[2]);
      gate[3] = logistic(gate[3]);
      Vector kept = load(c + at);
      memory = gate[1] * kept + gate[0] * gate[2];
      after = gate[3] * hyperbolic_tangent(memory);
      if (call.real) memory = call.real[row] == 0 ? kept : memory;
      store(c + at, memory);
    } else {
      memory = gate[2];
      gate[0] = logistic(gate[0] + Numbers::read(x, count));
      gate[1] = logistic(gate[1] + Numbers::read(x + units, count));
      gate[2] = hyperbolic_tangent(Numbers::read(x + 2 * units, count) + gate[1] * memory);
      after = gate[0] * before + (1.0f - gate[0]) * gate[2];
    }
    if (call.real) after = call.real[row] == 0 ? before : after;
    store(h[(step + 1) & 1] + at, after);
    Numbers::write(call.every + (n * time + step) * units + u, after, count);
    if (call.scale) after *= load_some(call.scale + n * units + u, count);
    if (!operand_is_state) Numbers::write(operand[(step + 1) & 1] + at, after, LANES);
    if (call.factors) {
      if (step + 1 < time) Numbers::write(call.factors + (n * time + place(step + 1)) * units + u, after, count);
      if constexpr (cell != Cell::simple) {
        for (int g = 0; g < L::GATES; ++g)
          Numbers::write(call.gates + row * columns + g * units + u, gate[g], count);
        store_some(call.memory + row * units + u, memory, count);
      }
    }
  }

  template <int ROWS>
  void tile(int64_t step, int64_t n, int64_t panel) const {
    // What enters is needed when the sums have ended: it is on its way meanwhile.
    for (int r = 0; r < ROWS; ++r)
      for (int v = 0; v < L::VECTORS; ++v)
        __builtin_prefetch(call.entering + ((n + r) * time + place(step)) * columns + column(panel, v));
    typename Numbers::Sum sums[ROWS][L::VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < L::VECTORS; ++v) sums[r][v] = typename Numbers::Sum{};
    Numbers::template multiply<ROWS, L::VECTORS>(operand[step & 1] + n * width, width, Numbers::TOGETHER,
                                                 packed + panel * panel_size, units, sums);
    const float* their_bias = bias + panel * L::VECTORS * LANES;
    Vector kept[ROWS][L::VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < L::VECTORS; ++v) kept[r][v] = (Vector)sums[r][v];
    for (int r = 0; r < ROWS; ++r) {
      if constexpr (cell == Cell::simple) {
        for (int v = 0; v < 2; ++v)
          if (unit(panel, v) < units) finish(step, n + r, unit(panel, v), &kept[r][v], their_bias + v * LANES);
      } else {
        finish(step, n + r, unit(panel, 0), kept[r], their_bias);
      }
    }
  }

  void run(Pool& pool) const {
    Division division = divide(pool, call.sizes, panels);
    if (division.bands * division.blocks > 1) parallel(pool, panels, [&](int64_t panel) { pack(panel); });
    else for (int64_t panel = 0; panel < panels; ++panel) pack(panel);
    begin({0, batch});
    run_steps(pool, division, batch, panels, time, [&](int64_t step, Range rows, Range mine) {
      for (int64_t panel = mine.begin; panel < mine.end; ++panel)
        over_rows<L::ROWS>(rows, [&](auto constant, int64_t n) {
          tile<decltype(constant)::value>(step, n, panel);
        });
    });
    if constexpr (cell == Cell::lstm)
      for (int64_t n = 0; n < batch; ++n)
        __builtin_memcpy(call.last_c + n * units, c + n * width, units * sizeof(float));
  }
};

template <class Numbers>
static int64_t forward_room(const RecurrenceSizes& sizes) {
  int64_t bytes = 0;
  RecurrenceForward<typename Numbers::Number> call{};
  call.sizes = sizes;
  with_cell(sizes.cell, [&](auto constant) {
    bytes = Forward<decltype(constant)::value, Numbers>(call).shelf.bytes();
  });
  return bytes;
}

template <class Numbers>
static void walk_forward(Pool& pool, const RecurrenceForward<typename Numbers::Number>& call) {
  with_cell(call.sizes.cell, [&](auto constant) { Forward<decltype(constant)::value, Numbers>(call).run(pool); });
}

// The way back. Its product, of the gradients by the gates and the kernel turned over, gives the gradient by the state
// before a step; as it ends, the gradients by the gates of that step follow.
template <Cell cell, class Numbers>
struct Backward {
  using L = Layout<cell>;
  using Number = typename Numbers::Number;
  using Word = typename Numbers::Word;
  static constexpr int VECTORS = 2, ROWS = MOST_SUMS / VECTORS, WIDTH = VECTORS * LANES;
  const RecurrenceBackward<Number>& call;
  int64_t batch, time, units, columns, width, wide, panels, panel_size;
  Shelf shelf;
  Word* packed;
  Number* dz[2];
  float *dc, *direct;

  explicit Backward(const RecurrenceBackward<Number>& call_)
      : call(call_), batch(call.sizes.batch), time(call.sizes.time), units(call.sizes.units),
        columns(units * L::GATES), width(row_width(units)), wide(row_width(columns)),
        panels((units + WIDTH - 1) / WIDTH),
        panel_size(WIDTH * Numbers::words(columns)), shelf(call.room) {
    packed = shelf.take<Word>(panels * panel_size);
    for (auto& buffer : dz) buffer = shelf.take<Number>(batch * wide);
    dc = shelf.take<float>(batch * width);
    direct = shelf.take<float>(batch * width);
  }

  int64_t place(int64_t step) const { return call.sizes.reverse ? time - 1 - step : step; }

  // One row and LANES units, of which `sums` are the gradients that the step after `step` passes back through the
  // product, and `direct` those that it passes by it.
  inline __attribute__((always_inline)) void finish(int64_t step, int64_t n, int64_t u, Vector sums) const {
    int64_t count = at_most_lanes(units - u), at = n * width + u;
    Vector dh = sums;
    if (step + 1 < time) {
      if (call.scale) dh *= load_some(call.scale + n * units + u, count);
      if (call.real) dh = call.real[n * time + place(step + 1)] == 0 ? Vector{} : dh;
      if (cell == Cell::gru || call.real) dh += load(direct + at);
    }
    if (step < 0) {
      store_some(call.d_h0 + n * units + u, dh, count);
      return;
    }
    int64_t row = n * time + place(step);
    dh += Numbers::read(call.d_every + (n * time + step) * units + u, count);
    const Number* gates = call.gates + row * columns + u;
    bool kept = call.real && call.real[row] == 0;
    Vector passed{}, dx[L::GATES], inward{};
    if constexpr (cell == Cell::simple) {
      Vector h = Numbers::read(gates, count);
      dx[0] = dh * (1.0f - h * h);
    } else if constexpr (cell == Cell::lstm) {
      Vector i = Numbers::read(gates, count), f = Numbers::read(gates + units, count);
      Vector g = Numbers::read(gates + 2 * units, count), o = Numbers::read(gates + 3 * units, count);
      const float* earlier = step == 0 ? call.before_c + n * units
                                       : call.memory + (n * time + place(step - 1)) * units;
      Vector squashed = hyperbolic_tangent(load_some(call.memory + row * units + u, count));
      Vector d = load(dc + at), d_after = d;
      d += dh * o * (1.0f - squashed * squashed);
      dx[0] = d * g * i * (1.0f - i);
      dx[1] = d * load_some(earlier + u, count) * f * (1.0f - f);
      dx[2] = d * i * (1.0f - g * g);
      dx[3] = dh * squashed * o * (1.0f - o);
      d *= f;
      store(dc + at, kept ? d_after : d);
    } else {
      Vector z = Numbers::read(gates, count), r = Numbers::read(gates + units, count);
      Vector m = Numbers::read(gates + 2 * units, count);
      Vector h = Numbers::read(call.before + row * units + u, count);
      Vector dn = dh * (1.0f - z) * (1.0f - m * m);
      dx[0] = dh * (h - m) * z * (1.0f - z);
      dx[1] = dn * load_some(call.memory + row * units + u, count) * r * (1.0f - r);
      dx[2] = dn;
      inward = kept ? Vector{} : dn * r;
      passed = dh * z;
      Numbers::write(call.d_product + row * units + u, inward, count);
    }
    if (cell == Cell::gru || call.real) store(direct + at, kept ? dh : passed);
    Number* to = dz[step & 1] + n * wide + u;
    for (int g = 0; g < L::GATES; ++g) {
      Vector gradient = kept ? Vector{} : dx[g];
      Numbers::write(call.d_entering + row * columns + g * units + u, gradient, count);
      Numbers::write(to + g * units, cell == Cell::gru && g == 2 ? inward : gradient, count);
    }
  }

  template <int HEIGHT>
  void tile(int64_t step, int64_t n, int64_t panel) const {
    int64_t u = panel * WIDTH;
    if (step >= 0) {
      for (int r = 0; r < HEIGHT; ++r) {
        int64_t row = (n + r) * time + place(step);
        for (int g = 0; g < L::GATES; ++g)
          for (int v = 0; v < VECTORS; ++v)
            __builtin_prefetch(call.gates + row * columns + g * units + u + v * LANES);
        __builtin_prefetch(call.d_every + ((n + r) * time + step) * units + u);
        __builtin_prefetch(call.d_every + ((n + r) * time + step) * units + u + LANES);
      }
    }
    typename Numbers::Sum sums[HEIGHT][VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < HEIGHT; ++r)
      for (int v = 0; v < VECTORS; ++v) sums[r][v] = typename Numbers::Sum{};
    if (step + 1 < time)
      Numbers::template multiply<HEIGHT, VECTORS>(dz[(step + 1) & 1] + n * wide, wide, Numbers::TOGETHER,
                                                  packed + panel * panel_size, columns, sums);
    Vector kept[HEIGHT][VECTORS];
#pragma GCC unroll 16
    for (int r = 0; r < HEIGHT; ++r)
      for (int v = 0; v < VECTORS; ++v) kept[r][v] = (Vector)sums[r][v];
    for (int r = 0; r < HEIGHT; ++r)
      for (int v = 0; v < VECTORS; ++v)
        if (u + v * LANES < units) finish(step, n + r, u + v * LANES, kept[r][v]);
  }

  void begin() const {
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t u = 0; u < units; u += LANES) {
        int64_t at = n * width + u;
        store(direct + at, Vector{});
        if constexpr (cell == Cell::lstm)
          store(dc + at, load_some(call.d_last_c + n * units + u, at_most_lanes(units - u)));
      }
  }

  // The sums over all steps of some columns.
  static void add_rows(const Number* from, int64_t rows, int64_t stride, Range columns, float* to) {
    for (int64_t j = columns.begin; j < columns.end; j += LANES) {
      int64_t count = at_most_lanes(columns.end - j);
      Vector total{};
      for (int64_t row = 0; row < rows; ++row) total += Numbers::read(from + row * stride + j, count);
      store_some(to + j, total, count);
    }
  }

  void run(Pool& pool) const {
    Division division = divide(pool, call.sizes, panels);
    auto pack = [&](int64_t panel) {
      int64_t left = units - panel * WIDTH;
      Numbers::template pack_columns<VECTORS>({call.kernel, 1, columns}, columns, panel * WIDTH,
                                              left < WIDTH ? left : WIDTH, packed + panel * panel_size);
    };
    if (division.bands * division.blocks > 1) parallel(pool, panels, pack);
    else for (int64_t panel = 0; panel < panels; ++panel) pack(panel);
    begin();
    run_steps(pool, division, batch, panels, time + 1, [&](int64_t index, Range rows, Range mine) {
      int64_t step = time - 1 - index;  // the last one, -1, ends at the initial state
      for (int64_t panel = mine.begin; panel < mine.end; ++panel)
        over_rows<ROWS>(rows, [&](auto constant, int64_t n) { tile<decltype(constant)::value>(step, n, panel); });
    });
    if constexpr (cell == Cell::lstm)
      for (int64_t n = 0; n < batch; ++n)
        __builtin_memcpy(call.d_c0 + n * units, dc + n * width, units * sizeof(float));
    auto of_weights = [&](const Number* d, int64_t stride, int64_t first, int64_t count) {
      Numbers::multiply_turned(pool, call.factors, units, d, stride, count, batch * time, call.d_kernel + first, columns);
    };
    if constexpr (cell == Cell::gru) {
      of_weights(call.d_entering, columns, 0, 2 * units);  // the first two gates' gradients, in rows of three
      of_weights(call.d_product, units, 2 * units, units);
    } else {
      of_weights(call.d_entering, columns, 0, columns);
    }
    if (call.d_bias) sum_bias(pool);
  }

  void sum_bias(Pool& pool) const {
    int64_t rows = batch * time, tasks = rows * columns > 100'000 ? (columns + 4 * LANES - 1) / (4 * LANES) : 1;
    parallel(pool, tasks, [&](int64_t task) {
      Range mine = part(columns, tasks, task, LANES);
      int64_t end = cell == Cell::gru ? 2 * units : columns, middle = mine.end < end ? mine.end : end;
      if (mine.begin < middle) add_rows(call.d_entering, rows, columns, {mine.begin, middle}, call.d_bias);
      int64_t first = mine.begin > end ? mine.begin : end;
      if (first < mine.end) add_rows(call.d_product, rows, units, {first - end, mine.end - end}, call.d_bias + end);
    });
  }
};

template <class Numbers>
static int64_t backward_room(const RecurrenceSizes& sizes) {
  int64_t bytes = 0;
  RecurrenceBackward<typename Numbers::Number> call{};
  call.sizes = sizes;
  with_cell(sizes.cell, [&](auto constant) {
    bytes = Backward<decltype(constant)::value, Numbers>(call).shelf.bytes();
  });
  return bytes;
}

template <class Numbers>
static void walk_backward(Pool& pool, const RecurrenceBackward<typename Numbers::Number>& call) {
  with_cell(call.sizes.cell, [&](auto constant) { Backward<decltype(constant)::value, Numbers>(call).run(pool); });
}

}  // namespace chainrule::CHAINRULE_ISA
