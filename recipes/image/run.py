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
from pictures import Pictures, load, save
from priors import CodeBatch, Prior, Second

from vqspeech import InputError
from vqspeech.nn.quantiser import usage

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
PAPER = {"VAE": 4.51, "VQ-VAE": 4.67, "VIMCO": 5.14}
TEST_BATCH = 50


@torch.inference_mode()
def measure(model: Any, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """Bits per dimension of each picture, and those of them that the latents cost."""
    bits, cost = [], []
    for start in range(0, len(pictures.levels), TEST_BATCH):
        levels = torch.from_numpy(pictures.levels[start : start + TEST_BATCH])
        for found, nats in zip((bits, cost), model.nats(Batch(levels, start)), strict=True):
            found.append(bits_per_dimension(nats, levels[0].numel()).numpy())
    return np.concatenate(bits), np.concatenate(cost)


def train_on_pictures(
    model: Any, parts: tuple[Pictures, Pictures], out: Path, seed: int, minutes: float, batch: int
) -> Any:
    """The same on pictures."""
    few = parts[1]._replace(levels=parts[1].levels[:200])
    held = lambda learner: {"held_out_bits_per_dim": float(measure(learner, few)[0].mean())}  # noqa: E731
    return train(model, Drawn(parts[0], seed), batch_of, held, out, seed=seed, max_minutes=minutes, batch=batch)


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
    sizes, rows = Sizes(units), []
    makers = {"VAE": lambda: VAE(sizes), "VQ-VAE": lambda: VQVAE(sizes), "VIMCO": lambda: VIMCO(sizes, samples)}
    for name, make in makers.items():
        found = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            size = max(1, batch // samples) if name == "VIMCO" else batch
            model = train_on_pictures(make(), (train_, test), out / f"{name.lower()}-{seed}", seed, minutes, size)
            found.append(measure(model, test))
        bits, cost = (np.stack(column) for column in zip(*found, strict=True))
        low, high = _interval(bits.mean(axis=0))
        rows.append({"model": name, "bits": bits.mean(), "low": low, "high": high, "latents": cost.mean()})
        rows[-1] |= {"seeds": bits.mean(axis=1).tolist(), "paper": PAPER[name]}
    (out / "table.json").write_text(json.dumps({"data": data, "rows": rows}, indent=1, default=float) + "\n")
    print("| model | bits per dimension | 95 % over pictures | each seed | of these, latents | paper, CIFAR-10 |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        each = ", ".join(f"{one:.3f}" for one in row["seeds"])
        latents = f"{row['latents']:.3f}" if row["latents"] else "within"
        print(f"| {row['model']} | {row['bits']:.3f} | {row['low']:.3f} to {row['high']:.3f} | {each} ", end="")
        print(f"| {latents} | {row['paper']} |")


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
    model = train_on_pictures(VQVAE(Sizes(units)), (train_, test), out / "vqvae", 0, minutes, batch)
    known, new = _encoded(model, train_), _encoded(model, test)
    used, perplexity = usage(torch.bincount(new.flatten(), minlength=512))
    kept = size * size * 3 * 8 / (new[0].numel() * 9)
    print(f"{size}x{size}x3 to {new.shape[1]}x{new.shape[2]}: {kept:.1f} times fewer bits; ", end="")
    print(f"{used} of 512 codes in use on test, perplexity {perplexity:.0f}")
    shown = torch.from_numpy(test.levels[:8])
    save(torch.cat([shown, model.decode(new[:8])]).numpy(), 8, out / "reconstructions.png")

    def held(learner: Any) -> dict[str, float]:
        with torch.inference_mode():
            kinds = torch.from_numpy(test.kinds[:64]) if len(test.kinds) else None
            return {"held_out_bits_per_code": float(learner.loss(CodeBatch(new[:64], kinds)).parts["bits_per_code"])}

    uniforms = torch.from_numpy(np.random.default_rng(0).random((samples, *new.shape[1:]), dtype=np.float32))
    prior = Prior(512, units, 8, len(train_.names))
    drawn = DrawnCodes(known, train_.kinds, 0)
    schedule = {"max_minutes": minutes, "batch": batch, "learning_rate": 1e-3}
    prior = train(prior, drawn, codes_of, held, out / "prior", **schedule)
    kinds = torch.arange(samples) % len(train_.names) if train_.names else None
    made = model.decode(prior.net.generate(uniforms, kinds))
    save(torch.cat([made, _nearest(made, train_)]).numpy(), samples, out / "samples.png")
    print(f"prior: {held(prior)['held_out_bits_per_code']:.2f} bits a code, 9 if all are alike")

    second = Second(512, new.shape[1], units, 32, units, 6)
    second = train(second, drawn, codes_of, held, out / "second", **schedule)
    with torch.inference_mode():
        chosen = second.encode(new)
        used, perplexity = usage(torch.bincount(chosen.flatten(), minlength=512))
        rows = [second.decode(chosen[:samples], uniforms)]
        for place in range(Second.LATENTS):  # the same pictures, one latent each taken from another
            other = chosen[:samples].clone()
            other[:, place] = chosen[samples : 2 * samples, place]
            rows.append(second.decode(other, uniforms))
    pictures = torch.cat([torch.from_numpy(test.levels[:samples]), *map(model.decode, rows)])
    save(pictures.numpy(), samples, out / "second.png")
    moved = [float((row != rows[0]).float().mean()) for row in rows[1:]]
    print(f"second: {held(second)['held_out_bits_per_code']:.2f} bits a code, told {Second.LATENTS} latents; ", end="")
    print(f"{used} of 512 in use, perplexity {perplexity:.0f}; another latent changes ", end="")
    print(", ".join(f"{100 * share:.0f} %" for share in moved) + " of the codes")


def _encoded(model: VQVAE, pictures: Pictures) -> torch.Tensor:
    with torch.inference_mode():
        parts = np.array_split(pictures.levels, max(1, len(pictures.levels) // TEST_BATCH))
        return torch.cat([model.encode(torch.from_numpy(part)) for part in parts])


def _nearest(made: torch.Tensor, pictures: Pictures) -> torch.Tensor:
    """The training picture nearest to each, by squared difference: has it been learned by heart?"""
    known = torch.from_numpy(pictures.levels).float().flatten(1)
    near = torch.cdist(made.float().flatten(1), known).argmin(dim=1)
    return torch.from_numpy(pictures.levels[near.numpy()])


def _interval(bits: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean, by a bootstrap over pictures."""
    rng = np.random.default_rng(0)
    means = bits[rng.integers(0, len(bits), (1000, len(bits)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        sys.exit(f"run.py: {error}")
