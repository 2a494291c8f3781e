"""Alembic migrations of the history's tables. ``celeriac migrate`` runs them."""
