"""Pose of a patch: geometry, likelihood of rotations, alignment, polarization."""
