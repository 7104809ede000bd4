"""Detection of columns: noise, candidates, selection, fit."""
