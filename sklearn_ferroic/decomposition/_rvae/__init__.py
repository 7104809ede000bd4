"""The networks of RotationalVAE, their objective and their training."""
