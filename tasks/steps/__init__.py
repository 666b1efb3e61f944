"""Steps: a module each, with its settings and its code."""
