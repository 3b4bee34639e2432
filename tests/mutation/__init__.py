"""Takes the safeties out of the product one by one: without each of them some test must fail."""
