"""Names of symbols, and what formulas look like as LaTeX and as NumPy source."""
import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy
from sympy.printing.latex import LatexPrinter
from sympy.printing.pycode import PythonCodePrinter


def entry_names(path: str, shape: tuple[int, ...]) -> list[str]:
    """The names of a weight's entries."""
    if math.prod(shape) == 1:
        return [path]
    return [f"{path}[{','.join(map(str, index))}]" for index in np.ndindex(*shape)]


def weight_symbol(name: str, taken: set[str]):
    """The symbol for an entry: its name made fit for Python source, and unlike any other's."""
    text = re.sub(r"\W+", "_", name).strip("_")
    text = f"_{text}" if text[0].isdigit() else text
    while text in taken:
        text += "_"
    taken.add(text)
    return sympy.Symbol(text, real=True)


def latex_name(name: str) -> str:
    r"""`hidden/kernel[0,1]` as `w_{\mathrm{hidden},0,1}`, `x0` as `x_{0}`."""
    if "/" not in name:
        return f"{name[0]}_{{{name[1:]}}}"
    layer, weight, index = re.fullmatch(r"(.*)/(\w+)(?:\[(.*)\])?", name).groups()
    layer = re.sub(r"([_#%&$])", r"\\\1", layer)
    letter = {"kernel": "w", "bias": "b"}.get(weight, weight)
    return rf"{letter}_{{\mathrm{{{layer}}}{',' + index if index else ''}}}"


class LatexSource(LatexPrinter):
    """LaTeX, the Heaviside step written as a condition."""

    def _print_Heaviside(self, expression, exp=None):
        step = rf"\mathbf{{1}}_{{{self._print(expression.args[0])} > 0}}"
        return step if exp is None else f"{step}^{{{exp}}}"


class NumpySource(PythonCodePrinter):
    """Python source for single numbers, the functions NumPy's."""

    def _print_Heaviside(self, expression):
        return f"np.heaviside({self.stringify(expression.args, ', ')})"

    def _print_function(self, expression):
        return f"np.{type(expression).__name__}({self.stringify(expression.args, ', ')})"

    def _print_LogSumExp(self, expression):
        if len(expression.args) == 2:
            return f"np.logaddexp({self.stringify(expression.args, ', ')})"
        return f"np.logaddexp.reduce([{self.stringify(expression.args, ', ')}])"

    _print_exp = _print_log = _print_tanh = _print_sign = _print_function


def unpacked(symbols, source: str) -> str:
    """The line that takes an array apart."""
    names = ", ".join(map(str, symbols)) + "," * (len(symbols) == 1)
    line = f"{names} = np.ravel({source})"
    if len(line) <= 100:
        return line
    names = textwrap.fill(names, 96, initial_indent="    ", subsequent_indent="    ")
    return f"(\n{names},\n) = np.ravel({source})"


def array_source(sources, shape: tuple[int, ...]) -> str:
    """The source of an array, its entries taken from `sources` in order."""
    if len(shape) == 1:
        return f"np.array([{', '.join(next(sources) for _ in range(shape[0]))}])"
    rows = [f"[{', '.join(next(sources) for _ in range(shape[1]))}]" for _ in range(shape[0])]
    line = f"np.array([{', '.join(rows)}])"
    return line if len(line) <= 80 else "np.array([\n    " + ",\n    ".join(rows) + ",\n])"


def dict_source(tree: Mapping[str, Any]) -> str:
    """The source of nested dicts whose leaves are source already."""
    items = [f"{quoted(name)}: {value if isinstance(value, str) else dict_source(value)},"
             for name, value in tree.items()]
    return "{\n" + textwrap.indent("\n".join(items), " " * 4) + "\n}" if items else "{}"


def quoted(text: str) -> str:
    """A string as Python source, in double quotes where they need no escape."""
    return repr(text) if '"' in text or "\\" in text or not text.isprintable() else f'"{text}"'
