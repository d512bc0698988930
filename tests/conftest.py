"""What holds for all tests."""
import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Drop compiled programs after each file: hundreds of small networks would fill the memory."""
    yield
    jax.clear_caches()
