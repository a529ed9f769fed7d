"""The way from the original FastAPI service to tickserve: the split, the mirror, the comparison (docs/migration.md)."""
