"""Where things lie: paths, lists, and an object store, here a small stand-in for S3 that speaks its protocol."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.errors import InputError, OutputError
from runtime.ray_cluster import storage
from runtime.ray_cluster.ledger import Ledger, Note, Outcome, read_journal
from runtime.ray_cluster.tasks import find
from runtime.ray_cluster.worker import Settings, Worker, packed


def test_places() -> None:
    assert storage.is_url("s3://bucket/a.png") and not storage.is_url("/a/b.png") and not storage.is_url("a:b.png")
    assert storage.join("/out", "a/b.png") == "/out/a/b.png"
    assert storage.join("s3://bucket/out/?region=x", "a/b.png") == "s3://bucket/out/a/b.png?region=x"
    assert storage.path_of("s3://key:secret@bucket/a@b.png?region=x") == "s3://bucket/a@b.png"
    assert storage.suffix("s3://bucket/a.PNG?region=x.y") == ".png"


def test_an_object_store_without_arrow_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pyarrow.fs"):
        monkeypatch.setitem(sys.modules, name, None)
    for look in (storage.read, storage.names_below):
        with pytest.raises(InputError, match=r"needs Apache Arrow; install it with: pip install 'retinexrt\[ray\]'"):
            look("s3://bucket/a.png")


def test_a_list_keeps_the_structure_below_the_folder_that_it_shares(tmp_path: Path) -> None:
    for name in ("in/one/a.png", "in/two/a.png", "in/two/b.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    paths = [str(tmp_path / name) for name in ("in/one/a.png", "in/two/a.png", "in/two/b.gif")]
    (tmp_path / "list.txt").write_text("# of today\n" + "\n".join([*paths, paths[0]]) + "\n\n")
    out = tmp_path / "out"
    found = find([f"@{tmp_path / 'list.txt'}"], str(out))
    assert [pair.source for pair in found.pairs] == paths and not found.failures
    assert [pair.target for pair in found.pairs] == [str(out / name) for name in ("one/a.png", "two/a.png", "two/b.png")]
    over = find([f"@{tmp_path / 'list.txt'}"], str(tmp_path / "in"))
    assert [failure.reason.startswith("would write over the input") for failure in over.failures] == [True] * 2
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="lists nothing"):
        find([f"@{tmp_path / 'empty.txt'}"], str(out))


def test_a_list_leads_nowhere_else(tmp_path: Path) -> None:
    """No entry is written outside of the output folder, or over an input under another name."""
    (tmp_path / "list.txt").write_text("s3://bucket/in/a.png\ns3://bucket/in/../../../../b.png\ns3://bucket/in/below/\n")
    found = find([f"@{tmp_path / 'list.txt'}"], str(tmp_path / "out"))
    assert [pair.target for pair in found.pairs] == [str(tmp_path / "out" / "a.png")]
    assert [failure.reason.split(";")[0] for failure in found.failures] == ["has .. in its path", "is a folder"]
    (tmp_path / "list.txt").write_text("s3://bucket/\n")
    assert [failure.name for failure in find([f"@{tmp_path / 'list.txt'}"], str(tmp_path)).failures] == ["s3://bucket/"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'link' / 'a.png'}\n")
    found = find([f"@{tmp_path / 'list.txt'}"], str(tmp_path / "in"))
    assert not found.pairs and found.failures[0].reason.startswith("would write over the input")


def test_what_would_not_mean_what_it_seems_to_is_refused(tmp_path: Path) -> None:
    for source, out in (
        (f"file://{tmp_path}", str(tmp_path / "out")),
        ("s3://bucket/a.png", str(tmp_path / "bright.png")),
        (str(tmp_path / "a.png"), "s3://key:secret@bucket/bright.png"),
    ):
        with pytest.raises(InputError, match=r"is a path|is named like a file") as raised:
            find([source], out)
        assert "secret" not in str(raised.value)


def test_keys_are_not_shown(tmp_path: Path) -> None:
    """Not even those that make a URL malformed."""
    for place in ("s3://key:sec/ret@bucket/a.png", "nowhere://key:secret@bucket/a.png", "s3://key:se cret@bucket/a.png"):
        with pytest.raises(InputError, match="of no store") as raised:
            storage.read(place)
        assert "ret@" not in str(raised.value) and "sec" not in str(raised.value) and "se c" not in str(raised.value)
    assert storage.path_of("hdfs://host:8020/a@b.png") == "hdfs://host:8020/a@b.png"


def test_stores_that_nobody_knows_are_named(tmp_path: Path) -> None:
    found = find(["nowhere://bucket/a"], str(tmp_path))
    assert found.failures[0].reason.startswith("nowhere://bucket/a is of no store")
    with pytest.raises(InputError, match="of no store"):
        storage.read("nowhere://bucket/a")
    assert storage.digest("nowhere://bucket/a") is None


def _png(seed: int) -> bytes:
    return cv2.imencode(".png", np.random.default_rng(seed).integers(0, 90, (24, 32, 3), dtype=np.uint8))[1].tobytes()


def test_objects_are_read_and_written_whole(store: tuple[dict[str, bytes], str]) -> None:
    objects, options = store
    place = f"s3://key:secret@bucket/folder/a.bin{options}"
    data = np.random.default_rng(0).bytes(300_000)
    storage.write(place, data)
    assert objects["bucket/folder/a.bin"] == data and storage.read(place) == data
    assert storage.digest(place) is not None
    with pytest.raises(InputError, match="cannot read"):
        storage.read(f"s3://key:secret@bucket/absent{options}")
    with pytest.raises(OutputError, match="cannot write"):
        storage.write(f"s3://key:secret@bucket/readonly/a.png{options}", data)


def test_names_of_objects_are_taken_as_they_are(store: tuple[dict[str, bytes], str]) -> None:
    objects, options = store
    names = ["a b.png", "a#b.png", "a%20b.png", "ä/ö.png", "a+b@c.png"]
    for name in names:
        place = storage.join(f"s3://key:secret@bucket/in{options}", name)
        storage.write(place, name.encode())
        assert storage.read(place) == name.encode()
    assert sorted(objects) == sorted(f"bucket/in/{name}" for name in names)
    assert storage.names_below(f"s3://key:secret@bucket/in{options}") == sorted(names)


def test_a_bucket_is_enhanced_into_another(store: tuple[dict[str, bytes], str], settings: Settings) -> None:
    objects, options = store
    for number, key in enumerate(
        ("in/a.png", "in/below/b.png", "in/below/c.gif", "in/.hidden.png", "in/notes.txt", "in/f.mp4")
    ):
        objects[f"bucket/{key}"] = _png(number)
    objects["bucket/in/broken.png"] = b"no picture"
    source, out = f"s3://key:secret@bucket/in{options}", f"s3://key:secret@other/out{options}"
    found = find([source], out)
    assert [storage.path_of(pair.target).removeprefix("s3://") for pair in found.pairs] == [
        "other/out/a.png", "other/out/below/b.png", "other/out/below/c.png", "other/out/broken.png"
    ]  # fmt: skip
    assert found.ignored == 1 and "films are read from and written to file systems" in found.failures[0].reason
    from runtime.ray_cluster.run import _tasks  # pyright: ignore[reportPrivateUsage]

    ledger = Ledger(out)
    Worker(settings, ledger)({"tasks": [packed(_tasks(found.pairs, {}, 8))]})
    account = ledger.account()
    assert account.enhanced == 3 and [Path(failure.name).name for failure in account.failures] == ["broken.png"]
    assert sorted(key for key in objects if key.startswith("other/out/") and key.endswith(".png")) == [
        "other/out/a.png", "other/out/below/b.png", "other/out/below/c.png"
    ]  # fmt: skip
    # The journal lies in the store too, and another run goes by it.
    again = Ledger(out)
    Worker(settings, again)({"tasks": [packed(_tasks(found.pairs, read_journal(out), 8))]})
    assert (again.account().enhanced, again.account().kept) == (0, 3)


def test_journals_in_a_store_are_written_in_pieces(store: tuple[dict[str, bytes], str]) -> None:
    objects, options = store
    out = f"s3://key:secret@bucket/out{options}"
    ledger = Ledger(out)
    for number in range(300):
        note = Note(storage.join(out, f"{number}.png"), "a", "b", "c")
        ledger.finish("w", Outcome(number, "picture", "x", "enhanced", note=note))
    assert sum(".retinexrt" in key for key in objects) == 1
    ledger.flush()
    assert sum(".retinexrt" in key for key in objects) == 2
    assert len(read_journal(out)) == 300
