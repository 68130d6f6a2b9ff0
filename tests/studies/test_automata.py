"""Automata read from states: merging leaves the smallest machine, and an adder is read as the one of four states."""

import numpy as np
import pytest

from studies.tasks.automata import Automaton, merged, read_automaton
from studies.tasks.reckoning import automaton as adding_states


def random_machine(n_states, seed):
    rng = np.random.default_rng(seed)
    return Automaton(rng.integers(0, n_states, (n_states, 4)), rng.integers(0, 2, n_states), 0)


def split_states(machine, copies, seed):
    """The same machine with every state there several times; a transition goes to any copy."""
    rng = np.random.default_rng(seed)
    n = machine.n_states
    successors = np.vstack([machine.successors + n * rng.integers(0, copies, (n, 4)) for _ in range(copies)])
    return Automaton(successors, np.tile(machine.prints, copies), machine.start)


@pytest.mark.parametrize("seed", range(8))
def test_copies_of_states_are_merged_and_nothing_else_changes(seed):
    machine = merged(random_machine(6, seed))
    bloated = split_states(machine, 3, seed)
    again = merged(bloated)
    assert again.n_states == machine.n_states
    bits = np.random.default_rng(seed).integers(0, 2, (20, 40, 2))
    np.testing.assert_array_equal(again.run(bits), bloated.run(bits))
    np.testing.assert_array_equal(again.run(bits), machine.run(bits))


def test_states_that_are_never_reached_are_left_out():
    machine = Automaton(np.array([[0] * 4, [1] * 4]), np.array([0, 1]), 0)
    assert merged(machine).n_states == 1


def test_no_two_states_of_a_merged_machine_are_alike():
    machine = merged(random_machine(12, 3))
    bits = np.random.default_rng(0).integers(0, 2, (200, 12, 2))
    answers = {
        (int(machine.prints[s]), Automaton(machine.successors, machine.prints, s).run(bits).tobytes())
        for s in range(machine.n_states)
    }
    assert len(answers) == machine.n_states


def test_an_adder_is_read_off_noisy_states():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (300, 9, 2))
    truth = adding_states(bits)
    code = rng.normal(size=(4, 7))
    states = code[truth] + 0.01 * rng.normal(size=(*truth.shape, 7))
    machine = read_automaton(states, bits, truth % 2, 12, seed=0)
    assert machine.n_states == 4
    longer = rng.integers(0, 2, (50, 500, 2))
    np.testing.assert_array_equal(machine.run(longer), adding_states(longer) % 2)
