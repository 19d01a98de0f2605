"""`gradparity backends`: what is there, and why what is not there is not."""

from .options import Json


def backends(json_file: Json = None) -> None:
    """List the backends: versions, devices, or why one cannot be loaded."""
    from dataclasses import asdict

    from gradparity.backends import available_backends

    from .files import check_file, write_json
    from .tables import make_console, print_table

    check_file(json_file)
    found = available_backends()
    write_json(json_file, {"backends": [asdict(info) for info in found]})
    rows = [
        (info.name, info.version or "", ", ".join(info.devices), info.unavailable or "ready")
        for info in found
    ]
    header = ("backend", "version", "devices", "state")
    print_table(make_console(json_file), "Backends", header, rows)
