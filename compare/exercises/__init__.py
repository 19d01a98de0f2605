"""Backward passes to write, and a judge of what was written."""

if __name__ != "gradparity.compare.exercises":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.exercises imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.exercises"
    )
