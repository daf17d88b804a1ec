"""Shards: incomplete ones are made again, few are mapped at a time."""

from pathlib import Path

import pytest

from vqspeech import InputError
from vqspeech.data import archives
from vqspeech.data.archives import MulawShards


def test_a_shard_that_was_taken_away_is_missed(packed: Path):
    for part in packed.glob("shard-00000.*"):
        part.unlink()
    with pytest.raises(
        InputError, match=r"shard-00000.tsv: is no table of a shard \(.*\); delete the shard and pack again"
    ):
        MulawShards(packed)


def test_of_many_shards_few_are_mapped_at_a_time(tmp_path: Path):
    for number in range(40):
        (tmp_path / f"{number}").write_bytes(bytes([number, number]))
    maps = archives.MemmapPool(lambda number: tmp_path / f"{number}", "u1", 5)
    before = len(list(Path("/dev/fd").iterdir()))
    for number in [*range(40), *range(40)]:
        assert maps[number].tolist() == [number, number]
    assert len(list(Path("/dev/fd").iterdir())) <= before + 5
