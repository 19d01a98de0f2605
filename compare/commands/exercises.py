"""`gradparity exercises DIR`: files with a forward pass given and a backward pass to write."""

from pathlib import Path
from typing import Annotated

import typer


def exercises(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made if needed.")],
) -> None:
    """Write starter files: a layer's forward pass in NumPy, and its backward pass to write.

    Files that are there already are left as they are. `gradparity grade FILE...` judges them.
    """
    from gradparity.compare.exercises.starters import write_starters

    from .files import check_folder

    written = write_starters(check_folder(folder))
    for path, is_new in written.items():
        typer.echo(path if is_new else f"{path} is there already: left as it is")
    if any(written.values()):
        typer.echo("Write what returns `...`, then: gradparity grade FILE...")
