"""All SQL of the service: tables, and functions named by what they do to them."""
