"""Files that are there entirely or not at all."""

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that a reader, or a crash, meets the old file or the new, never a part.

    raises: OSError, as for any write; the old file and no other is then still there
    """
    # Beside the target: a rename is atomic only within one file system.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
