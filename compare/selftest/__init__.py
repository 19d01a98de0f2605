"""The checker proves itself, beside other checkers."""

if __name__ != "gradparity.compare.selftest":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.selftest imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.selftest"
    )
