"""Figures and pages in one style: plots, palette, frame."""

if __name__ != "gradparity.compare.drawing":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.drawing imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.drawing"
    )
