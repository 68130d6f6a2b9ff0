"""The door for data: every accepted form becomes flat rows plus offsets."""
