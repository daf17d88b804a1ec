"""Tables: every row has every column, and what is missing is blank."""

from vqspeech.evaluation.tables import Table, evaluated, markdown, probed


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_systems_are_columns_measures_rows_with_their_units_and_a_missing_value_is_blank():
    summary = {
        "recording": {"mcd": (0.0, 0.0, 0.0), "level": (1.005, -1.0, 2.0)},
        "vqspeech": {"mcd": (5.125, 4.0, 6.0), "wer": (0.25, 0.2, 0.3)},
    }
    table = evaluated(summary, {"mcd": "dB", "level": "dB", "wer": ""})
    assert table.header == ["mean (95 % interval)", "recording", "vqspeech"]
    assert table.rows == [
        ["mcd, dB", "0.00 (0.00 to 0.00)", "5.12 (4.00 to 6.00)"],
        ["level, dB", "1.00 (-1.00 to 2.00)", ""],
        ["wer", "", "0.25 (0.20 to 0.30)"],
    ]


def test_a_markdown_table_is_read_back_as_it_was():
    tables = [Table(["a", "b"], [["1", "2"], ["3", ""]]), Table(["name"], [["x"]])]
    text = markdown(["First.", tables[0], "Then.", tables[1]])
    sentence, first, then, second = text.split("\n\n")
    assert (sentence, then) == ("First.", "Then.")
    for block, table in zip((first, second), tables, strict=True):
        header, rule, *rows = block.splitlines()
        assert (cells(header), [cells(row) for row in rows]) == (table.header, table.rows)
        assert cells(rule) == ["---"] * len(table.header)


def test_every_row_of_a_probe_has_every_column_and_shares_are_per_cent():
    source = {"accuracy": 0.5, "low": 0.25, "high": 0.75, "majority": 0.125, "above_chance": None}
    information = {"nmi": 0.5, "v_measure": 0.25, "purity": 0.125, "bits": 1.0}
    parts = probed(
        {
            "conditions": {
                "codes": 512, "frame_rate": 50.0, "train_minutes": 2.0, "train_speakers": 3, "test_minutes": 1.0,
                "test_speakers": 3, "phones": ["pau", "s"], "phone_labels": True,
            },
            "accuracy": {policy: {"codes": source, "k-means": source} for policy in ("all", "edges cut")},
            "information": {"codes": information, "k-means": information},
            "linear": {"1": 0.5, "3": 0.75},
            "manners": {"vowel": 0.5, "stop": None},
            "abx": {"codes": {"within": 0.1, "across": None}},
            "speaker": {"accuracy": 0.5, "speakers": 3, "majority": 1 / 3},
        }
    )  # fmt: skip
    tables = [part for part in parts if isinstance(part, Table)]
    assert len(tables) == 5
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)
    assert tables[0].rows[0] == ["codes", "50.0 (25.0 to 75.0)", "50.0 (25.0 to 75.0)"]
    assert tables[0].rows[-1][1:] == ["none", "none"]
    assert tables[2].header[1:] == ["1 code", "3 codes"]
    assert "learned with phone labels" in parts[0]
    assert parts[-1].endswith("50.0 % right of 3; always the commonest: 33.3 %.")
