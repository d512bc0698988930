"""Says in one line which kernels were built: `python -m chainrule.kernels`, after an installation."""
from chainrule.kernels.registry import report

found = report()
half = f" In bfloat16: {found.bfloat16}." if found.bfloat16 else ""
print(f"CPU kernels: {found.instruction_set}, of {', '.join(found.instruction_sets)}.{half}" if found.available else
      f"Without CPU kernels: {found.reason}. Everything works, slower; install g++ or clang++ and run this again.")
