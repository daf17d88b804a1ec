import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqspeech import InputError
from vqspeech.codec import bitstream
from vqspeech.codec.bitstream import AdaptiveModel, Chunk, Header, Reader

HEADER = Header("0123456789abcdef01234567", 16000, 64, 512, "p225")


def alphabet_and_codes(most: int = 300):
    return st.integers(2, 600).flatmap(
        lambda size: st.tuples(st.just(size), st.lists(st.integers(0, size - 1), max_size=most))
    )


@given(alphabet_and_codes())
def test_unpack_gives_back_what_was_packed_in_the_fewest_bits(drawn):
    size, codes = drawn
    packed = bitstream.pack(np.array(codes, np.int64), size)
    assert len(packed) == -(-len(codes) * max(1, (size - 1).bit_length()) // 8)
    assert bitstream.unpack(packed, len(codes), size).tolist() == codes


@settings(deadline=None)
@given(alphabet_and_codes(60), st.integers(0, 2**32))
def test_decode_gives_back_what_was_encoded(drawn, seed):
    size, codes = drawn
    usage = np.random.default_rng(seed).integers(0, 1000, size)
    coded = bitstream.encode(np.array(codes, np.int64), AdaptiveModel(usage))
    assert bitstream.decode(coded, len(codes), AdaptiveModel(usage)).tolist() == codes


@given(st.lists(st.integers(1, 2**30), min_size=1, max_size=600))
def test_frequencies_are_above_0_and_sum_to_their_scale(counts):
    frequencies = bitstream.scaled(np.array(counts))
    assert frequencies.min() > 0
    assert frequencies.sum() == 65536


def test_codes_cost_what_their_frequencies_say():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(512, 0.3))
    codes = rng.choice(512, 1024, p=shares)
    coded = bitstream.encode(codes, AdaptiveModel((shares * 65536).astype(np.int64)))
    assert len(coded) * 8 < 1.05 * -np.log2(shares[codes]).sum()


def some_file(chunks: int = 3) -> tuple[bytes, list[Chunk]]:
    rng = np.random.default_rng(0)
    parts = [Chunk(n, bitstream.PACKED, rng.bytes(40 + n), None) for n in range(chunks - 1)]
    parts.append(Chunk(chunks - 1, bitstream.ADAPTIVE, rng.bytes(13), 12345))
    return bitstream.write_header(HEADER) + b"".join(map(bitstream.write_chunk, parts)), parts


def read(data: bytes, cuts: list[int] | None = None, conceal: bool = False) -> tuple[Reader, list[Chunk]]:
    reader, chunks_read, places = Reader(conceal), [], sorted(cuts or [])
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        chunks_read += reader.push(data[start:end])
    return reader, chunks_read + list(reader.finish())


@given(st.lists(st.integers(0, 220), max_size=20))
def test_a_file_that_arrives_in_any_pieces_is_the_same(cuts):
    data, chunks = some_file()
    reader, chunks_read = read(data, [min(cut, len(data)) for cut in cuts])
    assert reader.header == HEADER
    assert chunks_read == chunks


def test_every_cut_and_every_flipped_bit_is_an_error():
    data, _ = some_file()
    for end in range(len(data)):
        with pytest.raises(InputError):
            read(data[:end])
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError):
            read(bytes(flipped))
    with pytest.raises(InputError, match="1 bytes follow the last chunk"):
        read(data + b"x")


def test_damage_costs_one_chunk_where_it_may_be_concealed():
    data, chunks = some_file(5)
    first = len(bitstream.write_header(HEADER))
    for place in range(first, len(data) - len(bitstream.write_chunk(chunks[-1]))):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        reader, chunks_read = read(bytes(damaged), conceal=True)
        assert len(chunks_read) == 4
        assert set(chunks_read) < set(chunks)
        assert reader.lost == 1


@settings(max_examples=300)
@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_rubbish_is_an_error_and_nothing_else(rubbish, conceal, headed):
    data = (bitstream.write_header(HEADER) if headed else b"") + rubbish
    with pytest.raises(InputError):
        read(data, conceal=conceal)


def test_ten_thousand_random_files_are_errors():
    rng, header = np.random.default_rng(0), bitstream.write_header(HEADER)
    for number in range(10_000):
        rubbish = rng.bytes(int(rng.integers(300)))
        with pytest.raises(InputError):
            read((header if number % 2 else b"") + rubbish, conceal=number % 4 > 1)


def test_another_format_and_another_version_are_named():
    with pytest.raises(InputError, match=r"is no \.vqs file: it begins with b'RIFF'"):
        read(b"RIFF....")
    data = bytearray(some_file()[0])
    data[4] = 9
    with pytest.raises(InputError, match="has version 9 of the format, this program reads 2"):
        read(bytes(data))
    with pytest.raises(InputError, match="is empty"):
        read(b"")


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400), st.integers(0, 1024), st.integers(2, 1024))
def test_any_payload_gives_codes_or_an_error(payload, frames, size):
    for undo in (
        lambda: bitstream.unpack(payload, frames, size),
        lambda: bitstream.decode(payload, min(frames, 100), AdaptiveModel(np.zeros(size, np.int64))),
    ):
        try:
            codes = undo()
        except InputError:
            continue
        assert codes.min(initial=0) >= 0
        assert codes.max(initial=0) < size
