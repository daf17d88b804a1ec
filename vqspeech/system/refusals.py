"""Errors of the operating system and of libraries, as one line."""

from vqspeech.errors import InputError

LIBRARIES = {"safetensors", "soundfile", "huggingface_hub", "httpx", "requests", "pyarrow", "fsspec", "botocore"}
"""Libraries whose exceptions are about files, disks and networks."""
MEMORY = ("can't allocate memory", "out of memory", "Unable to allocate")
"""Messages of RuntimeErrors that mean that memory ran out."""


def refusal(error: BaseException) -> str | None:
    """Message for an error of the input, the operating system or a library; None for other errors.

    >>> refusal(PermissionError(13, "Permission denied", "data/wav.scp"))
    'data/wav.scp: Permission denied; check that it exists, its permissions, and that the disk is not full'
    >>> refusal(ZeroDivisionError("division by zero"))
    """
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError):
        paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
        message = f"{' -> '.join(paths)}: {error.strerror}" if paths else error.strerror or text
        return f"{message}; check that it exists, its permissions, and that the disk is not full"
    if isinstance(error, UnicodeError):
        return f"a file name or text is not in the required encoding ({text}); rename or convert it"
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(message in text for message in MEMORY)
    ):
        return f"out of memory ({text[:200]}); process less at a time, or use a larger machine"
    if isinstance(error, RuntimeError) and "home directory" in text:
        return f"{text.rstrip('.')}; set HOME"
    if type(error).__module__.partition(".")[0] in LIBRARIES or type(error).__name__ == "SafetensorError":
        return f"{text[:300]}; check the file, the disk or the network"
    return None
