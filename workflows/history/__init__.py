"""The history in Postgres: schema, statements, and the stores that run them."""
