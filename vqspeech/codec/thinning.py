"""Thinning of .vqs files: their first codebooks alone, without decoding."""

from collections.abc import Iterable, Iterator
from itertools import chain

from vqspeech.codec.bitstream import PRIOR, Reader, write_chunk, write_header
from vqspeech.errors import InputError, check_codebooks


def thin(blocks: Iterable[bytes], codebooks: int) -> Iterator[bytes]:
    """The bytes of a .vqs with its first codebooks alone, the same as if no others had been encoded.

    Raises:
        InputError: as `bitstream.Reader`; more codebooks than there are; codebooks that a prior coded together.
    """
    reader, has_header = Reader(), False
    for chunk in chain((chunk for block in blocks for chunk in reader.push(block)), reader.finish()):
        assert reader.header  # or the reader had raised
        if not has_header:
            check_codebooks(codebooks, reader.header.codebooks, "the file")
            yield write_header(reader.header._replace(codebooks=codebooks))
            has_header = True
        if chunk.kind == PRIOR and codebooks < reader.header.codebooks:
            raise InputError("was coded with a prior, all codebooks together; encode the recording again")
        if chunk.codebook < codebooks:
            yield write_chunk(chunk)
