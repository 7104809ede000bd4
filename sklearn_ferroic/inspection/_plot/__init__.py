"""Display classes, one module each."""
