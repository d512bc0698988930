"""C++ kernels for the CPU, for the operations that XLA is slow at there, each with a twin in `jnp`.

`registry` is what a kernel is to JAX. Then, for each kernel, `<name>.py` (its twin and its gradient), `<name>.cc` and
`<name>.h` (the computation, compiled for each instruction set) and `<name>_call.cc` (what XLA calls).
"""
from chainrule.kernels.registry import (
    Report,
    active,
    active_in_bfloat16,
    allowed,
    library,
    report,
    serve,
    serve_bfloat16,
)

__all__ = ["Report", "active", "active_in_bfloat16", "allowed", "library", "report", "serve", "serve_bfloat16"]
