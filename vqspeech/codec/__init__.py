"""The .vqs file: bitstream, entropy coding, files and streams."""
