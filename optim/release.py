"""The version of the distribution in which all four packages come; ``pyproject.toml`` is the one place that says it."""

from importlib import metadata


def version() -> str:
    """As ``reservoir.__version__`` and the others show it; "unknown" for sources that were never installed.

    Examples
    --------
    >>> import optim
    >>> isinstance(optim.__version__, str)
    True
    """
    try:
        return metadata.version("reservoir-hf")
    except metadata.PackageNotFoundError:
        return "unknown"
