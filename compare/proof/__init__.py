"""Gradients enclosed by arithmetic that cannot err: every entry lies in its ball, proven."""

if __name__ != "gradparity.compare.proof":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.proof imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.proof"
    )
