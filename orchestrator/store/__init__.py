"""Results on disk or at a remote address: a folder a step."""
