"""Steps that compute the row of a point, one module for each kind of row."""
