"""A size that pages of studies that are not converted yet use."""

WIDE = (3.5, 3.1)
"""Inches of the panels of which two stand side by side."""
