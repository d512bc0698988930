"""Small networks as formulas: the loss of one example and its gradient, as sympy expressions.

The network is differentiated as the engine does it, by the chain rule from the loss back to the inputs, layer by layer,
so that the gradients read as they stand in textbooks. Needs sympy: `pip install 'chainrule[symbols]'`.
"""
try:
    import sympy as _sympy  # noqa: F401 (only whether it is there)
except ImportError as error:
    raise ImportError("chainrule.symbolic writes formulas with sympy, which is not installed: "
                      "pip install 'chainrule[symbols]'.") from error

from chainrule.symbolic.derivation import Derivation, derive

__all__ = ["Derivation", "derive"]
