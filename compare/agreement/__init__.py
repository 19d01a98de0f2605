"""Compare the gradients of several engines, and say whose are wrong."""

if __name__ != "gradparity.compare.agreement":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.agreement imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.agreement"
    )
