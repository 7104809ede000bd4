"""Pose of patches: geometry, likelihood of rotations, alignment, polarization."""
