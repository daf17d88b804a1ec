"""Whole models, composed of the parts in `nn`."""
