"""The pictures in the README and the docs, taken of the running product."""
