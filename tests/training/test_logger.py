"""Logger of a run."""

import json
import sys

import numpy as np
import pytest

from vqspeech.training.logger import RunLogger


def rows(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_rows_are_there_as_soon_as_they_are_logged_and_a_second_logger_appends(tmp_path):
    logger = RunLogger(tmp_path)
    logger.log_scalars(1, {"bits_per_sample": 1 / 3, "codes_used": np.int64(16)})
    assert rows(tmp_path) == [{"step": 1, "bits_per_sample": 0.333333, "codes_used": 16.0}]
    logger.close()
    logger = RunLogger(tmp_path)
    logger.log_scalars(2, {"bits_per_sample": 0.25})
    logger.close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_a_mute_logger_writes_no_file(tmp_path):
    logger = RunLogger(tmp_path, writes=False)
    logger.log_scalars(1, {"bits_per_sample": 1.0})
    logger.log_audio(1, {"reconstruction": np.zeros(10, np.float32)}, 16000)
    logger.close()
    assert list(tmp_path.iterdir()) == []


def test_without_tensorboard_the_rows_are_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    logger = RunLogger(tmp_path)
    logger.log_scalars(3, {"bits_per_sample": 0.5})
    logger.log_audio(3, {"reconstruction": np.zeros(10, np.float32)}, 16000)
    logger.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    assert rows(tmp_path) == [{"step": 3, "bits_per_sample": 0.5}]


def test_tensorboard_has_the_numbers_and_the_recordings(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = RunLogger(tmp_path)
    for step in (1, 2):
        logger.log_scalars(step, {"bits_per_sample": 1 / step})
    logger.log_audio(2, {"reconstruction/a": np.zeros(160, np.float32)}, 16000)
    logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("bits_per_sample")] == [(1, 1.0), (2, 0.5)]
    (recording,) = events.Audio("reconstruction/a")
    assert (recording.step, recording.sample_rate, recording.length_frames) == (2, 16000.0, 160)
