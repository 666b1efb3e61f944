"""A folder per step, published whole or not at all."""

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.run.local import run_in_process
from orchestrator.step import Step
from orchestrator.store.record import RECORD, folder_damage, write_record
from orchestrator.store.store import NOT_BUILT, Store
from tasks.data import datasets
from tasks.steps import poison
from tasks.triggers import BadNets1

DATASET = Step(datasets.Digits())


def manifest(**changes):
    settings = {"trigger": BadNets1(), "target_class": "8", "poison_ratio": 0.1, **changes}
    return Step(poison.Settings(**settings), {"dataset": DATASET})


def files(root):
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("made"))
    run_in_process([manifest()], store)
    return store


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "store")
    return Store(tmp_path / "store")


def rewrite(store, step, change):
    """Change a record; ``change`` is given the record and returns the new one."""
    path = store.folder(step) / RECORD
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


class TestPublishing:
    def test_a_result_is_nowhere_to_be_found_until_it_is_whole(self, tmp_path):
        store = Store(tmp_path)
        with store.publish(DATASET) as attempt:
            (attempt.folder / "half.txt").write_text("half")
            assert store.damage(DATASET) == NOT_BUILT
            assert not store.folder(DATASET).exists()
        assert store.has(DATASET)
        assert (store.folder(DATASET) / "half.txt").read_text() == "half"

    def test_a_crash_leaves_nothing_behind(self, tmp_path):
        store = Store(tmp_path)

        def crash():
            with store.publish(DATASET) as attempt:
                (attempt.folder / "half.txt").write_text("half")
                raise RuntimeError("disk on fire")

        with pytest.raises(RuntimeError, match="fire"):
            crash()
        assert not files(tmp_path)
        assert store.damage(DATASET) == NOT_BUILT

    def test_a_process_killed_in_the_middle_publishes_nothing(self, tmp_path):
        code = (
            "import os, sys; from pathlib import Path; from orchestrator.step import Step\n"
            "from orchestrator.store.store import Store; from tasks import datasets\n"
            "with Store(Path(sys.argv[1])).publish(Step(datasets.Digits())) as attempt:\n"
            "    (attempt.folder / 'train.parquet').write_text('half')\n"
            "    os.kill(os.getpid(), 9)\n"
        )
        killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
        assert killed.returncode == -9
        store = Store(tmp_path)
        assert store.damage(DATASET) == NOT_BUILT
        run_in_process([DATASET], store)
        assert store.damage(DATASET, content=True) is None

    def test_the_record_is_the_last_write(self, made):
        for step in (DATASET, manifest()):
            record = made.folder(step) / RECORD
            others = [path for path in files(made.folder(step)) if path != record]
            assert record.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in others)

    def test_the_record_lists_every_file_and_what_it_cost(self, made):
        record = made.record(DATASET)
        names = {path.name for path in files(made.folder(DATASET))} - {RECORD}
        assert set(record["files"]) == names
        assert record["identity"] == DATASET.identity
        assert record["seconds"] > 0
        assert record["peak_memory_bytes"] > 0
        assert record["versions"]["numpy"]

    def test_a_damaged_result_is_replaced(self, store):
        (store.folder(DATASET) / "train.parquet").unlink()
        with store.publish(DATASET) as attempt:
            (attempt.folder / "new.txt").write_text("new")
        assert store.damage(DATASET, content=True) is None
        assert {path.name for path in files(store.folder(DATASET))} == {"new.txt", RECORD}

    def test_of_two_that_race_one_whole_result_is_kept(self, tmp_path):
        store = Store(tmp_path)
        both = threading.Barrier(2)
        errors = []

        def publish(word):
            try:
                with store.publish(DATASET) as attempt:
                    for name in ("a.txt", "b.txt"):
                        (attempt.folder / name).write_text(word)
                    both.wait()
            except BaseException as error:
                errors.append(error)

        racers = [threading.Thread(target=publish, args=(word,)) for word in ("one", "two")]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert not errors
        assert store.damage(DATASET, content=True) is None
        said = {(store.folder(DATASET) / name).read_text() for name in ("a.txt", "b.txt")}
        assert said in ({"one"}, {"two"})
        assert sorted(path.name for path in files(tmp_path)) == ["a.txt", "b.txt", RECORD]

    def test_the_second_of_two_keeps_what_the_first_published(self, tmp_path):
        store = Store(tmp_path)
        with store.publish(DATASET) as late:
            (late.folder / "who.txt").write_text("late")
            with store.publish(DATASET) as early:
                (early.folder / "who.txt").write_text("early")
        assert (store.folder(DATASET) / "who.txt").read_text() == "early"
        assert store.damage(DATASET, content=True) is None


