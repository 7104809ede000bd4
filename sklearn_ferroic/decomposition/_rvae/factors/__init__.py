"""Discrete classes and known conditions of the generative model."""
