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
    assert (model.hop, model.quantiser.codes, model.quantiser.beta) == (hop, codes, 0.25)


def test_an_override_replaces_one_value(tmp_path):
    (tmp_path / "a.yaml").write_text("training: {batch: 3}\n")
    loaded = config.load(tmp_path / "a.yaml", ["training.batch=8", "model.encoder.strides=[2,2]", "training.crop=8"])
    assert loaded.training.batch == 8
    assert loaded.model.hop == 4


@pytest.mark.parametrize(
    ("text", "overrides", "told"),
    [
        ("training: {bacth: 3}", [], r"unknown key training\.bacth; did you mean 'batch'\?"),
        ("modle: {}", [], r"unknown key modle; did you mean 'model'\?"),
        ("model: {quantiser: {cods: 3}}", [], r"unknown key model\.quantiser\.cods; did you mean 'codes'\?"),
        ("", ["training.batch"], "has no '='"),
        ("", ["training.batch=0"], r"training\.batch = 0: .*greater than or equal to 1"),
        ("", ["training.batch=many"], r"training\.batch = 'many'"),
        ("", ["training.crop=100"], "no multiple of the hop 64"),
        ("", ["training.batch.size=1"], r"training\.batch"),
        ("", ["training.batch=[1"], "is no YAML"),
        ("- a list", [], "holds no sections"),
        ("a: [", [], "cannot be read as YAML"),
    ],
)
def test_a_fault_is_one_line_with_the_cure(tmp_path, text, overrides, told):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=told) as caught:
        config.load(tmp_path / "a.yaml", overrides)
    assert "\n" not in str(caught.value)


def test_a_missing_config_is_told():
    with pytest.raises(InputError, match=r"none\.yaml"):
        config.load("none.yaml")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model.encoder.pitch=true"], "cepstra, relative_s, pitch, warp, colour need spectra; set model.encoder.mels"),
        (["model.warp=0.1"], "need spectra"),
        (
            ["model.encoder.mels=20", "model.encoder.strides=[2]", "model.encoder.cepstra=30"],
            "cepstra 30 is more than there are mels, 20",
        ),
        (
            ["model.encoder.mels=20", "model.encoder.strides=[2]", "model.encoder.pitch=true"],
            "heard above its mean; set model.encoder.relative_s",
        ),
        (["model.encoder.mels=20", "model.colour=0.1", "training.crop=61440"], "need crops of 71680 samples or more"),
        (["training.spoken=100"], "training.spoken 100 is no multiple of the hop 64 up to the crop 5120"),
        (["training.spoken=6400"], "training.spoken 6400 is no multiple of the hop 64 up to the crop 5120"),
        (["training.learns=sketch"], "a sketch needs an outline to learn; set model.decoder.outline"),
    ],
)
def test_what_does_not_go_together_is_told_with_its_cure(tmp_path, overrides, told):
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(InputError, match=re.escape(told)):
        config.load(tmp_path / "config.yaml", overrides)
