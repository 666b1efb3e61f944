"""Pure steps: a function, its settings, its input folders, its output folder."""
