"""Samplers of a WaveNet: the plain one and the compiled one."""
