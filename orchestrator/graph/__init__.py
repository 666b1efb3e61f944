"""What there is to do, and what it costs; no Ray."""
