"""`gradparity lesson`: build the page that shows why backpropagation replaced differences."""

from pathlib import Path
from typing import Annotated

import typer


def lesson(
    out: Annotated[
        Path, typer.Option(help="Folder for index.html and figures/; made if needed.")
    ] = Path("lesson"),
    section: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Build this section alone; may be repeated."),
    ] = None,
    notebook: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.ipynb",
            help="Write a notebook instead of the page, to be run by its reader.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A draft, in under 25 seconds.")] = False,
    data: Annotated[
        str, typer.Option(help="A folder with the four MNIST files, 'embedded', or 'auto'.")
    ] = "embedded",
    language: Annotated[
        str, typer.Option(help="The language to begin with; the page has all of them.")
    ] = "en",
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Build a page that walks from numerical gradients to backpropagation, computed by this run."""
    import sys

    from rich.console import Console

    from gradparity.backends.errors import InvalidSetting

    from .files import check_file, check_folder

    if notebook is None:
        check_folder(out)
    check_file(notebook)
    progress = Console(stderr=True, quiet=quiet)
    with progress.status("loading the backends") as status:
        from gradparity.compare.lesson.building import build_page, check_sections, save_page
        from gradparity.compare.lesson.notebook import load_nbformat, write_notebook
        from gradparity.compare.lesson.run import Lesson
        from gradparity.compare.lesson.texts import read_languages

        if notebook is not None:
            load_nbformat()
        try:
            check_sections(section or ())
            languages = read_languages(language)
        except InvalidSetting as error:
            raise typer.BadParameter(str(error)) from error
        # What is not a terminal gets a line for each step instead of one that changes.
        tell = status.update if progress.is_terminal else progress.print
        made = Lesson.with_what_is_here(data=data, quick=quick, languages=languages, progress=tell)
        command = " ".join(["gradparity", *sys.argv[1:]])
        page = build_page(made, section or (), command=command)
        if notebook is None:
            tell("saving the figures")
            path = save_page(page, out, draft=quick)
        else:
            path = write_notebook(page, notebook, note=made.text("notebook"), quick=quick)
    typer.echo(path)  # as it is: a console would break a long path into lines
