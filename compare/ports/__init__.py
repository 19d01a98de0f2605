"""Lay native implementations of one function side by side, whatever shape their parameters have."""

if __name__ != "gradparity.compare.ports":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.ports imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.ports"
    )
