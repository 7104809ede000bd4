"""Displacements of scan lines, measured by columns and pixels."""
