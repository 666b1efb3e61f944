"""Gone when the last study is converted."""
