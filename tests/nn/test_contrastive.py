"""Contrastive prediction: a guess costs the logarithm of the frames, and what follows from the past costs less."""

import math

import pytest
import torch

from vqspeech.nn.contrastive import STEPS, ContrastivePrediction

FRAMES, DIM = 40, 8


def test_frames_that_are_all_alike_cost_a_guess():
    loss = ContrastivePrediction(DIM, weight=0.5)(torch.ones(3, DIM, FRAMES))
    assert loss.item() == pytest.approx(0.5 * math.log(FRAMES), rel=1e-5)


def test_a_sequence_that_follows_from_its_past_is_learned_and_one_of_chance_is_not():
    torch.manual_seed(0)
    alphabet = 4 * torch.randn(FRAMES, DIM)

    def sequences(follows: bool) -> torch.Tensor:
        """Each recording goes through the alphabet from a place of its own, or jumps about in it."""
        start = torch.randint(0, FRAMES, (16, 1))
        order = (start + torch.arange(FRAMES)) % FRAMES if follows else torch.stack([torch.randperm(FRAMES)] * 16)
        return alphabet[order].transpose(1, 2)

    losses = []
    for follows in (True, False):
        prediction = ContrastivePrediction(DIM)
        adam = torch.optim.Adam(prediction.parameters(), 1e-2)
        for _ in range(60):
            loss = prediction(sequences(follows))
            adam.zero_grad()
            loss.backward()
            adam.step()
        losses.append(loss.item())
    assert losses[0] < 1.0
    assert losses[1] > 2.0
    assert STEPS > 1
