"""`puna train`: how a training run is getting on, in the terminal."""
