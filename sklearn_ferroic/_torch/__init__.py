"""What all estimators that train with skorch share."""
