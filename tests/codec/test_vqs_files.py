import subprocess
import sys

import numpy as np
import pytest
import soundfile

import vqspeech
from vqspeech import InputError, SamplingConfig
from vqspeech.codec import bitstream, vqs_files

SEED = SamplingConfig(seed=3)


def command(*arguments: object, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "vqspeech", *map(str, arguments)], capture_output=True, input=data)


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 799, 800, 801, 5000])
def test_decode_speaks_the_codes_that_were_encoded_exactly_as_long(model, short_chunks, speech, samples):
    wave = speech(1.0)[:samples]
    data = b"".join(vqs_files.encode_blocks(model, [wave], "p226"))
    decoded_wave = np.concatenate([np.zeros(0, np.float32), *vqs_files.decode_blocks(model, [data], sampling=SEED)])
    assert len(decoded_wave) == samples
    if samples:
        assert np.array_equal(decoded_wave, model.decode(model.encode(wave), "p226", SEED, length=samples))


def test_a_file_costs_no_more_than_packed_codes_and_one_per_cent_and_64_bytes(model, speech):
    wave = np.tile(speech(1.0), 8)
    size = len(b"".join(vqs_files.encode_blocks(model, [wave], "p225")))
    frames = -(-len(wave) // model.hop)
    assert size <= 1.01 * frames * bitstream.width(16) / 8 + 64 + 11 * frames / 1024  # 16 codes: small chunks
    assert (
        len(bitstream.write_chunk(bitstream.Chunk(0, bitstream.PACKED, bitstream.pack(np.zeros(1024, int), 512), None)))
        <= 1.01 * 1152
    )


def test_damage_is_an_error_or_is_concealed_as_silence(model, short_chunks, speech):
    wave = speech(0.4)
    data = bytearray(b"".join(vqs_files.encode_blocks(model, [wave], "p226")))
    reader = bitstream.Reader()
    first = next(reader.push(bytes(data)))
    data[len(bitstream.write_header(reader.header)) + len(bitstream.write_chunk(first)) + 8] ^= 1  # in the second
    with pytest.raises(InputError, match="is damaged in chunk 1"):
        [*vqs_files.decode_blocks(model, [bytes(data)])]
    reports = []
    decoded_wave = np.concatenate([*vqs_files.decode_blocks(model, [bytes(data)], conceal=True, report=reports.append)])
    assert reports == ["1 chunks were damaged and are silence"]
    assert len(decoded_wave) == len(wave)
    assert not decoded_wave[800:1600].any()
    assert decoded_wave[:800].any()
    assert decoded_wave[1600:].any()


def test_a_file_of_another_model_names_both(run, model, tiny, tmp_path, speech):
    import torch

    from vqspeech.models import checkpoint
    from vqspeech.models.vqvae import VQVAE

    checkpoint.init_run_dir(tmp_path / "other", tiny, ["p225"])
    checkpoint.save(tmp_path / "other", VQVAE.from_config(tiny.model, 1))
    data = b"".join(vqs_files.encode_blocks(model, [speech(0.1)], "p225"))
    stranger = vqspeech.load(tmp_path / "other")
    with pytest.raises(InputError, match=f"model {model.run.digest[:24]}, this one is {stranger.run.digest[:24]}"):
        [*vqs_files.decode_blocks(stranger, [data])]
    assert torch.is_tensor(stranger.net.quantizer.first.cluster_size)


def test_several_files_are_decoded_as_each_by_itself_and_a_fault_costs_none_before_it(model, speech, tmp_path):
    pairs = [(tmp_path / f"{number}.vqs", tmp_path / f"{number}.wav") for number in range(4)]
    for number, (source, _) in enumerate(pairs):
        data = b"".join(vqs_files.encode_blocks(model, [speech(0.1 + 0.2 * number, seed=number)], "p225"))
        source.write_bytes(data if number != 2 else data[:-1])
    with pytest.raises(InputError, match=r"2\.vqs: is cut short"):
        list(vqs_files.decode_all(model, pairs, sampling=SEED))
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["0.wav", "1.wav"]
    assert not list(tmp_path.glob(".*.part"))
    for source, path in pairs[:2]:
        alone = np.concatenate([*vqs_files.decode_blocks(model, [source.read_bytes()], sampling=SEED)])
        assert np.abs(soundfile.read(path)[0] - alone).max() < 1e-4


def encoded(model, wave, **options) -> bytes:
    return b"".join(vqs_files.encode_blocks(model, [wave], "alice", **options))


def decoded(model, data, **options) -> np.ndarray:
    return np.concatenate([*vqs_files.decode_blocks(model, [data], **options)])


def test_a_model_of_fewer_codebooks_encodes_with_the_first_ones(stacked_model, speech):
    wave = speech(0.2)
    single = vqspeech.load(stacked_model.run, codebooks=1)
    assert single.codebooks == 1
    assert np.array_equal(single.encode(wave), stacked_model.encode(wave)[:, :1])
    assert encoded(single, wave) == encoded(stacked_model, wave, codebooks=1)
    with pytest.raises(InputError, match=r"3 codebooks are requested, the model has 2"):
        vqspeech.load(stacked_model.run, codebooks=3)


@pytest.mark.parametrize("codebook", [0, 1])
def test_a_damaged_codebook_costs_its_own_share(stacked_model, speech, codebook):
    wave, report = speech(0.2), []
    data = encoded(stacked_model, wave)
    reader = bitstream.Reader()
    chunks = [*reader.push(data)]
    at = len(bitstream.write_header(reader.header)) + sum(
        len(bitstream.write_chunk(chunk)) for chunk in chunks[: 2 + codebook]
    )
    damaged = data[: at + 8] + bytes([data[at + 8] ^ 1]) + data[at + 9 :]
    with pytest.raises(InputError, match="is damaged in chunk 1"):
        decoded(stacked_model, damaged)
    decoded_wave = decoded(stacked_model, damaged, conceal=True, report=report.append)
    assert len(decoded_wave) == len(wave)
    assert decoded_wave[800:1600].any() == (codebook == 1)
    assert len(report) == 1
    assert ("poorer" in report[0]) == (codebook == 1)


def test_a_gain_makes_louder_what_is_decoded(stacked_model, speech):
    wave = speech(0.1)
    plain, louder = (decoded(stacked_model, encoded(stacked_model, wave, gain_db=gain)) for gain in (0.0, -6.0))
    assert np.allclose(louder, plain * 10 ** (-6 / 20), atol=1e-6)
