"""Run the lesson, or one of its sections: `python -m gradparity.compare.lesson --section 4`."""

import typer

from gradparity.compare.commands.lesson import lesson

typer.run(lesson)
