"""Runs a graph of steps on Ray and shows what came of it."""
