"""Search of hyper-parameters: candidates, how they are judged, and what scikit-learn users meet."""
