"""Describe where a result came from: machine, versions, threads."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from typing import Any

DISTRIBUTIONS = ("gradparity", "numpy", "jax", "torch")


def describe_environment(**settings: Any) -> dict[str, Any]:
    """Return what a reader needs to repeat a run; `settings` are added as they are."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "versions": {name: version for name in DISTRIBUTIONS if (version := _version(name))},
        **settings,
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as description:
            names = (line for line in description if line.startswith("model name"))
            return next(names).partition(":")[2].strip()
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
