"""Questions put to recurrent networks, each one file, each rerun by ``python -m studies NAME``."""
