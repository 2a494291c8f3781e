"""How Python becomes a graph: decorators, symbols, and the graph builder."""
