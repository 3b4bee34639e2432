"""What can be wrong with a deployment, in words."""
