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
        for found, nats in zip((bits, cost), model.nats(Batch(levels, start)), strict=True):
            found.append(bits_per_dimension(nats, levels[0].numel()).numpy())
    return np.concatenate(bits), np.concatenate(cost)


def train_on_pictures(
    model: Any, parts: tuple[Pictures, Pictures], out: Path, seed: int, minutes: float, batch: int, **settings: Any
) -> Any:
    """The same as `train`, on pictures."""
    few = parts[1]._replace(levels=parts[1].levels[_spread(len(parts[1].levels), HELD_OUT)])
    held = lambda learner: {"held_out_bits_per_dim": float(measure(learner, few)[0].mean())}  # noqa: E731
    return train(
        model, Drawn(parts[0], seed), batch_of, held, out, seed=seed, max_minutes=minutes, batch_size=batch, **settings
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
    sizes, found = Sizes(units), {}
    shown = torch.from_numpy(test.levels[_spread(len(test.levels), SHOWN)])
    pictures, counts = [shown], {}
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
                    pictures.append(model.reconstruct(shown))
                if name != "VAE":
                    counts[name] = torch.bincount(_encoded(model, test).flatten(), minlength=sizes.codes)
        bits, cost = (np.stack(column) for column in zip(*measured, strict=True))
        low, high = bootstrap_interval(each := bits.mean(axis=0), np.ones(len(each)))
        found[name] = {"bits": bits.mean(), "low": low, "high": high, "latents": cost.mean()}
        found[name] |= {"seeds": bits.mean(axis=1).tolist(), "paper": PAPER[name]}
    (out / "table.json").write_text(json.dumps({"data": data, "rows": found}, indent=1, default=float) + "\n")
    save(torch.cat(pictures).numpy(), SHOWN, out / "reconstructions.png")
    compared(out, data, SETTINGS.format(units=units, batch=batch, minutes=minutes), found, counts)


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
    known, new = _encoded(model, train_), _encoded(model, test)
    counts = torch.bincount(new.flatten(), minlength=model.codes)
    fewer = size * size * 3 * 8 / (new[0].numel() * 9)
    some, few = _spread(len(new), SHOWN), _spread(len(new), HELD_OUT)
    shown = torch.from_numpy(test.levels[some])
    save(torch.cat([shown, model.decode(new[some])]).numpy(), SHOWN, out / "reconstructions.png")
    off = float((model.decode(new[some]).float() - shown.float()).abs().mean())

    def held(learner: Any) -> dict[str, float]:
        with torch.inference_mode():
            kinds = torch.from_numpy(test.kinds[few]) if len(test.kinds) else None
            return {"held_out_bits_per_code": float(learner.loss(CodeBatch(new[few], kinds)).parts["bits_per_code"])}

    uniforms = torch.from_numpy(np.random.default_rng(0).random((samples, *new.shape[1:]), dtype=np.float32))
    prior = Prior(model.codes, units, 8, len(train_.names))
    drawn = DrawnCodes(known, train_.kinds, 0)
    schedule = {"max_minutes": minutes, "batch_size": batch, **fast}
    prior = train(prior, drawn, codes_of, held, out / "prior", **schedule)
    kinds = torch.arange(samples) % len(train_.names) if train_.names else None
    made = model.decode(prior.net.generate(uniforms, kinds))
    save(torch.cat([made, _nearest(made, train_)]).numpy(), samples, out / "samples.png")

    second = Second(model.codes, new.shape[1], units, 32, units, 6)
    second = train(
        second, drawn, codes_of, held, out / "second", **schedule | {"batch_size": 4 * batch, "muon_lr_ratio": 0.0}
    )
    with torch.inference_mode():
        chosen = second.encode(new)
        own, others = chosen[some][:samples], chosen[some].roll(1, dims=0)[:samples]
        rows = [second.decode(own, uniforms[: len(own)])]
        for place in range(Second.LATENTS):  # the same pictures, one latent each taken from another
            other = own.clone()
            other[:, place] = others[:, place]
            rows.append(second.decode(other, uniforms[: len(own)]))
    save(torch.cat([shown[: len(own)], *map(model.decode, rows)]).numpy(), len(own), out / "second.png")
    bits = {"all alike": 9.0, "as often as each comes": _unigram(known, new, model.codes)}
    bits |= {
        name: held(one)["held_out_bits_per_code"] for name, one in (("a PixelCNN", prior), ("told 27 bits", second))
    }
    compressed(
        out, data, SETTINGS.format(units=units, batch=batch, minutes=minutes),
        f"{size}x{size}x3 to {new.shape[1]}x{new.shape[2]}: {fewer:.1f} times fewer bits, {off:.1f} of 255 levels off.",
        [(f"{fewer:.1f} times", "fewer bits"), (f"{off:.1f} levels", "off, of 255")], bits,
        [float((row != rows[0]).float().mean()) for row in rows[1:]],
        {"VQ-VAE": counts, "second VQ-VAE": torch.bincount(chosen.flatten(), minlength=model.codes)},
        [train_.names[int(kind)] for kind in kinds] if kinds is not None else [],
    )  # fmt: skip


def _spread(size: int, number: int) -> np.ndarray:
    """Places all over a set, so many at most."""
    return np.arange(0, size, -(-size // number))


def _unigram(known: torch.Tensor, new: torch.Tensor, codes: int) -> float:
    """Bits a code, if each comes as often as it did in training."""
    counts = torch.bincount(known.flatten(), minlength=codes) + 1.0
    return float(-(counts / counts.sum()).log2()[new].mean())


def _encoded(model: VQVAE | VIMCO, pictures: Pictures) -> torch.Tensor:
    with torch.inference_mode():
        parts = np.array_split(pictures.levels, max(1, len(pictures.levels) // TEST_BATCH))
        return torch.cat([model.encode(torch.from_numpy(part)) for part in parts])


def _nearest(made: torch.Tensor, pictures: Pictures) -> torch.Tensor:
    """The training picture nearest to each, by squared difference: has it been learned by heart?"""
    known = torch.from_numpy(pictures.levels).float().flatten(1)
    near = torch.cdist(made.float().flatten(1), known).argmin(dim=1)
    return torch.from_numpy(pictures.levels[near.numpy()])


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        sys.exit(f"run.py: {error}")
