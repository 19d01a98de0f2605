"""Draw which share of faults each checker finds, by their size."""

from typing import TYPE_CHECKING

from ..drawing.house_style import looks_of
from .selftest import CHECKERS, LowPrecisionSelfTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_found(ax: "Axes", result: LowPrecisionSelfTest) -> "Axes":
    """Draw a curve for each checker; its label says how many right gradients it called wrong."""
    looks = looks_of(CHECKERS)
    for name in CHECKERS:
        sizes, shares = result.share_found(name)
        wrong, right = result.false_alarms(name)
        label = f"{name}: calls {wrong} of {right} right ones wrong"
        ax.plot(sizes, [100 * share for share in shares], label=label, **looks[name].line)
    sizes, shares = result.share_found("gradparity", doubted=True)
    ax.plot(
        sizes,
        [100 * share for share in shares],
        label='gradparity: found, or "cannot tell"',
        color=looks["gradparity"].line["color"],
        linewidth=0.9,
    )
    ax.set_xscale("log", base=2)
    ax.set_ylim(-4, 104)
    ax.set(xlabel="size of the fault, relative to the gradient", ylabel="faults found, in %")
    ax.set_title(f"Faults in {result.dtype} gradients")
    ax.legend(loc="upper left", bbox_to_anchor=(-0.08, -0.2))
    return ax
