"""Kaldi data directories: from recordings to batches."""
