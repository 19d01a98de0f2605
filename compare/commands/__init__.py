"""The commands of the command line, one module each."""

if __name__ != "gradparity.compare.commands":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.commands imported a second time under another name; "
        "run 'pytest', not 'python -m pytest', and import gradparity.compare.commands"
    )
