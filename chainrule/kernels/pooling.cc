#include "pooling.h"

#include "parallel.h"
#include "vector.h"

namespace chainrule::CHAINRULE_ISA {

// Some channels of one place, as many as `COUNT`. Every result is computed from its own inputs alone, so that where the
// number of channels is no multiple of it the last group may overlap the one before.
template <int COUNT>
struct Group {
  typedef float Floats __attribute__((vector_size(COUNT * 4)));
  typedef int32_t Integers __attribute__((vector_size(COUNT * 4)));
  static constexpr int count = COUNT;
};

template <class Type, class Element>
static inline Type read(const Element* from) {
  Type group;
  __builtin_memcpy(&group, from, sizeof group);
  return group;
}

template <class Type, class Element>
static inline void write(Element* to, Type group) {
  __builtin_memcpy(to, &group, sizeof group);
}

// Calls `body(group)` with the widest group that the channels fill.
template <int COUNT = LANES, class Body>
static inline void with_group(int64_t channels, Body&& body) {
  if constexpr (COUNT == 1) body(Group<1>{});
  else if (channels >= COUNT) body(Group<COUNT>{});
  else with_group<COUNT / 2>(channels, body);
}

// Calls `body(channel)` for the first channel of each group.
template <class Group, class Body>
static inline void for_groups(int64_t channels, Body&& body) {
  int64_t channel = 0;
  for (; channel + Group::count <= channels; channel += Group::count) body(channel);
  if (channel < channels) body(channels - Group::count);
}

// Calls `body(image, row)` for each row of each image, on all threads where there is enough to do.
template <class Body>
static inline void for_rows(Pool& pool, int64_t images, int64_t rows, int64_t numbers, const Body& body) {
  constexpr int64_t FEWEST_SHARED_NUMBERS = 60'000;
  int64_t all = images * rows;
  int64_t tasks = numbers < FEWEST_SHARED_NUMBERS ? 1 : 8 * pool.threads();
  parallel(pool, tasks < all ? tasks : (all > 0 ? all : 1), [&](int64_t task) {
    Range range = part(all, tasks < all ? tasks : (all > 0 ? all : 1), task);
    for (int64_t index = range.begin; index < range.end; ++index) body(index / rows, index % rows);
  });
}

// The places of one window that lie on the axis.
static inline Range held(const PoolingAxis& axis, int64_t index) {
  int64_t start = index * axis.stride - axis.before, end = start + axis.window;
  return {start < 0 ? 0 : start, end < axis.size ? end : axis.size};
}

// The windows that hold one place, for places in ascending order.
struct Holders {
  int64_t first = 0, end = 0;

