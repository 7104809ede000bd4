"""Models of columns and their fit to an image."""
