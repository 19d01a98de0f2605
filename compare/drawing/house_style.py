"""How every figure looks: one palette for light and dark, and one look for each backend."""

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.font_manager import fontManager, get_font
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator


@dataclass(frozen=True)
class Shade:
    """One colour of the palette, as drawn on light paper and as shown on dark paper."""

    light: str
    dark: str


# Figures are drawn in the light colours, each of which occurs once, so that a page can swap them.
# The series colours start from Okabe and Ito's (jfly.uni-koeln.de/color), told apart by all eyes,
# and are dark or light enough for labels: a contrast of 4.5 at least, as WCAG 2 asks for.
PALETTE = {
    "paper": Shade("#fffffe", "#1b1f25"),
    "ink": Shade("#1d2126", "#e8eaed"),
    "muted": Shade("#5a646e", "#a6afb9"),
    "grid": Shade("#e1e5e9", "#353c45"),
    "vermilion": Shade("#b85100", "#ff9552"),
    "blue": Shade("#0072b2", "#62b8f2"),
    "green": Shade("#00805a", "#4fd6a8"),
    "purple": Shade("#a3478f", "#e59bd3"),
    "ochre": Shade("#8c6d00", "#e3c14d"),
}
PAPER, INK, MUTED, GRID = (PALETTE[name].light for name in ("paper", "ink", "muted", "grid"))
VERMILION, BLUE, GREEN, PURPLE, OCHRE = (shade.light for shade in list(PALETTE.values())[4:])


@dataclass(frozen=True)
class Look:
    """How one backend is drawn everywhere: told apart by colour, marker and dashes alike.

    width: line width in points; curves that coincide stay visible as the wider ones lie below
    """

    color: str
    marker: str
    dashes: Any = "solid"
    width: float = 2.0

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments for a line of this look."""
        # Wide lines lie below, so that a curve under another one still shows at its sides.
        return {
            "color": self.color,
            "linestyle": self.dashes,
            "linewidth": self.width,
            "zorder": 3 - self.width / 10,
        }


LOOKS = {
    "numerical": Look(VERMILION, "o", width=4.5),
    "jax": Look(BLUE, "s", width=2.2),
    "torch": Look(GREEN, "^", dashes=(0, (3, 2)), width=1.6),
}
SPARE_LOOKS = (
    Look(PURPLE, "D", dashes=(0, (1, 1)), width=1.8),
    Look(OCHRE, "v", dashes=(0, (5, 1, 1, 1)), width=1.8),
)


def look_of(label: str) -> Look:
    """Return the look of a backend, always the same one; "jax float32" looks like "jax"."""
    name = re.split(r"[\s\[]", label)[0]
    return LOOKS.get(name) or SPARE_LOOKS[zlib.crc32(name.encode()) % len(SPARE_LOOKS)]


def looks_of(labels: Iterable[str]) -> dict[str, Look]:
    """Return a look for each label of one plot, no two the same as long as there are others."""
    looks: dict[str, Look] = {}
    for label in labels:
        wanted = (look_of(label), *SPARE_LOOKS, *LOOKS.values())
        unused = [look for look in wanted if look not in looks.values()]
        looks[label] = [*unused, wanted[0]][0]
    return looks


# Fonts for Japanese and Korean that systems bring along; the page names them too.
CJK_FONTS = (
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "IPAexGothic",
    "NanumGothic",
)


CJK = re.compile(r"[\u1100-\u11ff\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]")


@cache
def cjk_fonts_here() -> tuple[str, ...]:
    """Return those of the fonts that matplotlib finds on this machine."""
    here = {font.name for font in fontManager.ttflist}
    return tuple(name for name in CJK_FONTS if name in here)


@cache
def _letters_of(font: str) -> frozenset[int]:
    return frozenset(get_font(fontManager.findfont(font)).get_charmap())


def can_be_drawn(text: str) -> bool:
    """Tell whether the fonts of this machine have all letters of a text."""
    return all(
        any(ord(letter) in _letters_of(font) for font in cjk_fonts_here())
        for letter in CJK.findall(text)
    )


# The smallest letters in a figure, in points. A phone shows its 4.8 inches on 328 pixels, and
# so these on 11, below which labels are hard to read.
SMALL = 11.7

RC_PARAMS: Any = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that layouts are repeatable
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": SMALL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "figure.facecolor": "none",  # an SVG lies on its reader's paper
    "savefig.facecolor": PAPER,
    "axes.facecolor": "none",
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's own font
    "svg.hashsalt": "gradparity",  # the same figure gives the same file
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in this style; matplotlib's own settings come back afterwards."""
    with matplotlib.rc_context(RC_PARAMS):
        yield


def use_log_scale(ax: Axes, axes: str = "xy", *, base_ticks: int = 7) -> Axes:
    """Make the named axes logarithmic, with at most about base_ticks labels such as 10⁻⁴."""
    for name in axes:
        axis: Axis = ax.xaxis if name == "x" else ax.yaxis
        (ax.set_xscale if name == "x" else ax.set_yscale)("log")
        axis.set_major_locator(LogLocator(numticks=base_ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, position: power_of_ten(value)))
        axis.set_minor_formatter(NullFormatter())
    return ax


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(value: float) -> str:
    """Return 1e-4 as "10⁻⁴" and 3e-4 as "3·10⁻⁴", in plain text; 0.01 to 1000 stay as they are."""
    if not value or 0.01 <= abs(value) <= 1000:
        return f"{value:.4g}".replace("-", "−")
    mantissa, exponent = f"{value:.1e}".split("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    digits = mantissa.removesuffix(".0").replace("-", "−")
    return {"1": power, "−1": f"−{power}"}.get(digits, f"{digits}·{power}")
