"""The library: definitions, the engine, the history, and the client."""
