"""Derivatives on paper: SymPy differentiates the formula, and typesets it."""

from dataclasses import dataclass

from ..drawing.languages import Markup
from .formulas import typeset


@dataclass(frozen=True)
class SymbolicDerivative:
    """A function and its derivative as MathML, and the derivative's value at some points."""

    function: Markup
    derivative: Markup
    slopes: dict[float, float]


def differentiate_parabola(square: float, linear: float, *points: float) -> SymbolicDerivative:
    """Differentiate square * x**2 + linear * x.

    raises: ModuleNotFoundError where SymPy is not installed
    """
    import sympy

    x = sympy.Symbol("x")
    exact_square, exact_linear = (sympy.Rational(str(number)) for number in (square, linear))
    function = exact_square * x**2 + exact_linear * x
    derivative = sympy.diff(function, x)

    return SymbolicDerivative(
        function=typeset(f"f(x) = {sympy.latex(function)}", inline=True),
        derivative=typeset(f"f'(x) = {sympy.latex(derivative)}"),
        slopes={point: float(derivative.subs(x, sympy.Rational(str(point)))) for point in points},
    )
