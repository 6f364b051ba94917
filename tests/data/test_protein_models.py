from pathlib import Path

import pytest

from scprint2.data.protein_models import COLUMNS, read_protein_models

ROOT = Path(__file__).resolve().parents[2]
ROW = ("tiny", "vocab.txt", "https://host/vocab.txt", "0" * 64, "93", "MIT", "Ann 2020")


def table(folder, *rows, header=COLUMNS):
    path = folder / "models.tsv"
    path.write_text("# A comment.\n" + "".join("\t".join(row) + "\n" for row in (header, *rows)))
    return path


def test_the_models_of_the_project_are_whole_and_pinned_to_a_revision():
    models = read_protein_models(ROOT / "config/protein_models.tsv")
    for files in models.values():
        assert {"config.json", "vocab.txt", "model.safetensors"} <= set(files)
        assert all("/resolve/" in file.url and "/main/" not in file.url for file in files.values())
        assert {file.licence for file in files.values()} == {"MIT"}
        assert files["model.safetensors"].bytes > 1e9


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, "a b", "model is 'a b'"),
        (1, "../x", "file is '../x'"),
        (2, "http://host/x", "https://"),
        (3, "12", "sha256 is '12'"),
        (4, "many", "bytes 'many'"),
        (5, "", "licence"),
        (6, "", "citation"),
    ],
)
def test_a_malformed_row_is_refused(tmp_path, place, value, message):
    with pytest.raises(ValueError, match=f"models.tsv, line 3: .*{message}"):
        read_protein_models(table(tmp_path, [value if at == place else field for at, field in enumerate(ROW)]))


def test_other_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match="columns are .*missing: .*licence"):
        read_protein_models(table(tmp_path, header=("model", "file")))
    assert read_protein_models(table(tmp_path, ROW))["tiny"]["vocab.txt"].bytes == 93
