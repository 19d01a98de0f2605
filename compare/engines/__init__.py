"""A backend with the function as it sees it, what it answers, and how long that takes."""

if __name__ != "gradparity.compare.engines":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.engines imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.engines"
    )
