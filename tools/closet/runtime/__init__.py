"""Files → running nodes, and back to nothing. Two runtimes behind one small protocol."""
