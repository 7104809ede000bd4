"""Geometry of points in the plane, independent of images."""
