"""What a search tries, and reservoirs that share a graph."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from reservoir import ESNForecaster
from reservoir.graph.matrix import Shifts
from reservoir.search.space import SCALARS, candidates_of, default_space, give_reservoirs

SMALL = {"n_units": 20, "in_degree": 4, "random_state": 0}


def drawn(**settings):
    model = ESNForecaster(**SMALL | settings)
    model._draw(2, 0, np.dtype(float))
    return model.reservoir_


def dense(reservoir):
    return (reservoir.W.to_csr() if isinstance(reservoir.W, Shifts) else reservoir.W).toarray()


@pytest.mark.parametrize("topology", ["sparse", "shifts", "delay_line"])
def test_shared_reservoirs_are_those_that_are_drawn_alone(topology):
    others = [{}, {"spectral_radius": 0.3, "leak_rate": 1.0}, {"input_scaling": 2.0, "bias_scaling": 0.0}]
    others.append({"input_weights": "signs", "input_scaling": 0.5})
    models = [ESNForecaster(**SMALL, topology=topology, **other) for other in others]
    give_reservoirs(models, 2, np.dtype(float))
    for model, other in zip(models, others, strict=True):
        alone = drawn(topology=topology, **other)
        assert_allclose(dense(model.reservoir_), dense(alone), rtol=1e-9)
        for name in ("input_weights", "bias", "leak"):
            assert_allclose(getattr(model.reservoir_, name), getattr(alone, name), rtol=1e-12)


def test_only_what_can_be_scaled_shares():
    models = [
        ESNForecaster(**SMALL, input_scaling=np.ones(2)),
        ESNForecaster(**SMALL | {"n_units": 21}),
        ESNForecaster(**SMALL, leak_rate=(0.1, 1.0)),
    ]
    give_reservoirs(models, 2, np.dtype(float))
    assert [hasattr(model, "reservoir_") for model in models] == [False, True, False]
    assert models[1].reservoir_.n_units == 21


@pytest.mark.parametrize("name", SCALARS)
def test_scalars_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number"):
        give_reservoirs([ESNForecaster(**SMALL, **{name: -1.0})], 2, np.dtype(float))


def test_the_first_candidate_is_the_model_and_the_others_are_drawn():
    model = ESNForecaster(**SMALL)
    found = candidates_of(model, None, 5, 0)
    assert len(found) == 5 and found[0] == {name: getattr(model, name) for name in default_space()}
    assert found == candidates_of(model, None, 5, 0) and found != candidates_of(model, None, 5, 1)
    assert all(type(value) is float for each in found for value in each.values())
    assert candidates_of(model, None, 1, 0) == found[:1]


def test_a_grid_is_tried_once():
    found = candidates_of(ESNForecaster(**SMALL), {"n_units": [20, 30], "topology": ["ring"]}, 16, 0)
    assert found[0] == {"n_units": 20, "topology": "sparse"}
    assert sorted((each["n_units"], each["topology"]) for each in found[1:]) == [(20, "ring"), (30, "ring")]
    several = candidates_of(ESNForecaster(**SMALL), [{"n_units": [30]}, {"leak_rate": [0.5]}], 16, 0)
    assert several[0] == {"n_units": 20, "leak_rate": 0.7} and len(several) == 3


@pytest.mark.parametrize(
    ("space", "kind", "message"),
    [
        ({"n_unit": [3]}, ValueError, "param_distributions must name parameters of ESNForecaster, got n_unit"),
        (["leak_rate"], TypeError, "param_distributions must be a dict"),
        ("leak_rate", TypeError, "param_distributions must be a dict"),
        ([], TypeError, "param_distributions must be a dict"),
    ],
)
def test_what_is_no_space_is_refused(space, kind, message):
    with pytest.raises(kind, match=message):
        candidates_of(ESNForecaster(**SMALL), space, 3, 0)
