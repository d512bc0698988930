"""Each test here runs with the C++ code, in every instruction set that the machine has."""
import pytest

from chainrule.kernels import registry


@pytest.fixture(params=["avx512", "avx2", "generic"])
def instructions(request):
    """One instruction set after another; those that the machine lacks are left out by name."""
    present = registry.instruction_sets()
    if request.param not in present:
        pytest.skip(f"this machine runs {present or 'no kernels'}")
    registry.use_instruction_set(request.param)
    yield request.param
    registry.use_instruction_set(present[0])
