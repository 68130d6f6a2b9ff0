"""Language models: characters, counting, writing."""
