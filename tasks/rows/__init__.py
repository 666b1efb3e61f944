"""Steps that reduce a point to its row: a module a kind of row."""
