"""Networks of RotationalVAE, objective, training and inference."""
