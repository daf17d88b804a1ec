"""Trained models in use: encoding, decoding, conversion, sampling, enrolment."""
