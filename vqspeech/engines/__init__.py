"""WaveNet samplers: the torch reference engine and the compiled numba engine."""
