"""The recipe of pictures: likelihoods by hand, each model for a few steps on shapes."""

import json
import math
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from vqspeech import InputError

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes/image"))
import likelihood
import networks
import pictures
import priors


def shapes(number: int, size: int, seed: int = 0) -> pictures.Pictures:
    """Bright squares on a dark ground; the class is the colour that is brightest."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(20, 40, (number, 3, size, size)).astype(np.uint8)
    kinds = rng.integers(0, 3, number)
    for picture, kind in zip(levels, kinds, strict=True):
        row, column = rng.integers(0, size // 2, 2)
        picture[kind, row : row + size // 2, column : column + size // 2] = 200
    return pictures.Pictures(levels, kinds, ["r", "g", "b"])


def test_all_levels_together_have_the_share_one_and_a_wide_logistic_costs_eight_bits():
    every = torch.arange(256).view(256, 1, 1, 1)
    for mean, log_scale in ((0.01, -3.0), (0.9, -1.0), (-1.5, 0.5), (0.3, -7.0)):
        given = torch.full((256, 1, 1, 1), mean, dtype=torch.float64)
        shares = torch.exp(-likelihood.nats(every, given, torch.full_like(given, log_scale)))
        assert float(shares.sum()) == pytest.approx(1.0, abs=1e-9)
        centre = round((mean + 1) / 2 * 255)
        assert int(shares.argmax()) == min(255, max(0, centre))
    picture = torch.randint(256, (4, 3, 8, 8))
    flat = torch.full((4, 3, 8, 8), 14.0, dtype=torch.float64)
    bits = likelihood.bits_per_dimension(likelihood.nats(picture, flat * 0, flat), 192)
    assert torch.allclose(bits, torch.full((4,), 8.0, dtype=torch.float64), atol=1e-5)


def test_a_level_has_the_share_of_the_logistic_between_its_edges():
    mean, log_scale, level = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), -2.0), torch.tensor([[[[140]]]])
    scale, logistic = math.exp(-2) * 127.5, lambda t: 1 / (1 + math.exp(-t))
    inside = logistic((140.5 - 127.5) / scale) - logistic((139.5 - 127.5) / scale)
    whole = logistic((255.5 - 127.5) / scale) - logistic((-0.5 - 127.5) / scale)
    assert float(likelihood.nats(level, mean, log_scale)) == pytest.approx(-math.log(inside / whole), rel=1e-4)


def test_a_draw_left_out_has_the_mean_of_the_others():
    each = torch.tensor([[1.0, 2.0, 6.0]])
    for place, rest in enumerate(([2.0, 6.0], [1.0, 6.0], [1.0, 2.0])):
        expected = math.log((sum(math.exp(log_weight) for log_weight in rest) + math.exp(sum(rest) / 2)) / 3)
        assert float(networks.leave_one_out(each)[0, place]) == pytest.approx(expected, abs=1e-5)


SIZES = networks.Sizes(units=16, dim=8, codes=16)
MODELS = {
    "VAE": lambda: networks.VAE(SIZES),
    "VQ-VAE": lambda: networks.VQVAE(SIZES),
    "VIMCO": lambda: networks.VIMCO(SIZES, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MODELS))
def test_each_model_learns_shapes_in_a_few_steps(name):
    torch.manual_seed(0)
    model, data = MODELS[name]().train(), torch.from_numpy(shapes(64, 16).levels)
    adam, bits = torch.optim.Adam(model.parameters(), 3e-3), []
    for step in range(60):
        loss = model.loss(networks.Batch(data[step % 4 * 16 :][:16], step))
        adam.zero_grad()
        loss.total.backward()
        adam.step()
        bits.append(loss.parts["bits_per_dim"].item())
    gradients = [parameter.grad for parameter in model.encoder.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert np.mean(bits[-5:]) < min(7.0, np.mean(bits[:3]) - 0.5)
    assert model.eval().reconstruct(data[:3]).shape == (3, 3, 16, 16)


@torch.no_grad()
def test_codes_cost_what_they_are_and_the_bound_of_one_draw_is_its_own():
    torch.manual_seed(0)
    data = torch.from_numpy(shapes(3, 16).levels)
    whole, cost = networks.VQVAE(SIZES).eval().nats(networks.Batch(data, 0))
    assert cost.tolist() == pytest.approx([16 * math.log(16)] * 3)
    assert (whole > cost).all()
    model = networks.VIMCO(SIZES, 1)
    each, _ = model._draws(networks.Batch(data, 5))
    assert torch.allclose(model.nats(networks.Batch(data, 5))[0], -each[:, 0])
    many = networks.VIMCO(SIZES, 40)
    many.load_state_dict(model.state_dict())
    assert many.nats(networks.Batch(data, 5))[0].mean() < model.nats(networks.Batch(data, 5))[0].mean()


def test_a_second_model_tells_its_pixelcnn_what_to_draw():
    """Rows of one code each: three latents say which, and the decoder obeys them instead of going its own way."""
    torch.manual_seed(0)
    model, random = priors.Second(8, 6, 16, 8, 8, 2).train(), torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        codes = torch.randint(8, (16, 1, 1), generator=random).expand(-1, 6, 6)
        loss = model.loss(priors.CodeBatch(codes, None))
        adam.zero_grad()
        loss.total.backward()
        adam.step()
    model.eval()
    codes = torch.arange(8)[:, None, None].expand(-1, 6, 6)
    chosen = model.encode(codes)
    assert len({tuple(latents) for latents in chosen.tolist()}) >= 6
    with torch.no_grad():
        out = model.decode(chosen, torch.full((8, 6, 6), 0.5))
    assert (out == codes).float().mean() > 0.7


def test_patches_of_a_test_photograph_are_never_trained_on():
    pytest.importorskip("skimage")
    assert not set(pictures.TRAIN_PHOTOGRAPHS) & set(pictures.TEST_PHOTOGRAPHS)
    train, test = pictures.patches(16, train=30, test=12)
    assert (train.levels.shape, test.levels.shape) == ((30, 3, 16, 16), (12, 3, 16, 16))
    assert np.array_equal(pictures.patches(16, train=30, test=12)[0].levels, train.levels)


def test_pictures_come_from_folders_tars_and_the_binary_form(tmp_path):
    from PIL import Image

    made = shapes(12, 20)
    for number, (levels, kind) in enumerate(zip(made.levels, made.kinds, strict=True)):
        folder = tmp_path / "own" / ("test" if number < 4 else "train") / made.names[kind]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels.transpose(1, 2, 0)).save(folder / f"{number}.png")
    train, test = pictures.load(str(tmp_path / "own"), 20)
    assert (len(train.levels), len(test.levels)) == (8, 4)
    expected = {tuple(picture) for picture in made.levels[:4].reshape(4, -1)}
    assert {tuple(picture) for picture in test.levels.reshape(4, -1)} == expected
    with tarfile.open(tmp_path / "own.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "own", ".")
    assert np.array_equal(pictures.load(str(tmp_path / "own.tar.gz"), 20)[0].levels, train.levels)
    rng = np.random.default_rng(0)
    (tmp_path / "cifar").mkdir()
    for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        records = rng.integers(0, 256, (5, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        (tmp_path / "cifar" / name).write_bytes(records.tobytes())
    train, test = pictures.load(str(tmp_path / "cifar"), 32)
    assert (len(train.levels), len(test.levels)) == (10, 5)
    assert np.array_equal(test.levels[0].flatten(), records[0, 1:])
    assert test.kinds.tolist() == records[:, 0].tolist()


def test_a_command_leaves_a_table_pictures_and_a_page(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    from PIL import Image

    monkeypatch.syspath_prepend(str(Path(pictures.__file__).parent))
    import run

    made = shapes(24, 24)
    for number, (levels, kind) in enumerate(zip(made.levels, made.kinds, strict=True)):
        folder = tmp_path / "own" / ("test" if number < 8 else "train") / made.names[kind]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels.transpose(1, 2, 0)).save(folder / f"{number}.png")
    run.compare(str(tmp_path / "own"), 8, 8, 2, 0.01, 1, tmp_path / "compare")
    rows = json.loads((tmp_path / "compare/table.json").read_text())["rows"]
    assert all(0 < rows[name]["bits"] < 20 for name in run.PAPER)
    run.compress(str(tmp_path / "own"), 24, 8, 8, 0.01, 3, tmp_path / "compress")
    output = capsys.readouterr().out
    assert "24x24x3 to 6x6: 42.7 times fewer bits" in output
    assert output.count("codes in use, perplexity") == 2
    for command, names in (("compare", ["reconstructions"]), ("compress", ["reconstructions", "samples", "second"])):
        page = (tmp_path / command / "report.html").read_text()
        assert all(f"<h3>{name.capitalize()}</h3>" in page for name in names)
        assert page.count("data:image/png;base64,") == len(names) + 2
        assert all((tmp_path / command / f"{name}.png").stat().st_size > 100 for name in names)
    assert "of the classes b, g, r" in page or "of the classes r, g, b" in page


def test_cifar_pickles_are_read_and_run_nothing(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        levels = rng.integers(0, 256, (5, 3072)).astype(np.uint8)
        batch = {b"data": levels, b"labels": rng.integers(0, 10, 5).tolist(), b"batch_label": b"one"}
        (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
    train, test = pictures.load(str(tmp_path), 32)
    assert (len(train.levels), len(test.levels)) == (10, 5)
    assert np.array_equal(test.levels.reshape(5, -1), levels)
    assert test.kinds.tolist() == batch[b"labels"]
    (tmp_path / "test_batch").write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR." % str(tmp_path / "ran").encode())
    with pytest.raises(InputError, match=r"^test_batch: is no batch of CIFAR-10 \(names posix\.system\)"):
        pictures.load(str(tmp_path), 32)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": levels[:3], b"labels": [1, 2]}))
    with pytest.raises(InputError, match="3 pictures, 2 classes"):
        pictures.load(str(tmp_path), 32)


def test_bad_pictures_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"broken/{name}.png").write_bytes(b"\x89PNG rubbish")
    (tmp_path / "no.tar").write_bytes(b"rubbish" * 100)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/data_batch_1.bin").write_bytes(bytes(3000))
    for path, message in (
        ("nowhere", "no such folder or archive"), ("empty", "holds no pictures"), ("broken", "png: is no picture"),
        ("no.tar", "is no folder and no whole tar"), ("cut", "are no records of 3,073"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            pictures.load(str(tmp_path / path), 32)


def test_a_download_with_another_checksum_is_not_kept(tmp_path):
    (tmp_path / "cifar.tar.gz").write_bytes(b"something else")
    url = (tmp_path / "cifar.tar.gz").as_uri()
    with pytest.raises(InputError, match="is not what it should be"):
        pictures._downloaded(tmp_path / "downloads", url, "0" * 32)
    assert not list((tmp_path / "downloads").iterdir())
    import hashlib

    md5 = hashlib.md5(b"something else").hexdigest()
    assert pictures._downloaded(tmp_path / "downloads", url, md5).read_bytes() == b"something else"
