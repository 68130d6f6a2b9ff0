"""Questions put to recurrent networks, each one file, each rerun by ``python -m studies NAME``."""

from typing import Any

from optim.release import version


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
