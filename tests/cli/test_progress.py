"""Progress in a log file."""

import io
import sys

from vqspeech.cli import progress


def test_a_log_is_told_how_far_it_is(monkeypatch):
    stderr = io.StringIO()
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress.bar("training", 1.0, "") as update:
        update(0.5, "step 3")
    assert "training: 50 % step 3" in stderr.getvalue()
