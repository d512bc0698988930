"""What several predictions of the same thing say together: means, spread, intervals. NumPy only."""
from chainrule.uncertainty.members import REDUCTIONS, reduce_members

__all__ = ["REDUCTIONS", "reduce_members"]
