"""Intervals, comparisons and verdicts."""
