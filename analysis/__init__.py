"""Arrays and plain rows in, numbers and figures out."""
