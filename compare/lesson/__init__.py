"""The lesson: a page that shows why backpropagation replaced numerical gradients."""

if __name__ != "gradparity.compare.lesson":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.lesson imported a second time under "
        "another name; run 'pytest', not 'python -m pytest', and import "
        "gradparity.compare.lesson"
    )
