"""Recurrent networks as scikit-learn estimators."""
