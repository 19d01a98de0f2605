"""What rounding explains of an error in low precision, and what is a fault."""

if __name__ != "gradparity.compare.low_precision":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.low_precision imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.low_precision"
    )
