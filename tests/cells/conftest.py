"""What tests of objectives have in common."""

import pytest

import cells.shares.sharing


@pytest.fixture
def small_batches_are_cut_into_shares_too(monkeypatch):
    monkeypatch.setattr(cells.shares.sharing, "WORTH_A_THREAD", 1)
