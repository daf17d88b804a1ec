"""Objective evaluation: of conversions, of codes, and of speed."""
