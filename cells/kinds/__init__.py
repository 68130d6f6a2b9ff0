"""The cells: one file each, three functions of one step."""
