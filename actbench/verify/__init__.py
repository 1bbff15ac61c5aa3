"""RIGHT? What is true of a compiled function: its derivative and its properties."""
