"""Runs of format 1: keys and tensors get their names of format 2, and nothing else changes."""

import numpy as np
import pytest
import torch
import yaml

import vqspeech
from vqspeech import InputError, config
from vqspeech.models import checkpoint, exporting, format_1
from vqspeech.models.vqvae import VQVAE

OLD_NAMES = {
    "quantizer.codebooks.0.embedding_sum": "quantiser.sums",
    "quantizer.codebooks.0.cluster_size": "quantiser.counts",
    "quantizer.codebooks.0.": "quantiser.",
    "acoustic_model.to_conditioning.": "outline.told.",
    "acoustic_model.speaker_mean.": "outline.usual.",
    "acoustic_model.residual.": "outline.foreseen.",
    "acoustic_model.": "outline.",
    "adaptations": "manners",
}
"""What tensors of format 2 begin with, and what they began with in format 1."""


def leaves(tree: dict, path: str = "") -> dict:
    paths = {}
    for key, value in tree.items():
        paths |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return paths


def nested(rows: dict) -> dict:
    tree: dict = {}
    for path, value in rows.items():
        *folders, last = path.split(".")
        below = tree
        for folder in folders:
            below = below.setdefault(folder, {})
        below[last] = value
    return tree


def downgraded_config(tree: dict) -> dict:
    """The inverse of `upgrade_config`."""
    old_stages = {"joint": "all", "acoustic": "sketch"}
    downgraded = {}
    for section, values in tree.items():
        old_keys = {new: old for old, new in format_1.KEYS[section].items()}
        rows = {old_keys.get(key, key): value for key, value in leaves(values).items()}
        if "learns" in rows:
            rows["learns"] = old_stages.get(rows["learns"], rows["learns"])
        downgraded[section] = nested(rows)
    return downgraded


def old_name(name: str) -> str:
    for new, old in OLD_NAMES.items():
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


@pytest.mark.parametrize(
    "settings",
    [
        config.from_tree({"model": {"acoustic": {"channels": 8}}, "training": {"stage": "acoustic"}}, ""),
        config.PriorConfig(prior=config.Prior(codebook_size=8)),
        config.VocoderConfig(vocoder=config.Vocoder(n_mels=20)),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_a_config_of_format_1_is_the_config_of_format_2_under_other_names(settings):
    tree = yaml.safe_load(config.to_yaml(settings))
    old = downgraded_config(tree)
    assert old != tree
    assert config.from_tree(format_1.upgrade_config(old), "") == settings
    with pytest.raises(InputError):
        config.from_tree(old, "")


def test_every_new_name_is_a_key_of_the_config():
    schemas = {"model": config.Model, "prior": config.Prior, "vocoder": config.Vocoder, "training": config.Training}
    for section, names in format_1.KEYS.items():
        keys = leaves(schemas[section]().model_dump())
        assert set(names.values()) <= set(keys), section
        assert len(set(names.values())) == len(names), f"two old keys of {section} have one new name"


@pytest.mark.parametrize("tiny", [{"channels": 8}], indirect=True)
def test_a_run_of_format_1_is_refused_with_the_cure_and_says_the_same_after_it(tiny, tmp_path, speech):
    torch.manual_seed(0)
    net = VQVAE.from_config(tiny.model, 2)
    net.adaptations = torch.randn(2, *net.speaker_shapes[1]) / 10
    checkpoint.init_run_dir(tmp_path / "new", tiny, ["alice", "bob"])
    checkpoint.save(tmp_path / "new", net)
    old = tmp_path / "old"
    old.mkdir()
    tree = yaml.safe_load((tmp_path / "new/config.yaml").read_text())
    (old / "config.yaml").write_text(yaml.safe_dump(downgraded_config(tree)))
    (old / "speakers.txt").write_bytes((tmp_path / "new/speakers.txt").read_bytes())
    tensors = {old_name(name): tensor for name, tensor in net.state_dict().items()}
    assert {"quantiser.codebook", "quantiser.sums", "outline.told.weight", "outline.first.bias", "manners"} <= set(
        tensors
    )
    signed = {"format": "1", **checkpoint._digests(old, tensors)}
    checkpoint.write_tensors(old / "model.safetensors", tensors, signed)
    with pytest.raises(InputError, match=r"format '1', this version reads '2'; say `vqspeech export .*old --out NEW`"):
        vqspeech.load(old)
    exporting.export(old, tmp_path / "exported")
    expected, exported = vqspeech.load(tmp_path / "new"), vqspeech.load(tmp_path / "exported")
    codes = expected.encode(speech(0.2))
    assert np.array_equal(exported.encode(speech(0.2)), codes)
    assert np.array_equal(exported.decode(codes, "bob"), expected.decode(codes, "bob"))
