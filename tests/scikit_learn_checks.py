"""Which of scikit-learn's checks sequences must fail, and what makes every row a sequence so that none is failed."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, has_fit_parameter, validate_data

SEQUENCES_ARE_NOT_ROWS = {
    "check_methods_sample_order_invariance": "rows in another order are another sequence",
    "check_methods_subset_invariance": "the answer at a row depends on the rows before it",
    "check_sample_weight_equivalence_on_dense_data": "a row of weight 0 is remembered, a row left out is not",
}


def clashes_with_sequences(estimator):
    """The checks that must fail: strict, so that a check that passes against expectation fails the build."""
    answers_rows = hasattr(estimator, "predict") or hasattr(estimator, "transform")
    clashes = [name for name in SEQUENCES_ARE_NOT_ROWS if answers_rows and "weight" not in name]
    if answers_rows and has_fit_parameter(estimator, "sample_weight"):
        clashes.append("check_sample_weight_equivalence_on_dense_data")
    return {name: SEQUENCES_ARE_NOT_ROWS[name] for name in clashes}


class NumberRows(TransformerMixin, BaseEstimator):
    """Puts a running number before every row, by which each row becomes a sequence of its own."""

    def fit(self, X, y=None):
        validate_data(self, X)
        return self

    def transform(self, X):
        check_is_fitted(self, "n_features_in_")
        X = validate_data(self, X, reset=False)
        return np.column_stack([np.arange(len(X), dtype=X.dtype), X])

    def get_feature_names_out(self, input_features=None):
        return np.array(["row", *(f"x{column}" for column in range(self.n_features_in_))], dtype=object)


PIPELINES_FIT_THEIR_STEPS = {
    "check_dont_overwrite_parameters": "every pipeline keeps its fitted steps in its parameter",
    "check_estimators_overwrite_params": "every pipeline keeps its fitted steps in its parameter",
}