class TestDamage:
    def test_a_whole_result_has_none(self, made):
        assert made.damage(DATASET, content=True) is None
        assert made.has(DATASET)

    def test_what_was_never_made_is_not_built(self, made):
        assert made.damage(manifest(seed=9)) == NOT_BUILT

    def test_a_missing_file_is_named(self, store):
        (store.folder(DATASET) / "test.parquet").unlink()
        assert store.damage(DATASET) == "test.parquet is missing"

    def test_a_truncated_file_is_named_with_both_sizes(self, store):
        path = store.folder(DATASET) / "test.parquet"
        size = path.stat().st_size
        os.truncate(path, size - 1)
        assert store.damage(DATASET) == (f"test.parquet has {size - 1} bytes, {size} were written")

    def test_an_altered_file_is_found_when_its_content_is_looked_at(self, store):
        path = store.folder(DATASET) / "classes.json"
        path.write_text(path.read_text().replace("8", "9"))
        assert store.damage(DATASET) is None
        assert store.damage(DATASET, content=True) == (
            "classes.json was altered after it was written"
        )

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", '{"files": []}', "\0"])
    def test_a_record_that_is_none_is_damaged(self, store, text):
        (store.folder(DATASET) / RECORD).write_text(text)
        assert store.damage(DATASET) == f"{RECORD} is damaged"

    def test_a_missing_record_means_not_built(self, store):
        (store.folder(DATASET) / RECORD).unlink()
        assert store.damage(DATASET) == NOT_BUILT

    def test_where_there_can_be_no_folder_nothing_is_built(self, tmp_path):
        (tmp_path / "file").write_text("")
        assert Store(tmp_path / "file").damage(DATASET) == NOT_BUILT
        assert Store(tmp_path / "none").damage(DATASET) == NOT_BUILT

    def test_a_record_that_cannot_be_read_is_damaged(self, store):
        (store.folder(DATASET) / RECORD).unlink()
        (store.folder(DATASET) / RECORD).mkdir()
        assert store.damage(DATASET) == f"{RECORD} cannot be read: Is a directory"

    def test_a_record_of_another_result_is_not_believed(self, store):
        def relabel(record):
            record["identity"]["settings"]["target_class"] = "5"
            return record

        rewrite(store, manifest(), relabel)
        assert store.damage(manifest()) == (
            f"{RECORD} describes another result: settings.target_class: '5' -> '8'"
        )

    @pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "../x/../../y"])
    def test_a_record_that_names_a_path_outside_is_not_followed(self, store, name):
        def point_outside(record):
            record["files"][name] = {"size": 1, "sha256": "0" * 64}
            return record

        (store.root / "secret").write_text("s")
        rewrite(store, DATASET, point_outside)
        assert store.damage(DATASET, content=True) == (
            f"{RECORD} names {name}, which is outside the folder"
        )

    def test_a_link_to_a_file_outside_is_not_followed(self, store):
        inside, outside = store.folder(DATASET) / "classes.json", store.root / "elsewhere.json"
        inside.rename(outside)
        inside.symlink_to(outside)
        assert "outside the folder" in str(store.damage(DATASET, content=True))

    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data())
    def test_whatever_a_record_says_it_is_read_without_a_crash(self, made, tmp_path, data):
        values = st.none() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({})
        record = made.record(DATASET)
        place = data.draw(st.sampled_from(["identity", "files", "file", "size", "sha256", "all"]))
        value = data.draw(values)
        if place == "all":
            record = value
        elif place in ("size", "sha256"):
            record["files"]["train.parquet"][place] = value
        elif place == "file":
            record["files"]["train.parquet"] = value
        else:
            record[place] = value
        store = Store(tmp_path / "fuzzed")
        shutil.copytree(made.root, store.root, dirs_exist_ok=True)
        (store.folder(DATASET) / RECORD).write_text(json.dumps(record))
        if place != "files" or value != {}:
            assert isinstance(store.damage(DATASET, content=True), str)
            assert isinstance(folder_damage(store.folder(DATASET)), str | None)
        assert len(store.explain(DATASET)) >= 1
        list(store.records("datasets"))


