"""One version, told by all four packages and written down in one place."""

from importlib import import_module, metadata

import pytest

from conftest import PACKAGES
from optim import release


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_tells_the_version_of_the_distribution(name, monkeypatch):
    monkeypatch.setattr(release.metadata, "version", {"reservoir-hf": "1.2.3"}.__getitem__)
    assert import_module(name).__version__ == "1.2.3"


def test_sources_that_were_never_installed_say_so(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(release.metadata, "version", missing)
    assert import_module("reservoir").__version__ == "unknown"
