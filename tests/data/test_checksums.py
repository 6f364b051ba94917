from concurrent.futures import ThreadPoolExecutor

import pytest

from scprint2.data.checksums import Checksum, read_checksums, record_checksum

SHA, OTHER = "a" * 64, "b" * 64
MD5 = "c" * 32


def test_what_is_recorded_is_read_sorted_by_file_and_recording_it_again_changes_no_byte(tmp_path):
    path = tmp_path / "checksums.tsv"
    for file in ("b.h5ad", "a.h5ad"):
        record_checksum(path, Checksum(file, SHA, bytes=3, date="2026-01-02", url=f"https://x/{file}"))
    assert list(read_checksums(path)) == ["a.h5ad", "b.h5ad"]
    assert read_checksums(path)["a.h5ad"] == Checksum("a.h5ad", SHA, "", 3, "2026-01-02", "https://x/a.h5ad")
    before = path.read_bytes()
    record_checksum(path, Checksum("a.h5ad", SHA, bytes=3, date="2027-01-01", url="https://elsewhere"))
    assert path.read_bytes() == before, "the first download counts"


def test_a_publishers_md5_is_completed_by_the_sha256_of_the_first_download(tmp_path):
    path = tmp_path / "checksums.tsv"
    record_checksum(path, Checksum("a", md5=MD5, bytes=3, url="https://x/a"))
    record_checksum(path, Checksum("a", sha256=SHA, bytes=3, date="2026-01-02", url="https://y/a"))
    assert read_checksums(path)["a"] == Checksum("a", SHA, MD5, 3, "2026-01-02", "https://y/a")


@pytest.mark.parametrize(
    "new", [Checksum("a", OTHER, bytes=3), Checksum("a", SHA, bytes=4), Checksum("a", SHA, md5="d" * 32, bytes=3)]
)
def test_what_contradicts_the_table_is_refused(tmp_path, new):
    path = tmp_path / "checksums.tsv"
    record_checksum(path, Checksum("a", SHA, MD5, 3))
    with pytest.raises(ValueError, match="a has .*found .*If the publisher replaced the file, remove its line"):
        record_checksum(path, new)


def test_forty_at_once_lose_nothing(tmp_path):
    path = tmp_path / "checksums.tsv"
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: record_checksum(path, Checksum(f"{number:02d}", SHA, bytes=number)), range(40)))
    assert [row.bytes for row in read_checksums(path).values()] == list(range(40))


def test_without_a_table_nothing_is_known_and_a_bad_one_names_its_line(tmp_path):
    assert read_checksums(tmp_path / "none.tsv") == {}
    path = tmp_path / "checksums.tsv"
    path.write_text(f"file\tsha256\na\t{SHA}\na\t{SHA}\n")
    with pytest.raises(ValueError, match="line 3: file 'a' is given twice"):
        read_checksums(path)
    path.write_text("file\tsha256\na\tshort\n")
    with pytest.raises(ValueError, match="line 2: sha256"):
        read_checksums(path)
