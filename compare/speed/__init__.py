"""Measure what gradients cost, with clocks that wait for results."""

if __name__ != "gradparity.compare.speed":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.speed imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.speed"
    )
