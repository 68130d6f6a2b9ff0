"""Whether the machine has room for what is asked of it, found out before the memory is taken."""

from __future__ import annotations

_ALWAYS_THERE = 16_000_000  # bytes


def check_memory(n_bytes: int, what: str, *, remedy: str = "use fewer units") -> None:
    """Raise MemoryError if ``what`` needs more than is available, where the system says how much that is.

    Asked before memory is taken: Linux grants more than it has and ends the process later. A few megabytes are taken to
    be there.
    """
    if n_bytes < _ALWAYS_THERE:
        return
    try:
        with open("/proc/meminfo") as file:
            available = next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return
    if n_bytes > available:
        raise MemoryError(
            f"expected room for {what}, which needs {n_bytes / 2**30:.1f} GiB, got {available / 2**30:.1f} GiB "
            f"available; {remedy}."
        )
