"""`gradparity fetch-mnist`: download the full MNIST into the cache."""

from pathlib import Path
from typing import Annotated

import typer


def fetch_mnist(
    directory: Annotated[
        Path | None,
        typer.Argument(help="Where the files go; the download cache by default."),
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Show no progress bar.")] = False,
) -> None:
    """Download the four MNIST files (11 MB) and check what is in them."""
    from gradparity.models import fetch_mnist as fetch

    for path in fetch(directory, progress=not quiet):
        typer.echo(path)
