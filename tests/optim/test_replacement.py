"""A file is replaced as a whole: whatever ends a writer, what was there stays, and nothing is left beside it."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from optim.replacement import replacement

needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="this system has no locks of this kind")


def written(path, content):
    with replacement(path) as file:
        file.write(content)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("what", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_whatever_ends_a_writer_the_old_file_stays_and_nothing_beside_it(tmp_path, monkeypatch, what, where):
    path = tmp_path / "file"
    written(path, b"old")

    def ends(*arguments):
        raise what

    if where != "write":
        monkeypatch.setattr(os, where, ends)
    kind = what if isinstance(what, type) else type(what)
    with pytest.raises(kind) as caught, replacement(path) as file:
        file.write(b"new")
        if where == "write":
            ends()
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]
    if kind is OSError:
        assert caught.value.filename == str(path)


@needs_locks
def test_what_killed_writers_left_is_removed_and_a_writer_at_work_is_not_disturbed(tmp_path):
    path = tmp_path / "file"
    for token in ("1", str(os.getpid()), "0123456789ab"):
        (tmp_path / f".file.{token}.part").write_bytes(b"half")
    (tmp_path / ".other.1.part").write_bytes(b"another file's")
    with replacement(path) as slow:
        slow.write(b"slow")
        written(path, b"quick")
        assert path.read_bytes() == b"quick"
    assert path.read_bytes() == b"slow"
    assert names(tmp_path) == [".other.1.part", "file"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    written(tmp_path / "folder" / "file", b"old")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    written(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "file").read_bytes() == b"new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_is_not_replaced():
    with pytest.raises(ValueError, match="must be a file or a new name, got '/dev/full'"):
        written("/dev/full", b"1")


def test_a_place_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*file'"):
        written(tmp_path / "nowhere" / "file", b"1")
    with pytest.raises(OSError, match=str(tmp_path)):
        written(tmp_path, b"1")


WRITERS = """
    import os, sys
    import numpy as np
    from optim import save_checkpoint
    for _ in sys.stdin:  # each line asks for one more, who writes until somebody kills it
        process = os.fork()
        if process == 0:
            for i in range(10**9):
                save_checkpoint(sys.argv[1], [i, np.full(100_000, i)])
        print(process, flush=True)
        os.waitpid(process, 0)
        print("killed", flush=True)
"""


@pytest.mark.slow
@needs_locks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks and kills no processes")
def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_file(tmp_path):
    from optim import load_checkpoint, save_checkpoint

    path, n_left = tmp_path / "run.npz", 0
    environment = {**os.environ, "PYTHONPATH": str(Path(sys.modules["optim"].__file__).parents[1])}
    script = [sys.executable, "-c", textwrap.dedent(WRITERS), str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(script, env=environment, **pipes) as writers:
        for k in range(12):
            save_checkpoint(path, [-1, None])
            writers.stdin.write("\n")
            writer = int(writers.stdout.readline())
            while load_checkpoint(path)[0] < 0:
                os.kill(writer, 0)  # an error if it has ended
                time.sleep(0.005)
            time.sleep(0.0037 * k)
            os.kill(writer, signal.SIGKILL)
            assert writers.stdout.readline() == "killed\n"
            n_left += len(names(tmp_path)) - 1
            i, array = load_checkpoint(path)
            assert (array == i).all()
            save_checkpoint(path, [0, array])
            assert names(tmp_path) == ["run.npz"]
    assert n_left > 0
