"""Rivals on chaotic systems: what they can continue, and what a search takes."""

import numpy as np

from studies.learners.free_forecasters import NextGeneration, searched


def logistic(n, x=0.3):
    found = []
    for _ in range(n):
        x = 3.9 * x * (1 - x)
        found.append([x])
    return np.array(found)


def test_a_polynomial_map_is_found_by_monomials_of_its_degree():
    x = logistic(130)
    runs = NextGeneration(n_delays=1, order=2, alpha=0.0).fit(x[:100]).forecast(20, [x[:100], x[:110]])
    np.testing.assert_allclose(runs[0], x[100:120], atol=1e-6)
    np.testing.assert_allclose(runs[1], x[110:130], atol=1e-6)


def test_monomials_are_all_products_up_to_the_order():
    found = NextGeneration(order=3)._monomials(np.array([[2.0, 3.0]]))
    np.testing.assert_array_equal(found, [[1, 2, 3, 4, 6, 9, 8, 12, 18, 27]])


def test_a_search_takes_what_runs_freely_for_longest_and_learns_all_rows():
    x = logistic(120)
    model = searched(NextGeneration, [{"n_delays": 1, "order": order, "alpha": 1e-9} for order in (1, 2)], x, 10)
    whole = NextGeneration(n_delays=1, order=2, alpha=1e-9).fit(x)
    np.testing.assert_array_equal(model.forecast(5, [x]), whole.forecast(5, [x]))
