"""What the recipe of pictures found, as Markdown for the terminal and as a page, `report.html`."""

from pathlib import Path
from typing import Any

import torch

from vqspeech.evaluation import figures, report
from vqspeech.evaluation.report import Section
from vqspeech.evaluation.tables import Table, markdown
from vqspeech.nn.quantizer import codebook_usage


def compared(out: Path, data: str, settings: str, results: dict[str, Any], counts: dict[str, torch.Tensor]) -> None:
    """Of `run.py compare`: a table of bits, reconstructions.png, codes in use."""
    header = ["model", "bits per dimension", "95 % over pictures", "each seed", "of these, latents", "paper, CIFAR-10"]
    rows = []
    for name, row in results.items():
        seeds = ", ".join(f"{bits:.3f}" for bits in row["seeds"])
        latents = f"{row['latents']:.3f}" if row["latents"] else "within"
        bounds = f"{row['low']:.3f} to {row['high']:.3f}"
        rows.append([name, f"{row['bits']:.3f}", bounds, seeds, latents, f"{row['paper']}"])
    print(markdown([table := Table(header, rows)]))
    facts = [
        (f"{row['bits']:.2f} bits", f"per dimension: {name} (paper: {row['paper']})") for name, row in results.items()
    ]
    alt = "Test pictures, then what VAE, VQ-VAE and VIMCO make of them, a row each."
    pictures = [report.painted("Reconstructions", out / "reconstructions.png", alt)]
    pictures += [_usage(name, row) for name, row in counts.items()]
    sections = [Section("How likely are pictures that were never seen?", [table, settings])]
    subtitle = f"Pictures of 32x32 through 8x8 latents: {data}."
    report.page(out / "report.html", "Continuous against discrete", subtitle, facts, sections, pictures)


def compressed(
    out: Path, data: str, settings: str, summary: str, facts: list[tuple[str, str]], bits: dict[str, float],
    moved: list[float], counts: dict[str, torch.Tensor], classes: list[str],
) -> None:  # fmt: skip
    """Of `run.py compress`: bits a code by who knows how much, reconstructions.png, samples.png, second.png."""
    table = Table(["codes, held out", "bits a code"], [[name, f"{value:.2f}"] for name, value in bits.items()])
    in_use = []
    for name, histogram in counts.items():
        used, perplexity = codebook_usage(histogram)
        in_use.append(f"{name}: {used} of {len(histogram)} codes in use, perplexity {perplexity:.0f}.")
    changes = "Another latent changes " + ", ".join(f"{100 * share:.0f} %" for share in moved) + " of the codes."
    parts = [summary, table, " ".join([*in_use, changes])]
    print(markdown(parts))
    by_class = f", of the classes {', '.join(classes)}" if classes else ""
    alts = {
        "reconstructions": "Test pictures, and below each what its codes give.",
        "samples": f"Made up by the prior{by_class}; below each, the nearest of the pictures that were learned from.",
        "second": "Test pictures; what three latents give of them; then with the first, second and third of another.",
    }
    pictures = [report.painted(name.capitalize(), out / f"{name}.png", alt) for name, alt in alts.items()]
    pictures += [_usage(name, histogram) for name, histogram in counts.items()]
    sections = [Section("How likely are codes that were never seen?", [*parts[1:], settings])]
    report.page(out / "report.html", "Pictures as codes", f"{data}. {summary}", facts, sections, pictures)


def _usage(name: str, counts: torch.Tensor) -> report.Picture:
    used, perplexity = codebook_usage(counts)
    alt = f"{used} of {len(counts)} codes occur in test pictures, perplexity {perplexity:.0f}."
    return report.drawn(f"Codes in use, {name}", figures.code_histogram(counts.numpy(), "% of codes"), alt)
