"""Map between codes and phones, from the results of `vqspeech probe`."""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vqspeech.data import phones
from vqspeech.models import hub


class CodePhoneMap:
    """Map from phones to codes and back; empty where a model was not probed.

    Args:
        folder: of the model, with its probe.json.
        codes: in its codebook.
    """

    def __init__(self, folder: Path, codes: int) -> None:
        self._phone_of_code: list[str] = []
        self._counts = np.zeros((codes, len(phones.PHONES)), np.int64)
        try:
            results = json.loads((folder / hub.PROBE).read_text(encoding="utf-8"))
            phone_of_code, counts = results["phone_of_code"], np.array(results["codes_by_phone"], np.int64)
        except (OSError, ValueError, TypeError, KeyError):
            return
        if len(phone_of_code) == len(counts) <= codes and counts.shape[1:] == self._counts.shape[1:]:
            self._phone_of_code = [
                *phone_of_code,
                *[""] * (codes - len(phone_of_code)),
            ]  # a probe ends with the last code that it heard
            self._counts[: len(counts)] = counts

    def phones(self) -> dict[str, list[int]]:
        """The codes of each phone, the most frequent first."""
        totals = self._counts.sum(axis=1)
        codes_of_phone: dict[str, list[int]] = {}
        for code in np.argsort(-totals, kind="stable"):
            if self._phone_of_code and totals[code]:
                codes_of_phone.setdefault(self._phone_of_code[code], []).append(int(code))
        return dict(sorted(codes_of_phone.items()))

    def shares(self, code: int) -> list[tuple[str, float]]:
        """P(phone | code), the most frequent first."""
        counts = self._counts[code]
        order = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
        return [(phones.PHONES[index], float(counts[index] / counts.sum())) for index in order]


def rank_by_first_component(codebook: torch.Tensor) -> NDArray[np.floating]:
    """Rank of each code along the first principal component of the codebook, 0 to 1.

    >>> rank_by_first_component(torch.tensor([[0.0, 1.0], [9.0, 1.0], [8.0, 1.0]])).round(1).tolist() in (
    ...     [0.0, 1.0, 0.5], [1.0, 0.0, 0.5])
    True
    """
    centred = (codebook - codebook.mean(0)).detach().double()
    along = centred @ torch.linalg.svd(centred, full_matrices=False)[2][0]
    return (along.argsort().argsort().double() / max(1, len(codebook) - 1)).numpy()
