"""A study as configured: schemas and cross-checks, what it plans, where results lie, what it cost."""
