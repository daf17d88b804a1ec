import json
import subprocess
import sys

from vqspeech.evaluation import bench


def test_the_bench_measures_every_engine_and_precision():
    sizes = ["--residual", "16", "--skip", "16", "--layers", "3", "--seconds", "0.01"]
    done = subprocess.run([sys.executable, "-m", "vqspeech", "bench", "--json", *sizes], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {"engine", "precision", "streams", "threads", "samples_per_s", "times_real_time", "percent_of_peak"} <= set(
        rows[0]
    )
    assert {(row["engine"], row["precision"]) for row in rows} == {
        ("torch", "float32"), ("numba", "bfloat16"), ("numba", "float32")
    }  # fmt: skip
    assert {1, 4, 8, 16, 32} <= {row["streams"] for row in rows}
    assert all(0 < row["percent_of_peak"] < 150 for row in rows)


def test_the_multiply_adds_of_a_sample_are_those_of_its_matrices():
    limits = bench.limits(bench.decoder(8, 12, 2), 0.01)
    assert limits.multiplies == 2 * (2 * 8 * 16 + 8 * 20) + 12 * 12 + 12 * 256
