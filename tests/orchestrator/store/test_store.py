"""A folder per step, published whole or not at all: in a local folder, and on S3 from two nodes."""

import json
import os
import pickle
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.local import run_in_process
from orchestrator.store.reasons import Reasons
from orchestrator.store.record import DAMAGED, RECORD, folder_damage
from orchestrator.store.store import NOT_BUILT, Store
from tests.orchestrator.conducted import DATASET, manifest


def files(root):
    return [path for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts]


def write(store, step, **texts):
    with store.publish(step) as attempt:
        for name, text in texts.items():
            (attempt.folder / f"{name}.txt").write_text(text)


def read(store, step):
    return {path.stem: path.read_text() for path in store.fetch(step).glob("*.txt")}


def lies(store, name):
    """Where a file of the dataset lies in a store."""
    attempt = store.record(DATASET).get("attempt")
    return "/".join(filter(None, [DATASET.path, attempt, name]))


def rewrite(store, step, change):
    """Change a record where it lies; ``change`` is given the record and changes it."""
    record = store.record(step)
    change(record)
    store.storage.write(f"{step.path}/{RECORD}", json.dumps(record).encode())


@pytest.fixture(params=["folder", "bucket"])
def both(request, tmp_path):
    """A store as two nodes see it."""
    if request.param == "bucket":
        return request.getfixturevalue("pair")
    return Store(tmp_path / "store"), Store(tmp_path / "store")


class TestPublishing:
    def test_what_one_node_makes_another_finds_and_reads_to_the_same_bytes(
        self, both, poisoned_store, contents
    ):
        one, two = both
        run_in_process([manifest()], one)
        assert {event["kind"] for event in run_in_process([manifest()], two)} == {"cached"}
        for step in (DATASET, manifest()):
            assert two.damage(step, content=True) is None
            assert contents(two, step) == contents(poisoned_store, step)
            record, folder = two.record(step), two.folder(step)
            assert record["identity"] == step.identity
            there = {path.relative_to(folder).as_posix() for path in files(folder)}
            assert set(record["files"]) == there - {RECORD}
            assert min(record["seconds"], record["peak_memory_bytes"]) > 0
            assert record["versions"]["numpy"]

    def test_a_result_is_nowhere_to_be_found_until_it_is_whole(self, both):
        one, two = both
        with one.publish(DATASET) as attempt:
            (attempt.folder / "half.txt").write_text("half")
            assert two.damage(DATASET) == NOT_BUILT
        assert read(two, DATASET) == {"half": "half"}

    def test_a_crash_leaves_nothing_behind(self, both):
        one, two = both

        def crash():
            with one.publish(DATASET) as attempt:
                (attempt.folder / "half.txt").write_text("half")
                raise RuntimeError("disk on fire")

        with pytest.raises(RuntimeError, match="fire"):
            crash()
        assert two.damage(DATASET) == NOT_BUILT
        assert not files(one.root)
        assert one.storage.sizes(DATASET.path) == {}

    def test_a_damaged_result_is_replaced(self, both):
        one, two = both
        write(one, DATASET, old="old")
        one.storage.delete(lies(one, "old.txt"))
        write(two, DATASET, new="new")
        assert read(one, DATASET) == {"new": "new"}

    def test_of_two_that_race_one_whole_result_is_kept(self, both):
        at_once = threading.Barrier(2)

        def publish(store, word):
            with store.publish(DATASET) as attempt:
                for name in ("a.txt", "b.txt"):
                    (attempt.folder / name).write_text(word)
                at_once.wait()

        with ThreadPoolExecutor(2) as racers:
            assert list(racers.map(publish, both, "xy")) == [None, None]
        assert both[0].damage(DATASET, content=True) is None
        assert read(both[0], DATASET) in ({"a": "x", "b": "x"}, {"a": "y", "b": "y"})

    def test_of_two_in_turn_a_folder_keeps_the_first_and_a_bucket_the_last(self, both):
        one, two = both
        with one.publish(DATASET) as late:
            (late.folder / "who.txt").write_text("late")
            write(two, DATASET, who="early")
            first = lies(two, "who.txt")
        assert (
            read(one, DATASET) == read(two, DATASET) == {"who": "late" if one.remote else "early"}
        )
        assert two.storage.read(first) == b"early"

    def test_a_discarded_result_is_gone_for_everybody(self, both):
        one, two = both
        write(one, DATASET, a="a")
        two.fetch(DATASET)
        two.discard(DATASET)
        assert one.damage(DATASET, content=True) == NOT_BUILT
        assert one.storage.sizes(DATASET.path) == {}
        assert not two.folder(DATASET).exists()


