"""Closing the books: statements of a day or month, reconciliation with the provider, and pricing the past again."""
