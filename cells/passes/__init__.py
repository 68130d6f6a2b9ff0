"""What a cell is, and one cell over time: products, the three passes, structural damping."""
