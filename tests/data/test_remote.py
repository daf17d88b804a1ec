"""Shards behind a URL: fetched as they are needed, the latest kept, and the same crops as from a folder."""

import functools
import http.server
import json
import threading

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vqspeech import InputError
from vqspeech.data import archives, batches
from vqspeech.data.archives import MulawShards
from vqspeech.models import checkpoint
from vqspeech.training import tasks

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


@pytest.fixture
def corpus(tmp_path):
    """A packed folder of twelve shards, three utterances of 500 samples each."""
    folder, rng = tmp_path / "data" / "packed", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for shard in range(12):
        spoken = [
            (f"s{n}_{shard}", f"s{n}", rng.integers(0, 256, 500).astype(np.uint8) // 12 * 12 + shard) for n in range(3)
        ]
        archives.write_shard(folder / f"shard-{shard:05d}.u8", spoken)
    (folder / "packed.json").write_text(json.dumps({"format": 1, "sample_rate": 16000, "shards": 12}))
    return folder


@pytest.fixture
def url(corpus, tmp_path, monkeypatch):
    """Where the folder is served, on this machine alone; and a home for what is fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=corpus))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def bucket(corpus, tmp_path, monkeypatch):
    """The same in a bucket of what stands in for S3."""
    moto = pytest.importorskip("moto.server", reason="S3 needs a stand-in: pip install 'moto[server]' s3fs")
    s3fs = pytest.importorskip("s3fs", reason="S3 needs s3fs: pip install s3fs")
    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    system = s3fs.S3FileSystem(endpoint_url=endpoint, skip_instance_cache=True)
    system.mkdir("speech")
    for path in corpus.iterdir():
        system.put(str(path), f"speech/packed/{path.name}")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint})
    yield "s3://speech/packed"
    server.stop()


def test_crops_of_a_bucket_are_those_of_the_folder(corpus, bucket, tmp_path):
    local, remote = crops(corpus), crops(bucket)
    assert all(torch.equal(local[number][0], remote[number][0]) for number in range(200))
    assert 0 < len([name for name in cached_files(tmp_path) if name.endswith(".u8")]) <= 4


def cached_files(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("shard-*"))


def crops(place, **options) -> batches.Crops:
    return batches.Crops([MulawShards(place, keep=4)], ["s0", "s1", "s2"], 128, 16, seed=3, mixed=2, **options)


def test_crops_of_a_url_are_those_of_the_folder_and_only_the_latest_shards_are_kept(corpus, url, tmp_path):
    local, remote = crops(corpus), crops(url)
    assert not cached_files(tmp_path)  # nothing is fetched before it is needed
    for number in range(2 * len(local)):
        assert all(
            torch.equal(torch.as_tensor(a), torch.as_tensor(b))
            for a, b in zip(local[number], remote[number], strict=True)
        )
        assert len(cached_files(tmp_path)) <= 4
        assert not list((tmp_path / "cache").rglob("*.part"))


def test_workers_share_what_is_fetched_and_share_out_the_crops(corpus, url, tmp_path):
    remote = DataLoader(crops(url), 4, sampler=range(40), collate_fn=batches.collate, num_workers=2)
    local = DataLoader(crops(corpus), 4, sampler=range(40), collate_fn=batches.collate)
    for batch, expected in zip(remote, local, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch[:5], expected[:5], strict=True))
        assert batch.phones is expected.phones is None
    assert 0 < len(cached_files(tmp_path)) <= 4


@pytest.mark.parametrize("mixed", [1, 2, 5, 12])
def test_an_epoch_goes_through_few_shards_at_a_time_and_misses_nothing(corpus, mixed):
    packed = MulawShards(corpus)
    schedule = batches.CropSampler([packed], packed.speakers, 500, seed=1, mixed=mixed)
    for epoch in range(2):
        visited = schedule._order(epoch)
        assert sorted(visited) == list(range(36))
        shards = [packed.rows[at].shard for at in visited]
        for start in range(0, 36, 3 * mixed):
            assert len(set(shards[start : start + 3 * mixed])) == min(mixed, 12 - start // 3)
    assert list(schedule._order(0)) != list(schedule._order(1))


def test_training_from_a_url_is_training_from_the_folder(tiny, corpus, url, tmp_path):
    settings = tiny.model_copy(
        update={"training": tiny.training.model_copy(update={"shuffle_shards": 2, "max_steps": 2})}
    )
    tasks.train_vqvae(settings, [corpus], [corpus], tmp_path / "here")
    tasks.train_vqvae(settings, [url], [url], tmp_path / "there")
    first, second = (checkpoint.load(tmp_path / name).model.state_dict() for name in ("here", "there"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_what_cannot_be_had_is_told_in_one_line(corpus, url, tmp_path):
    with pytest.raises(InputError, match=r"/nowhere: holds no packed speech.*\(.*nowhere/packed.json"):
        MulawShards(f"{url}/nowhere")
    with pytest.raises(InputError, match=r"cannot be opened .*vqspeech\[remote\]"):
        MulawShards("carrier-pigeon://home/packed")
    packed = MulawShards(url)
    (corpus / "shard-00003.u8").unlink()
    with pytest.raises(InputError, match=r"shard-00003.u8: cannot be fetched"):
        packed[9]
    (corpus / "shard-00004.u8").write_bytes(b"short")
    with pytest.raises(InputError, match="its table speaks of 1500"):
        packed[12]
    assert "shard-00003.u8" not in cached_files(tmp_path)
