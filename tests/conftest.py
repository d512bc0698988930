"""What holds for all tests."""
import signal
from pathlib import Path

import jax
import pytest

from chainrule import compilation

PROGRAMS = jax.config.jax_compilation_cache_dir  # where `.ci/run` keeps compiled programs; `None` elsewhere


@pytest.fixture(autouse=True, scope="session")
def hear_ctrl_c():
    """Let Ctrl-C do what it does in a terminal: what is started in the background ignores it, and passes that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Drop compiled programs after each file: hundreds of small networks would fill the memory.

    Commands, which keep theirs in the user's cache, are not to decide where the files after them look.
    """
    yield
    jax.clear_caches()
    if jax.config.jax_compilation_cache_dir != PROGRAMS:
        compilation.keep_programs_in(PROGRAMS and Path(PROGRAMS))


@pytest.fixture(scope="module")
def programs_found_again(tmp_path_factory):
    """Compile one program of a file once, though many models are made that need it."""
    if PROGRAMS is None:
        compilation.cache_compilations(tmp_path_factory.mktemp("programs"))
