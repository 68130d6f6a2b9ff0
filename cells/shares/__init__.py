"""A network over a batch, cut into the shares that threads carry."""