  void move_to(int64_t place, const PoolingAxis& axis) {
    while (end < axis.count && end * axis.stride - axis.before <= place) ++end;
    while (first < end && first * axis.stride - axis.before + axis.window <= place) ++first;
  }
};

static inline int64_t numbers_in(const Pooling& shape) {
  return shape.images * shape.down.size * shape.right.size * shape.channels;
}

void max_pool_forward(Pool& pool, const MaxPoolForward& call) {
  const auto& [images, channels, down, right] = call.shape;
  with_group(channels, [&, channels = channels, right = right, down = down](auto group) {
    using Floats = typename decltype(group)::Floats;
    using Integers = typename decltype(group)::Integers;
    for_rows(pool, images, down.count, numbers_in(call.shape), [&](int64_t image, int64_t row) {
      Range rows = held(down, row);
      const float* from = call.x + image * down.size * right.size * channels;
      int64_t to = (image * down.count + row) * right.count * channels;
      int64_t first_row = rows.begin - (row * down.stride - down.before);
      for (int64_t column = 0; column < right.count; ++column, to += channels) {
        Range columns = held(right, column);
        int64_t first_place = first_row * right.window + columns.begin - (column * right.stride - right.before);
        for_groups<decltype(group)>(channels, [&](int64_t channel) {
          Floats largest = read<Floats>(from + (rows.begin * right.size + columns.begin) * channels + channel);
          Integers winner = Integers{} + int32_t(first_place);
          for (int64_t i = rows.begin; i < rows.end; ++i) {
            const float* next = from + (i * right.size + columns.begin) * channels + channel;
            Integers place = Integers{} + int32_t(first_place + (i - rows.begin) * right.window);
            for (int64_t j = columns.begin; j < columns.end; ++j, next += channels, place += 1) {
              Floats other = read<Floats>(next);
              Integers wins = ~(largest >= other) & (largest == largest);  // NaN wins, and nothing over NaN
              largest = wins ? other : largest;
              winner = wins ? place : winner;
            }
          }
          write(call.y + to + channel, largest);
          write(call.places + to + channel, winner);
        });
      }
    });
  });
}

void max_pool_backward(Pool& pool, const MaxPoolBackward& call) {
  const auto& [images, channels, down, right] = call.shape;
  with_group(channels, [&, channels = channels, right = right, down = down](auto group) {
    using Floats = typename decltype(group)::Floats;
    using Integers = typename decltype(group)::Integers;
    for_rows(pool, images, down.size, numbers_in(call.shape), [&](int64_t image, int64_t row) {
      Holders above, beside;
      above.move_to(row, down);
      float* to = call.dx + (image * down.size + row) * right.size * channels;
      for (int64_t column = 0; column < right.size; ++column, to += channels) {
        beside.move_to(column, right);
        for_groups<decltype(group)>(channels, [&](int64_t channel) {
          Floats total{};
          for (int64_t i = above.first; i < above.end; ++i) {
            int64_t start = (row - (i * down.stride - down.before)) * right.window + column + right.before;
            int64_t from = ((image * down.count + i) * right.count + beside.first) * channels + channel;
            for (int64_t j = beside.first; j < beside.end; ++j, from += channels) {
              Integers winner = read<Integers>(call.places + from);
              total += winner == Integers{} + int32_t(start - j * right.stride) ? read<Floats>(call.dy + from) : Floats{};
            }
          }
          write(to + channel, total);
        });
      }
    });
  });
}

void average_pool_forward(Pool& pool, const AveragePoolForward& call) {
  const auto& [images, channels, down, right] = call.shape;
  with_group(channels, [&, channels = channels, right = right, down = down](auto group) {
    using Floats = typename decltype(group)::Floats;
    for_rows(pool, images, down.count, numbers_in(call.shape), [&](int64_t image, int64_t row) {
      Range rows = held(down, row);
      const float* from = call.x + image * down.size * right.size * channels;
      float* to = call.y + (image * down.count + row) * right.count * channels;
      for (int64_t column = 0; column < right.count; ++column, to += channels) {
        Range columns = held(right, column);
        float share = 1.0f / float((rows.end - rows.begin) * (columns.end - columns.begin));
        for_groups<decltype(group)>(channels, [&](int64_t channel) {
          Floats total{};
          for (int64_t i = rows.begin; i < rows.end; ++i) {
            const float* next = from + (i * right.size + columns.begin) * channels + channel;
            for (int64_t j = columns.begin; j < columns.end; ++j, next += channels) total += read<Floats>(next);
          }
          write(to + channel, Floats(total * share));
        });
      }
    });
  });
}

void average_pool_backward(Pool& pool, const AveragePoolBackward& call) {
  const auto& [images, channels, down, right] = call.shape;
  with_group(channels, [&, channels = channels, right = right, down = down](auto group) {
    using Floats = typename decltype(group)::Floats;
    for_rows(pool, images, down.size, numbers_in(call.shape), [&](int64_t image, int64_t row) {
      Holders above, beside;
      above.move_to(row, down);
      float* to = call.dx + (image * down.size + row) * right.size * channels;
      for (int64_t column = 0; column < right.size; ++column, to += channels) {
        beside.move_to(column, right);
        for_groups<decltype(group)>(channels, [&](int64_t channel) {
          Floats total{};
          for (int64_t i = above.first; i < above.end; ++i) {
            Range rows = held(down, i);
            const float* next = call.dy + ((image * down.count + i) * right.count + beside.first) * channels + channel;
            for (int64_t j = beside.first; j < beside.end; ++j, next += channels) {
              Range columns = held(right, j);
              float share = 1.0f / float((rows.end - rows.begin) * (columns.end - columns.begin));
              total += read<Floats>(next) * share;
            }
          }
          write(to + channel, total);
        });
      }
    });
  });
}

}  // namespace chainrule::CHAINRULE_ISA
