"""The HTTP edge: translates requests into calls of `lifecycle` and `store`, and rows into JSON."""
