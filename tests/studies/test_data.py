"""The door for real data: checked, kept, and clear about what to do when a file is not to be had."""

import hashlib

import pytest

from studies import data


@pytest.fixture
def known_file(tmp_path, monkeypatch):
    """A local file registered under its true digest, in a folder named by the environment."""
    contents = b"some real data"
    source = data.Source("https://example.invalid/thing.bin", hashlib.sha256(contents).hexdigest(), "a thing")
    monkeypatch.setitem(data.SOURCES, "thing.bin", source)
    monkeypatch.setenv(data.LOCAL_FOLDER, str(tmp_path))
    path = tmp_path / "thing.bin"
    path.write_bytes(contents)
    return path


def without_network(monkeypatch, error):
    pooch = pytest.importorskip("pooch")

    def retrieve(*args, **kwargs):
        raise error

    monkeypatch.setattr(pooch, "retrieve", retrieve)


def test_a_local_copy_is_read_first(known_file, monkeypatch):
    without_network(monkeypatch, AssertionError("the network was asked"))
    assert data.fetch("thing.bin") == known_file


def test_a_changed_file_is_an_error(known_file):
    known_file.write_bytes(b"some other data")
    with pytest.raises(ValueError, match=r"must have the SHA-256 digest .* got .* Delete it"):
        data.fetch("thing.bin")


def test_a_missing_file_without_network_names_both_ways(known_file, monkeypatch):
    known_file.unlink()
    without_network(monkeypatch, ConnectionError("no route to host"))
    with pytest.raises(data.DataUnavailable) as raised:
        data.fetch("thing.bin")
    for part in (
        "no route to host",
        "network connection",
        "https://example.invalid/thing.bin",
        data.LOCAL_FOLDER,
    ):
        assert part in str(raised.value)


def test_a_download_with_wrong_contents_is_an_error(known_file, monkeypatch):
    known_file.unlink()
    without_network(monkeypatch, ValueError("SHA256 hash of downloaded file does not match"))
    with pytest.raises(ValueError, match="must give a file with the SHA-256 digest"):
        data.fetch("thing.bin")


def test_without_pooch_the_message_still_names_both_ways(known_file, monkeypatch):
    known_file.unlink()
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(data.DataUnavailable, match=r"pooch is not installed.*reservoir-hf.studies.*RESERVOIR_HF_DATA"):
        data.fetch("thing.bin")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="santafe_laser"):
        data.fetch("iris.csv")


@pytest.mark.parametrize("name", data.SOURCES)
def test_every_source_is_complete(name):
    source = data.SOURCES[name]
    assert source.url.startswith("https://")
    assert len(bytes.fromhex(source.sha256)) == 32
    assert source.what
