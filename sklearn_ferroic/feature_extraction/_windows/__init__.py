"""Windows of an image around positions."""
