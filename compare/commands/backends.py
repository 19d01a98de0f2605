"""`gradparity backends`: what is there, and why what is not there is not."""

from .options import Json


def backends(json_file: Json = None) -> None:
    """List the backends: versions, devices, or why one cannot be loaded."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from gradparity.backends import available_backends

    from .files import check_file, write_json

    check_file(json_file)
    found = available_backends()
    table = Table("backend", "version", "devices", "state")
    for info in found:
        table.add_row(
            info.name, info.version or "", ", ".join(info.devices), info.unavailable or "ready"
        )
    Console().print(table)
    write_json(json_file, {"backends": [asdict(info) for info in found]})
