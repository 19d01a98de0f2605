"""The formulas of the lesson in LaTeX, by the names that its texts call them."""

import html
import re

from latex2mathml.converter import convert

from ..drawing.languages import Markup

PRIME = re.compile(r"<msup>(<mi>\w</mi>)<mi>(&#x0203[234];)</mi></msup>")


def typeset(latex: str, *, inline: bool = False) -> Markup:
    """Return a formula as a `<math>` element, which browsers draw themselves, with its LaTeX.

    inline: set it as a part of a line of text
    """
    mathml = convert(latex, display="inline" if inline else "block")
    # A prime is a raised sign already: raised again, many fonts draw it too small to see.
    mathml = PRIME.sub(r'<mrow>\1<mo lspace="0" rspace="0">\2</mo></mrow>', mathml)
    return Markup(mathml.replace("<math", f'<math data-latex="{html.escape(latex)}"', 1))


_IN_TEXT = {
    "h": "h",
    "eta": r"\eta",
    "step_function": r"f(x) = e^x \, \sin \, x",
    "truncation": r"h^2 \left| f''' \right| / 6",
    "round_off": r"\varepsilon \left| f \right| / h",
    "bowl": "f(x) = x_0^2 + x_1^2",
    "offset_entropy": r"-\log(y + 10^{-7})",
    "parabola": "f(x) = 0.01 x^2 + 0.1 x",
}
_ON_THEIR_OWN = {
    "derivative": r"f'(x) = \lim\limits_{h \to 0} \frac{f(x + h) - f(x)}{h}",
    "forward": r"f'(x) \approx \frac{f(x + h) - f(x)}{h}",
    "central": r"f'(x) \approx \frac{f(x + h) - f(x - h)}{2h}",
    "two_errors": (
        r"E(h) \approx \frac{h^2}{6} \left| f'''(x) \right|"
        r" + \frac{\varepsilon \left| f(x) \right|}{h}"
    ),
    "best_step": (
        r"h_\text{best} = \left( \frac{3 \varepsilon \left| f(x) \right|}"
        r"{\left| f'''(x) \right|} \right)^{1/3}"
    ),
    "complex_step": r"f'(x) \approx \frac{\operatorname{Im} f(x + ih)}{h}",
    "gradient": (
        r"\nabla f = \left( \frac{\partial f}{\partial x_0}, \frac{\partial f}{\partial x_1}"
        r" \right) = (2 x_0, 2 x_1)"
    ),
    "descent": r"x \leftarrow x - \eta \nabla f(x)",
    "squares": r"E = \frac{1}{2} \sum_k (y_k - t_k)^2",
    "entropy": r"E = -\sum_k t_k \, \log \, y_k",
    "stable": r"E = \log \, \sum_k e^{a_k} - a_\text{true}",
    "moved_weight": (r"L(w_{0,2} + h) \approx L(w_{0,2}) + h \frac{\partial L}{\partial w_{0,2}}"),
    "two_layers": r"y = \operatorname{softmax}(\sigma(x W_1 + b_1) W_2 + b_2)",
    "chain_rule": (
        r"\frac{\partial f}{\partial x} = \sum_u \frac{\partial f}{\partial u}"
        r" \frac{\partial u}{\partial x}"
    ),
    "at_scores": r"\delta_2 = \frac{y - t}{N}",
    "at_hidden": r"\delta_1 = (\delta_2 W_2^\top) \odot z \odot (1 - z)",
    "at_weights": (
        r"\frac{\partial L}{\partial W_2} = z^\top \delta_2, \quad"
        r" \frac{\partial L}{\partial W_1} = x^\top \delta_1"
    ),
    "taylor_zero": r"\left| f(x + hv) - f(x) \right| \propto h",
    "taylor_one": r"\left| f(x + hv) - f(x) - h \langle g, v \rangle \right| \propto h^2",
}

FORMULAS = {name: typeset(latex, inline=True) for name, latex in _IN_TEXT.items()} | {
    name: typeset(latex) for name, latex in _ON_THEIR_OWN.items()
}
"""MathML elements: those that stand within a line of text, and those on a line of their own."""
