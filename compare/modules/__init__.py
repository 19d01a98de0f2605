"""Check the gradients of whole models, as each framework's users write them."""

if __name__ != "gradparity.compare.modules":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.modules imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.modules"
    )
