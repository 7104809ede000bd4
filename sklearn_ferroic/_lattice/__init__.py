"""Geometry of points in the plane; knows no images."""
