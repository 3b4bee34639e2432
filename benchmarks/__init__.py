"""Measurements of this project beside the limit of the machine they run on. `./dev bench` runs them."""
