"""Parts of the measurement of walls: lines, profiles across them, and sides."""
