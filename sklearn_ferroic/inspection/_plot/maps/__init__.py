"""Maps of values and labels at sites."""
