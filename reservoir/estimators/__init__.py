"""Echo state networks as scikit-learn estimators."""
