"""Networks with their losses, and their files."""
