"""VQ-VAE: a decoder segment costs what it costs within the whole, and may be short."""

import pytest
import torch

from vqspeech.data import archives, batches
from vqspeech.models.vqvae import VQVAE


def test_a_part_that_is_spoken_costs_what_it_costs_within_the_whole(tiny, packed):
    torch.manual_seed(0)
    model = VQVAE.from_config(tiny.model, 3).eval()
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 512, 16, 3, spoken=128)
    batch = batches.collate([crops[number] for number in range(6)])
    assert batch.past.shape == (6, 128)
    assert len(set(batch.starts.tolist())) > 1
    latents, speakers = model.quantizer.decode(model.encode(batch.classes)), model.speaker(batch.speakers)
    cond = model.condition(latents, batch.speakers)
    for index, start in enumerate(batch.starts.tolist()):
        segment = slice(start * 16, start * 16 + 128)
        assert torch.equal(batch.past[index], batch.classes[index, segment])
        logits = model.wavenet(batch.past[index : index + 1], cond[index : index + 1, :, start : start + 8])
        expected = torch.nn.functional.cross_entropy(logits, batch.classes[index : index + 1, segment].long())
        part = (x[index : index + 1] for x in (batch.classes, batch.past, batch.starts, latents, speakers))
        assert float(model.nats(*part)[0].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_segments_of_a_few_codes_are_enough_where_no_features_are_perturbed(tiny, packed):
    torch.manual_seed(0)
    model = VQVAE.from_config(tiny.model, 3).train()
    crops = batches.Crops([archives.MulawShards(packed)], ["s0", "s1", "s2"], 64, 16, 3)
    loss = model.loss(batches.collate([crops[number] for number in range(6)]))
    assert torch.isfinite(loss.total)
