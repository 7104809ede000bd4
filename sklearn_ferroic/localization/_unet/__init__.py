"""Segmentation network for background, A and B columns."""
