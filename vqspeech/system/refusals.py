"""Errors of the operating system and of libraries, as one line."""

from vqspeech.errors import InputError

LIBRARIES = {"safetensors", "soundfile", "huggingface_hub", "httpx", "requests", "pyarrow", "fsspec", "botocore"}
"""Those whose own errors are about files, disks and networks."""
MEMORY = ("can't allocate memory", "out of memory", "Unable to allocate")
"""How libraries without an error of their own say that memory is short."""


def refusal(error: BaseException) -> str | None:
    """The line about an error, or none if it is not a refusal.

    >>> refusal(PermissionError(13, "Permission denied", "data/wav.scp"))
    'data/wav.scp: Permission denied; check that it exists, is permitted and the disk is not full'
    >>> refusal(ZeroDivisionError("division by zero"))
    """
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError):
        named = [str(one) for one in (error.filename, error.filename2) if one is not None]
        message = f"{' -> '.join(named)}: {error.strerror}" if named else error.strerror or text
        return f"{message}; check that it exists, is permitted and the disk is not full"
    if isinstance(error, UnicodeError):
        return f"a name or a text is not in the encoding that is wanted ({text}); rename or convert it"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(one in text for one in MEMORY)):
        return f"memory is short ({text[:200]}); take less at a time, or a larger machine"
    if isinstance(error, RuntimeError) and "home directory" in text:
        return f"{text.rstrip('.')}; set HOME"
    if type(error).__module__.partition(".")[0] in LIBRARIES or type(error).__name__ == "SafetensorError":
        return f"{text[:300]}; check the file, the disk or the network"
    return None
