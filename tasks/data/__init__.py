"""Labelled image datasets: reading, checking and writing them."""
