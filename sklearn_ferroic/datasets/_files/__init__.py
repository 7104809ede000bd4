"""Images from files: formats, axes, calibration."""
