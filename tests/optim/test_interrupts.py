"""Ctrl-C waits until what must not be torn is done."""

import signal
import threading

import numpy as np
import pytest

from optim.checkpoint import load_checkpoint, save_checkpoint
from optim.interrupts import interrupts_deferred


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler_is_put_back():
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_is_raised_on_the_way_out_once():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_deferred():
        ctrl_c()
        ctrl_c()
        done.append("written")
    assert done == ["written"]


def test_without_an_interrupt_nothing_happens():
    with interrupts_deferred():
        pass


def test_after_the_context_an_interrupt_acts_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with interrupts_deferred():
            done.append("written")
        ctrl_c()
        done.append("never")
    assert done == ["written"]


def test_a_context_inside_another_waits_for_both():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_deferred():
        with interrupts_deferred():
            ctrl_c()
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


@pytest.mark.parametrize("which", ["entering", "leaving"])
@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after"])
def test_an_interrupt_while_handlers_change_spoils_no_later_context(monkeypatch, which, is_late):
    install, calls = signal.signal, []

    def interrupted(number, handler):
        calls.append(handler)
        is_here = len(calls) == (1 if which == "entering" else 2)
        if is_here and not is_late:
            ctrl_c()
        before = install(number, handler)
        if is_here and is_late:
            ctrl_c()
        return before

    monkeypatch.setattr(signal, "signal", interrupted)
    with pytest.raises(KeyboardInterrupt), interrupts_deferred():
        pass
    monkeypatch.undo()
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_deferred():
        ctrl_c()
        done.append("written")
    assert done == ["written"]


def test_an_error_inside_is_not_lost():
    with pytest.raises(ZeroDivisionError), interrupts_deferred():
        raise ZeroDivisionError


def test_other_threads_and_other_handlers_are_left_alone():
    seen = []

    def inside():
        with interrupts_deferred():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()

    def own(number, frame):
        seen.append("own")

    signal.signal(signal.SIGINT, own)
    try:
        with interrupts_deferred():
            ctrl_c()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert seen == [signal.default_int_handler, "own"]


def test_a_file_that_is_being_written_is_whole_before_an_interrupt_acts(monkeypatch, tmp_path):
    write = np.lib.format.write_array

    def interrupted(*args, **kwargs):
        ctrl_c()
        write(*args, **kwargs)

    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "run.npz", {"theta": np.arange(3.0)})
    assert load_checkpoint(tmp_path / "run.npz")["theta"].tolist() == [0.0, 1.0, 2.0]
