"""Each test here runs with the C++ code, in every instruction set that the machine has."""
import pytest

from chainrule.kernels import registry


@pytest.fixture(params=["avx512", "avx2", "generic"])
def instructions(request):
    """One instruction set after another; those that the machine lacks are left out by name."""
    present = registry.instruction_sets()
    if request.param not in present:
        pytest.skip(f"this machine runs {present or 'no kernels'}")
    yield from _used(request.param, present)


@pytest.fixture(params=["amx", "avx512bf16", "amx_emulated"])
def instructions_in_bfloat16(request):
    """The same of the kernels that compute in bfloat16, the emulation of AMX among them."""
    present = registry.instruction_sets_in_bfloat16()
    if request.param not in present:
        pytest.skip(f"this machine runs {present or 'no kernels in bfloat16'}")
    yield from _used(request.param, present)


def _used(name, present):
    registry.use_instruction_set(name)
    yield name
    registry.use_instruction_set(present[0])