class TestExplaining:
    def test_the_nearest_finished_sibling_says_what_is_new(self, made):
        assert made.explain(manifest(poison_ratio=0.2)) == ["settings.poison_ratio: 0.1 -> 0.2"]

    def test_of_several_siblings_the_one_with_fewest_changes_is_named(self, store):
        run_in_process([manifest(poison_ratio=0.2, seed=1)], store)
        assert store.explain(manifest(poison_ratio=0.3, seed=1)) == [
            "settings.poison_ratio: 0.2 -> 0.3"
        ]

    def test_the_first_of_a_task_is_said_to_be(self, tmp_path):
        assert Store(tmp_path).explain(DATASET) == ["the first of its task"]

    def test_damage_is_the_reason_when_there_is_some(self, store):
        (store.folder(DATASET) / "test.parquet").unlink()
        assert store.explain(DATASET) == ["test.parquet is missing"]

    def test_unreadable_records_of_siblings_are_passed_over(self, store):
        other = manifest(poison_ratio=0.2)
        run_in_process([other], store)
        for text in ("", "[]", "{}"):
            (store.folder(other) / RECORD).write_text(text)
            assert store.explain(manifest(poison_ratio=0.3)) == [
                "settings.poison_ratio: 0.1 -> 0.3"
            ]


class TestCheckpointRecords:
    def test_a_folder_is_whole_exactly_when_it_is_as_recorded(self, tmp_path):
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "weights").write_text("weights")
        assert folder_damage(tmp_path) == f"{RECORD} is missing or damaged"
        write_record(tmp_path, {"position": 5})
        assert folder_damage(tmp_path) is None
        (tmp_path / "deep" / "weights").write_text("WEIGHTS")
        assert folder_damage(tmp_path) == "deep/weights was altered after it was written"


class TestSeeing:
    def test_a_folder_that_is_shared_is_told_from_a_fresh_one_of_the_same_name(self, tmp_path):
        here, there, nowhere = (Store(tmp_path / name) for name in ("here", "there", "none"))
        token = here.probe()
        there.root.mkdir()  # what another node has that does not share the folder
        assert pickle.loads(pickle.dumps(here)).sees(token) is None
        assert there.sees(token) == (
            f"its folder {there.root} is another one: what is written here does not appear there"
        )
        assert nowhere.sees(token) == f"it has no folder {nowhere.root}"
        assert not nowhere.root.exists()
        name, _, content = token.partition(":")
        (there.root / f".probe-{name}").write_text(content[::-1])
        assert "is another one" in str(there.sees(token))
        here.unprobe(token)
        assert not files(here.root)
        assert here.sees(token) is not None


@pytest.fixture
def read_only():
    """A folder that this process cannot write to, although tests may run as root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


class TestWritability:
    def test_a_good_place_is_made_and_left_empty(self, tmp_path):
        Store(tmp_path / "new" / "store").check_writable(1000)
        assert list((tmp_path / "new" / "store").iterdir()) == []

    @pytest.mark.parametrize("below", ["", "store"])
    def test_a_read_only_folder_gets_one_line(self, read_only, below):
        with pytest.raises(OSError, match=r"^cannot write to the store /.* --store\.$") as caught:
            Store(read_only / below).check_writable(0)
        assert "Permission denied" in str(caught.value)

    def test_a_place_below_a_file_gets_one_line(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"^cannot write to the store /.*: Not a directory\. "):
            Store(tmp_path / "file" / "store").check_writable(0)

    def test_a_file_in_its_place_gets_one_line(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"^cannot write to the store /.* --store\.$"):
            Store(tmp_path / "file").check_writable(0)

    def test_more_than_the_disk_holds_is_refused_with_both_sizes(self, tmp_path):
        with pytest.raises(OSError, match=r"MB free and this run is expected to write \d+ MB"):
            Store(tmp_path).check_writable(10**18)

    def test_a_full_store_is_found_before_any_work(self, tmp_path):
        code = (
            "import sys; from pathlib import Path; from orchestrator.store.store import Store\n"
            "Store(Path(sys.argv[1])).check_writable(0)"
        )
        full = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        )
        said = full.stderr.splitlines()[-1]
        assert said.startswith(f"OSError: cannot write to the store {tmp_path}: File too large.")
        assert not files(tmp_path)
