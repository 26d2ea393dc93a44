"""Data sets as an engine reads them."""
