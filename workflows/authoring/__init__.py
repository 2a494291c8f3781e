"""How Python becomes a graph: decorators, symbols, and reading the body of a workflow."""
