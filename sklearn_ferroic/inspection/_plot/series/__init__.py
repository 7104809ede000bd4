"""Figures of series of frames and of scan lines."""
