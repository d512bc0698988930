#include "call.h"

namespace chainrule {

using Flags = ffi::Span<const int64_t>;

static Floats& array_in(Floats& array) { return array; }
static Floats& array_in(FloatsOut& result) { return *result; }

// One array: `size` elements that all members share, or as many for each of them; `own` where it must be the latter.
template <class Buffer>
static Member<float> member_of(Shapes& shapes, Buffer&& buffer, int64_t size, int64_t members, bool own) {
  shapes.require(buffer.has_value(), "an array is not one of floats");
  if (!buffer.has_value()) return {nullptr, 0};
  Floats& array = array_in(*buffer);
  int64_t elements = int64_t(array.element_count());
  shapes.require(elements == size * members || (!own && elements == size),
                 "an array has not as many elements as its weight");
  return {array.typed_data(), elements == size ? 0 : size};
}

// The arrays: the scalars, and then, weight by weight, its gradient, itself and its slots; the results: weight by weight,
// itself and its slots. Those of a population have an axis more in front. A weight may have any number of axes, so what a
// single member holds of each is an attribute, `sizes`.
static ffi::Error step(ffi::ThreadPool threads, Floats scalars, ffi::RemainingArgs arrays, int64_t rule, bool nesterov,
                       Flags present, Flags decays, Flags sizes, ffi::RemainingRets results) {
  Shapes shapes;
  size_t count = sizes.size();
  int64_t slots = 0;
  shapes.require(rule >= 0 && rule < int64_t(Rule::count), "there is no such rule");
  shapes.require(present.size() == size_t(MOST_SLOTS), "the number of slots is wrong");
  shapes.require(decays.size() == count, "there must be a flag of decay for each weight");
  for (int64_t size : sizes) shapes.require(size >= 0 && size < (int64_t{1} << 40), "a size is out of range");
  if (shapes.failed()) return shapes.error();
  for (int64_t slot = 0; slot < MOST_SLOTS; ++slot) {
    slots += present[slot] != 0;
    shapes.require(present[slot] ? slot < SLOTS[rule][1] : slot >= SLOTS[rule][0], "the slots are not those of the rule");
  }
  shapes.require(arrays.size() == count * (2 + slots) && results.size() == count * (1 + slots),
                 "the number of arrays is wrong");
  if (shapes.failed()) return shapes.error();

  int64_t members = 1;
  for (size_t index = 0; index < count; ++index) {
    if (sizes[index] == 0) continue;
    auto result = results.get<Floats>(index * (1 + slots));
    members = result.has_error() ? 0 : int64_t((*result)->element_count()) / sizes[index];
    break;
  }
  auto scalars_of = member_of(shapes, ffi::ErrorOr<Floats>(scalars), MOST_SCALARS, members, false);
  std::vector<Parameter> parameters(count * members);
  size_t next = 0, next_result = 0;
  for (size_t index = 0; index < count && !shapes.failed(); ++index) {
    auto array = [&] { return member_of(shapes, arrays.get<Floats>(next++), sizes[index], members, false); };
    auto result = [&] { return member_of(shapes, results.get<Floats>(next_result++), sizes[index], members, true); };
    auto gradient = array(), weight = array(), new_weight = result();
    Member<float> old_slots[MOST_SLOTS]{}, new_slots[MOST_SLOTS]{};
    for (int64_t slot = 0; slot < MOST_SLOTS; ++slot)
      if (present[slot]) old_slots[slot] = array(), new_slots[slot] = result();
    for (int64_t member = 0; member < members; ++member) {
      Parameter& here = parameters[member * count + index];
      here = {gradient.at(member), weight.at(member), {}, new_weight.at(member), {}, scalars_of.at(member), sizes[index],
              decays[index] != 0};
      for (int64_t slot = 0; slot < MOST_SLOTS; ++slot) {
        here.slots[slot] = old_slots[slot].at(member);
        here.new_slots[slot] = new_slots[slot].at(member);
      }
    }
  }
  if (shapes.failed()) return shapes.error();
  XlaPool pool(threads);
  kernels().optimizer_step(pool, {Rule(rule), nesterov, parameters.data(), int64_t(parameters.size())});
  return ffi::Error::Success();
}

}  // namespace chainrule

XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_optimizer_step, chainrule::step,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::Floats>()
                                  .RemainingArgs()
                                  .Attr<int64_t>("rule")
                                  .Attr<bool>("nesterov")
                                  .Attr<chainrule::Flags>("present")
                                  .Attr<chainrule::Flags>("decays")
                                  .Attr<chainrule::Flags>("sizes")
                                  .RemainingRets());
