import re
from pathlib import Path

import pytest

from vqspeech import InputError, config

CONFIGS = sorted((Path(__file__).parent.parent / "egs/vctk/conf").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_recipe_is_valid_and_survives_writing(path, tmp_path):
    first = config.load(path)
    (tmp_path / "again.yaml").write_text(config.to_yaml(first))
    assert config.load(tmp_path / "again.yaml") == first


@pytest.mark.parametrize(
    ("name", "hop", "codes"), [("vctk64", 64, 512), ("vctk640", 640, 128), ("librispeech128", 128, 512)]
)
def test_the_paper_s_models_have_its_hop_and_its_codebook(name, hop, codes):
    model = config.load(CONFIGS[0].with_name(f"{name}.yaml")).model
    assert (model.hop, model.quantizer.codebook_size, model.quantizer.commitment_weight) == (hop, codes, 0.25)


def test_an_override_replaces_one_value(tmp_path):
    (tmp_path / "a.yaml").write_text("training: {batch_size: 3}\n")
    overrides = ["training.batch_size=8", "model.encoder.strides=[2,2]", "training.segment_length=8"]
    loaded = config.load(tmp_path / "a.yaml", overrides)
    assert loaded.training.batch_size == 8
    assert loaded.model.hop == 4


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("training: {bacth_size: 3}", [], r"unknown key training\.bacth_size; did you mean 'batch_size'\?"),
        ("modle: {}", [], r"unknown key modle; did you mean 'model'\?"),
        ("model: {quantizer: {codebok: 3}}", [], r"unknown key model\.quantizer\.codebok; did you mean 'codebooks'\?"),
        ("", ["training.batch_size"], "has no '='"),
        ("", ["training.batch_size=0"], r"training\.batch_size = 0: .*greater than or equal to 1"),
        ("", ["training.batch_size=many"], r"training\.batch_size = 'many'"),
        ("", ["training.segment_length=100"], "not a multiple of the hop 64"),
        ("", ["training.batch_size.size=1"], r"training\.batch"),
        ("", ["training.batch_size=[1"], "is not YAML"),
        ("- a list", [], "has no sections"),
        ("a: [", [], "cannot be read as YAML"),
    ],
)
def test_a_fault_is_one_line_with_the_cure(tmp_path, text, overrides, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        config.load(tmp_path / "a.yaml", overrides)
    assert "\n" not in str(caught.value)


def test_a_missing_config_is_told():
    with pytest.raises(InputError, match=r"none\.yaml"):
        config.load("none.yaml")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model.features.use_f0=true"],
            "cepstral_noise, noise, lookahead need mel spectra; set model.features.n_mels",
        ),
        (["model.augment.vtlp=0.1"], "need mel spectra"),
        (
            ["model.features.n_mels=20", "model.encoder.strides=[2]", "model.features.n_mfcc=30"],
            "n_mfcc 30 is more than n_mels, 20",
        ),
        (
            ["model.features.n_mels=20", "model.encoder.strides=[2]", "model.features.use_f0=true"],
            "needs the mean of F0; set model.features.cmn_window_s",
        ),
        (
            ["model.features.n_mels=20", "model.augment.cepstral_noise=0.1", "training.segment_length=61440"],
            "needs segments of 163840 samples or more",
        ),
        (
            ["training.decoder_segment_length=100"],
            "decoder_segment_length 100 is not a multiple of the hop 64 up to",
        ),
        (["training.decoder_segment_length=6400"], "decoder_segment_length 6400 is not a multiple of the hop 64 up to"),
        (["training.stage=acoustic"], "the acoustic stage needs an acoustic model; set model.acoustic.channels"),
    ],
)
def test_what_does_not_go_together_is_told_with_its_cure(tmp_path, overrides, message):
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(InputError, match=re.escape(message)):
        config.load(tmp_path / "config.yaml", overrides)
