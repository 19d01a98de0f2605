"""Derivatives on paper: SymPy differentiates the formula, and typesets it."""

from dataclasses import dataclass

from ..drawing.languages import Markup
from .mathml import formula


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

    def typeset(expression: sympy.Expr) -> Markup:
        return Markup(sympy.mathml(expression, printer="presentation"))

    return SymbolicDerivative(
        function=formula("f(x) =", typeset(function), inline=True),
        derivative=formula("f′(x) =", typeset(derivative)),
        slopes={point: float(derivative.subs(x, sympy.Rational(str(point)))) for point in points},
    )
