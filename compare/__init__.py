"""Verdicts on gradients, what they cost, and what they look like."""

if __name__ != "gradparity.compare":
    raise ImportError(
        f"{__name__!r} is gradparity.compare imported a second time under another name; "
        "run 'pytest', not 'python -m pytest', and import gradparity.compare"
    )
