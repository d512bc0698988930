#include "call.h"
#include "order.h"

namespace chainrule {

static ffi::Error order(ffi::ThreadPool threads, ffi::Buffer<ffi::U32> numbers,
                        ffi::Result<ffi::Buffer<ffi::S32>> places) {
  int64_t count = from_last(numbers, 0);
  Shapes shapes;
  auto numbers_of = shapes.array("numbers", numbers, {count});
  auto places_of = shapes.result("places", places, {count});
  shapes.require(count < (int64_t{1} << 31), "there are too many numbers");
  if (shapes.failed()) return shapes.error();
  return for_members(shapes, threads, [&](Pool&, int64_t member) {
    sort_places(numbers_of.at(member), count, places_of.at(member));
  });
}

}  // namespace chainrule

XLA_FFI_DEFINE_HANDLER_SYMBOL(chainrule_order, chainrule::order,
                              chainrule::ffi::Ffi::Bind()
                                  .Ctx<chainrule::ffi::ThreadPool>()
                                  .Arg<chainrule::ffi::Buffer<chainrule::ffi::U32>>()
                                  .Ret<chainrule::ffi::Buffer<chainrule::ffi::S32>>());
