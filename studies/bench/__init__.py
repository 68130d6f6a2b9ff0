"""How a study is run, kept and shown."""
