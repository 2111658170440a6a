"""Sentences and numbers as the report prints them."""
