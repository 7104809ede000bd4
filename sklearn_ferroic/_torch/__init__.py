"""Training utilities that all estimators based on skorch share."""
