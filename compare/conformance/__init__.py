"""The laws of a backend, the scenarios they are tried on, and the kit that runs them."""

if __name__ != "gradparity.compare.conformance":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.conformance imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.conformance"
    )
