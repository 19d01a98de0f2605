"""Full numerical gradients from structured copies: only what differs is computed again."""

if __name__ != "gradparity.backends.structured":
    raise ImportError(
        f"{__name__!r} is gradparity.backends.structured imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.backends.structured"
    )
