"""Check one gradient against error-barred differences, and name what is wrong."""

if __name__ != "gradparity.compare.checking":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.checking imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.checking"
    )
