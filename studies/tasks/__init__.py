"""What is learnt: signals, puzzles, texts, music."""
