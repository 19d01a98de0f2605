"""The formulas of the lesson, by the names that its texts call them; they are in no language."""

from ..drawing.languages import Markup
from .mathml import absolute, brackets, formula, fraction, indexed, power, row, under

_X0, _X1 = indexed("x", "0"), indexed("x", "1")
_Y, _T, _A = indexed("y", "k"), indexed("t", "k"), indexed("a", "k")
_W1, _B1, _W2, _B2 = (indexed(name, index) for index in "12" for name in "Wb")
_D1, _D2 = indexed("δ", "1"), indexed("δ", "2")
_SUM = under("∑", "k")
_ONE_WEIGHT = indexed("w", "0,2")


def _partial(of: str, by: str) -> Markup:
    return fraction(row("∂", of), row("∂", by))


FORMULAS = {
    "h": formula("h", inline=True),
    "eta": formula("η", inline=True),
    "derivative": formula("f′(x) =", under("lim", "h → 0"), fraction("f(x + h) − f(x)", "h")),
    "forward": formula("f′(x) ≈", fraction("f(x + h) − f(x)", "h")),
    "central": formula("f′(x) ≈", fraction("f(x + h) − f(x − h)", "2 h")),
    "step_function": formula("f(x) =", power("e", "x"), "sin x", inline=True),
    "truncation": formula(power("h", "2"), absolute("f‴"), "/ 6", inline=True),
    "round_off": formula("ε", absolute("f"), "/ h", inline=True),
    "two_errors": formula(
        "E(h) ≈",
        row(fraction(power("h", "2"), "6"), absolute("f‴(x)")),
        "+",
        fraction(row("ε", absolute("f(x)")), "h"),
    ),
    "best_step": formula(
        indexed("h", "best"),
        "=",
        power(brackets(fraction(row("3 ε", absolute("f(x)")), absolute("f‴(x)"))), "1/3"),
    ),
    "complex_step": formula("f′(x) ≈", fraction("Im f(x + i h)", "h")),
    "bowl": formula("f(x) =", power(_X0, "2"), "+", power(_X1, "2"), inline=True),
    "gradient": formula(
        "∇ f =",
        brackets(row(_partial("f", _X0), ",", _partial("f", _X1))),
        "= (2", _X0, ", 2", _X1, ")",
    ),
    "descent": formula("x ← x − η ∇ f(x)"),
    "squares": formula("E =", fraction("1", "2"), _SUM, power(row("(", _Y, "−", _T, ")"), "2")),
    "entropy": formula("E = −", _SUM, _T, "log", _Y),
    "offset_entropy": formula("−log(y +", power("10", "−7"), ")", inline=True),
    "stable": formula("E = log", _SUM, power("e", _A), "−", indexed("a", "true")),
    "moved_weight": formula(
        row("L(", _ONE_WEIGHT, "+ h)"), "≈", row("L(", _ONE_WEIGHT, ")"),
        "+ h", _partial("L", _ONE_WEIGHT),
    ),
    "two_layers": formula("y = softmax(σ(x", _W1, "+", _B1, ")", _W2, "+", _B2, ")"),
    "parabola": formula("f(x) = 0.01", power("x", "2"), "+ 0.1 x", inline=True),
    "chain_rule": formula(
        _partial("f", "x"), "=", under("∑", "u"), _partial("f", "u"), _partial("u", "x"),
    ),
    "at_scores": formula(_D2, "=", fraction("y − t", "N")),
    "at_hidden": formula(_D1, "= (", _D2, power(_W2, "⊤"), ") ⊙ z ⊙ (1 − z)"),
    "at_weights": formula(
        _partial("L", _W2), "=", power("z", "⊤"), _D2, ",",
        _partial("L", _W1), "=", power("x", "⊤"), _D1,
    ),
    "taylor_zero": formula(absolute("f(x + h v) − f(x)"), "∝ h"),
    "taylor_one": formula(absolute("f(x + h v) − f(x) − h ⟨g, v⟩"), "∝", power("h", "2")),
}  # fmt: skip
"""MathML elements: those that stand within a line of text, and those on a line of their own."""
