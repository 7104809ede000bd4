"""The command ``sklearn-ferroic``."""
