#!/usr/bin/env python
"""The paper's sections 4.1 and 4.2 on pictures; each command begins from nothing and ends in a table.

run.py compare                        VAE, VQ-VAE and VIMCO on patches of photographs, some minutes of two cores
run.py compare --data cifar10 --units 256 --minutes 60 --seeds 3
run.py compress --size 128            a picture in 32x32 codes, what comes back, and samples of a PixelCNN over codes
run.py compress --size 84             in 21x21 codes, and these in three more of a second VQ-VAE
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

sys.path.insert(0, str(Path(__file__).parent))
from learning import Drawn, DrawnCodes, batch_of, codes_of, train
from likelihood import bits_per_dimension
from networks import VAE, VIMCO, VQVAE, Batch, Sizes
from pages import compared, compressed
from pictures import Pictures, load, save
from priors import CodeBatch, Prior, Second

from vqspeech import InputError
from vqspeech.evaluation.metrics import bootstrap_interval

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
PAPER = {"VAE": 4.51, "VQ-VAE": 4.67, "VIMCO": 5.14}
TEST_BATCH = 50
SETTINGS = "{units} units, batches of {batch}, {minutes:g} minutes a model."
HELD_OUT, SHOWN = 200, 8
"""Pictures that are measured while it learns, and that are shown."""


@torch.inference_mode()
def measure(model: Any, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """Bits per dimension of each picture, and those of them that the latents cost."""
    bits, cost = [], []
    for start in range(0, len(pictures.levels), TEST_BATCH):
        levels = torch.from_numpy(pictures.levels[start : start + TEST_BATCH])
        for values, nats in zip((bits, cost), model.nats(Batch(levels, start)), strict=True):
            values.append(bits_per_dimension(nats, levels[0].numel()).numpy())
    return np.concatenate(bits), np.concatenate(cost)


def train_on_pictures(
    model: Any, parts: tuple[Pictures, Pictures], out: Path, seed: int, minutes: float, batch: int, **settings: Any
) -> Any:
    """The same as `train`, on pictures."""
    subset = parts[1]._replace(levels=parts[1].levels[_spread(len(parts[1].levels), HELD_OUT)])
    evaluate = lambda learner: {"held_out_bits_per_dim": float(measure(learner, subset)[0].mean())}  # noqa: E731
    return train(
        model,
        Drawn(parts[0], seed),
        batch_of,
        evaluate,
        out,
        seed=seed,
        max_minutes=minutes,
        batch_size=batch,
        **settings,
    )


@app.command()
def compare(
    data: Annotated[str, typer.Option(help="patches, cifar10, or a folder or tar of pictures.")] = "patches",
    units: Annotated[int, typer.Option(help="Of every layer; the paper's 256.")] = 64,
    batch: Annotated[int, typer.Option(help="The paper's 128.")] = 32,
    samples: Annotated[int, typer.Option(help="Of VIMCO; the paper's 50.")] = 10,
    minutes: Annotated[float, typer.Option(help="For each model.")] = 1.5,
    seeds: Annotated[int, typer.Option(min=1, help="How often each is trained.")] = 1,
    out: Annotated[Path, typer.Option(help="Where runs and the table go.")] = Path("exp/image/compare"),
) -> None:
    """Section 4.1: continuous against discrete latents, at 32x32 through 8x8."""
    train_, test = load(data, 32)
    sizes, results = Sizes(units), {}
    examples = torch.from_numpy(test.levels[_spread(len(test.levels), SHOWN)])
    pictures, counts = [examples], {}
    makers = {"VAE": lambda: VAE(sizes), "VQ-VAE": lambda: VQVAE(sizes), "VIMCO": lambda: VIMCO(sizes, samples)}
    for name, make in makers.items():
        measured = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            size = max(1, batch // samples) if name == "VIMCO" else batch
            model = train_on_pictures(make(), (train_, test), out / f"{name.lower()}-{seed}", seed, minutes, size)
            measured.append(measure(model, test))
            if seed == 0:
                with torch.inference_mode():
                    pictures.append(model.reconstruct(examples))
                if name != "VAE":
                    counts[name] = torch.bincount(_encoded(model, test).flatten(), minlength=sizes.codes)
        bits, cost = (np.stack(column) for column in zip(*measured, strict=True))
        low, high = bootstrap_interval(mean_bits := bits.mean(axis=0), np.ones(len(mean_bits)))
        results[name] = {"bits": bits.mean(), "low": low, "high": high, "latents": cost.mean()}
        results[name] |= {"seeds": bits.mean(axis=1).tolist(), "paper": PAPER[name]}
    (out / "table.json").write_text(json.dumps({"data": data, "rows": results}, indent=1, default=float) + "\n")
    save(torch.cat(pictures).numpy(), SHOWN, out / "reconstructions.png")
    compared(out, data, SETTINGS.format(units=units, batch=batch, minutes=minutes), results, counts)


@app.command()
def compress(
    data: Annotated[str, typer.Option(help="patches, cifar10, or a folder or tar of pictures.")] = "patches",
    size: Annotated[int, typer.Option(help="128 becomes 32x32 codes, 84 becomes 21x21.")] = 128,
    units: Annotated[int, typer.Option(help="Of every layer.")] = 64,
    batch: Annotated[int, typer.Option(help="Pictures in a step.")] = 8,
    minutes: Annotated[float, typer.Option(help="For each of the three models.")] = 3.0,
    samples: Annotated[int, typer.Option(help="Pictures that are made up.")] = 8,
    out: Annotated[Path, typer.Option(help="Where runs and pictures go.")] = Path("exp/image/compress"),
) -> None:
    """Section 4.2: pictures as codes, samples of a prior over them, and a second VQ-VAE on top."""
    train_, test = load(data, size)
    torch.manual_seed(0)
    fast = {"learning_rate": 1e-3, "muon_lr_ratio": 5.0}  # minutes, where the paper has days
    model = train_on_pictures(VQVAE(Sizes(units)), (train_, test), out / "vqvae", 0, minutes, batch, **fast)
    train_codes, test_codes = _encoded(model, train_), _encoded(model, test)
    counts = torch.bincount(test_codes.flatten(), minlength=model.codes)
    fewer = size * size * 3 * 8 / (test_codes[0].numel() * 9)
    shown_at, held_out = _spread(len(test_codes), SHOWN), _spread(len(test_codes), HELD_OUT)
    shown = torch.from_numpy(test.levels[shown_at])
    save(torch.cat([shown, model.decode(test_codes[shown_at])]).numpy(), SHOWN, out / "reconstructions.png")
    off = float((model.decode(test_codes[shown_at]).float() - shown.float()).abs().mean())

    def evaluate(learner: Any) -> dict[str, float]:
        with torch.inference_mode():
            kinds = torch.from_numpy(test.kinds[held_out]) if len(test.kinds) else None
            parts = learner.loss(CodeBatch(test_codes[held_out], kinds)).parts
            return {"held_out_bits_per_code": float(parts["bits_per_code"])}

    uniforms = torch.from_numpy(np.random.default_rng(0).random((samples, *test_codes.shape[1:]), dtype=np.float32))
    prior = Prior(model.codes, units, 8, len(train_.names))
    drawn = DrawnCodes(train_codes, train_.kinds, 0)
    schedule = {"max_minutes": minutes, "batch_size": batch, **fast}
    prior = train(prior, drawn, codes_of, evaluate, out / "prior", **schedule)
    kinds = torch.arange(samples) % len(train_.names) if train_.names else None
    sampled = model.decode(prior.net.generate(uniforms, kinds))
    save(torch.cat([sampled, _nearest(sampled, train_)]).numpy(), samples, out / "samples.png")

    second = Second(model.codes, test_codes.shape[1], units, 32, units, 6)
    second = train(
        second, drawn, codes_of, evaluate, out / "second", **schedule | {"batch_size": 4 * batch, "muon_lr_ratio": 0.0}
    )
    with torch.inference_mode():
        chosen = second.encode(test_codes)
        latents, exchanged = chosen[shown_at][:samples], chosen[shown_at].roll(1, dims=0)[:samples]
        rows = [second.decode(latents, uniforms[: len(latents)])]
        for index in range(Second.LATENTS):  # the same pictures, one latent each taken from another
            mixed = latents.clone()
            mixed[:, index] = exchanged[:, index]
            rows.append(second.decode(mixed, uniforms[: len(latents)]))
    save(torch.cat([shown[: len(latents)], *map(model.decode, rows)]).numpy(), len(latents), out / "second.png")
    bits = {"all alike": 9.0, "as often as each comes": _unigram(train_codes, test_codes, model.codes)}
    bits |= {
        name: evaluate(learner)["held_out_bits_per_code"]
        for name, learner in (("a PixelCNN", prior), ("told 27 bits", second))
    }
    compressed(
        out, data, SETTINGS.format(units=units, batch=batch, minutes=minutes),
        f"{size}x{size}x3 to {test_codes.shape[1]}x{test_codes.shape[2]}: {fewer:.1f} times fewer bits, "
        f"{off:.1f} of 255 levels off.",
        [(f"{fewer:.1f} times", "fewer bits"), (f"{off:.1f} levels", "off, of 255")], bits,
        [float((row != rows[0]).float().mean()) for row in rows[1:]],
        {"VQ-VAE": counts, "second VQ-VAE": torch.bincount(chosen.flatten(), minlength=model.codes)},
        [train_.names[int(kind)] for kind in kinds] if kinds is not None else [],
    )  # fmt: skip


def _spread(size: int, number: int) -> np.ndarray:
    """Places all over a set, so many at most."""
    return np.arange(0, size, -(-size // number))


def _unigram(train_codes: torch.Tensor, test_codes: torch.Tensor, codes: int) -> float:
    """Bits a code, if each comes as often as it did in training."""
    counts = torch.bincount(train_codes.flatten(), minlength=codes) + 1.0
    return float(-(counts / counts.sum()).log2()[test_codes].mean())


def _encoded(model: VQVAE | VIMCO, pictures: Pictures) -> torch.Tensor:
    with torch.inference_mode():
        parts = np.array_split(pictures.levels, max(1, len(pictures.levels) // TEST_BATCH))
        return torch.cat([model.encode(torch.from_numpy(part)) for part in parts])


def _nearest(samples: torch.Tensor, pictures: Pictures) -> torch.Tensor:
    """The training picture nearest to each, by squared difference: has it been learned by heart?"""
    train_levels = torch.from_numpy(pictures.levels).float().flatten(1)
    nearest = torch.cdist(samples.float().flatten(1), train_levels).argmin(dim=1)
    return torch.from_numpy(pictures.levels[nearest.numpy()])


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        sys.exit(f"run.py: {error}")
