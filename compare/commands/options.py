"""The options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Dtype = Annotated[
    Literal["float32", "float64"], typer.Option(help="Floating type of parameters and digits.")
]
Seed = Annotated[int, typer.Option(help="Seed of weights, batches and random directions.")]
Backends = Annotated[
    str | None,
    typer.Option(
        "--backends",
        "--backend",
        help="Backends by name, separated by commas; all that are installed by default.",
        show_default=False,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        envvar="GRADPARITY_DATA",
        help="A folder with the four MNIST files, 'embedded', or 'auto': the downloaded files "
        "where they are, else the embedded digits.",
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        help="Also write the result as JSON to this file; - is standard output, and the report "
        "then goes to standard error.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for the JSON and the plots; made if needed.")]
