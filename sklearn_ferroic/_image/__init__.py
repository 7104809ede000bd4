"""Pixels of images, without columns: filters, noise, spacing, tiles."""