class TestDamage:
    @pytest.fixture
    def two(self, both):
        write(both[0], DATASET, a="as it was", b="b")
        return both[1]

    def test_a_file_is_named_that_is_altered_truncated_or_missing(self, two):
        found = two.damages([DATASET, manifest()], content={manifest().digest})
        assert found == {DATASET.digest: None, manifest().digest: NOT_BUILT}
        two.storage.write(lies(two, "a.txt"), b"AS IT WAS")
        assert two.has(DATASET)  # by its sizes
        assert two.damage(DATASET, content=True) == "a.txt was altered after it was written"
        two.storage.write(lies(two, "a.txt"), b"as")
        assert two.damage(DATASET) == "a.txt has 2 bytes, 9 were written"
        two.storage.delete(lies(two, "a.txt"))
        assert two.damage(DATASET) == "a.txt is missing"

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"{}", b'{"files": []}', b"\xff"])
    def test_a_record_that_is_none_is_damaged(self, two, text):
        two.storage.write(f"{DATASET.path}/{RECORD}", text)
        assert two.damage(DATASET, content=True) == DAMAGED
        two.discard(DATASET)
        assert two.damage(DATASET) == NOT_BUILT

    def test_a_record_of_another_result_is_not_believed(self, two):
        rewrite(two, DATASET, lambda record: record["identity"].update(task="other"))
        said = f"{RECORD} describes another result: task: 'other' -> 'datasets'"
        assert two.damage(DATASET) == said

    @pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/../../x", "", ".", "b/", "\0"])
    def test_a_path_in_a_record_cannot_leave_the_folder(self, two, name):
        def outside(record):
            record["files"][name] = {"size": 1, "sha256": "0" * 64}

        rewrite(two, DATASET, outside)
        said = f"{RECORD} names {name}, which is outside the folder"
        assert two.damage(DATASET) == two.damage(DATASET, content=True) == said
        two.storage.write(f"x/y/{RECORD}", two.storage.read(f"{DATASET.path}/{RECORD}"))
        assert two.bring("x/y") == said

    def test_where_there_can_be_no_folder_or_no_record_nothing_is_built(self, tmp_path):
        (tmp_path / "file").write_text("")
        for name in ("file", "none"):
            assert Store(tmp_path / name).damage(DATASET) == NOT_BUILT
        (tmp_path / DATASET.path / RECORD).mkdir(parents=True)
        assert Store(tmp_path).damage(DATASET) == DAMAGED

    def test_a_link_to_a_file_outside_is_not_followed(self, tmp_path):
        store = Store(tmp_path)
        write(store, DATASET, a="a")
        inside = store.folder(DATASET) / "a.txt"
        inside.symlink_to(inside.rename(tmp_path / "elsewhere.txt"))
        assert "outside the folder" in str(store.damage(DATASET, content=True))

    def test_other_files_and_links_in_circles_do_no_harm(self, tmp_path):
        store = Store(tmp_path)
        write(store, DATASET, a="a")
        folder = store.folder(DATASET)
        (folder / "loop").symlink_to(folder.parent)
        (folder / os.fsdecode(b"\xff")).write_text("not UTF-8")
        assert store.damage(DATASET, content=True) is None
        assert len(list(store.records("datasets"))) == 1

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_whatever_a_record_says_it_is_read_without_a_crash(self, poisoned_store, data):
        values = st.none() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({})
        record = poisoned_store.record(DATASET)
        place = data.draw(st.sampled_from(["identity", "files", "file", "size", "sha256", "all"]))
        value = data.draw(values)
        if place == "all":
            record = value
        elif place == "file":
            record["files"]["train.parquet"] = value
        else:
            holder = record if place in record else record["files"]["train.parquet"]
            holder[place] = value
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder))
            shutil.copytree(poisoned_store.folder(DATASET), store.folder(DATASET))
            (store.folder(DATASET) / RECORD).write_text(json.dumps(record))
            if place != "files" or value != {}:
                assert isinstance(store.damage(DATASET, content=True), str)
                assert isinstance(folder_damage(store.folder(DATASET)), str | None)
            assert Reasons(store).why(DATASET, NOT_BUILT)


class TestUsing:
    def test_a_node_sees_what_another_just_wrote(self, both, tmp_path):
        one, two = both
        token = one.probe()
        assert pickle.loads(pickle.dumps(two)).sees(token) is None
        one.storage.write(token, b"other")
        assert two.sees(token) is not None
        two.unprobe(token)
        assert one.sees(token) == f"it does not find in {one.address} what was just written there"
        one.check_writable(0)
        assert one.storage.sizes(".") == {}
        assert "it does not find" in Store(tmp_path / "none").sees(token)
        assert not (tmp_path / "none").exists()

    def test_the_traceback_of_a_failure_is_found_by_everybody_until_it_is_dropped(self, both):
        one, two = both
        assert two.log_address(DATASET) is None
        one.write_log(DATASET, "Traceback \udcff")
        place, mark, options = two.address.partition("?")
        name = f"logs/datasets-{DATASET.digest}.log"
        assert two.log_address(DATASET) == f"{place}/{name}{mark}{options}"
        assert two.storage.read(name) == b"Traceback \\udcff"
        two.drop_log(DATASET)
        two.drop_log(DATASET)
        assert one.log_address(DATASET) is None

    @pytest.mark.parametrize(("name", "why"), [("file/store", "Not a"), ("file", "exists")])
    def test_a_file_in_the_way_gets_one_line(self, tmp_path, name, why):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=rf"^cannot write to the store /.*: .*{why}.* --store\.$"):
            Store(tmp_path / name).check_writable(0)

    def test_a_place_is_made_and_one_with_too_little_room_is_refused(self, tmp_path):
        Store(tmp_path / "new" / "store").check_writable(1000)
        assert list((tmp_path / "new" / "store").iterdir()) == []
        with pytest.raises(OSError, match=r"MB free and this run is expected to write \d+ MB"):
            Store(tmp_path).check_writable(10**18)
