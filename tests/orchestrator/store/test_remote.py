"""A store on S3, served on loopback: the same results as in a folder, on every node."""

import json
import os
import threading

import pytest

from orchestrator.run.execute import build
from orchestrator.run.local import run_in_process
from orchestrator.run.placement import Placement
from orchestrator.step import Step
from orchestrator.store import storage
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.record import RECORD
from orchestrator.store.store import NOT_BUILT, Store
from tasks.data import datasets
from tasks.steps import poison, train_classifier
from tasks.triggers import BadNets1

DATASET = Step(datasets.Digits())
POISON = Step(
    poison.Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.1), {"dataset": DATASET}
)
OFTEN = Placement(checkpoint_seconds=0)


def training(**changes):
    chosen = {"name": "content", "classes": 10, "batch_size": 16, "steps": 60, **changes}
    return Step(train_classifier.Settings(**chosen), {}, {"dataset": DATASET})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a folder store has of the same steps."""
    store = Store(tmp_path_factory.mktemp("folder"))
    run_in_process([POISON], store)
    return store


def write(store, step, **files):
    with store.publish(step) as attempt:
        for name, text in files.items():
            (attempt.folder / f"{name}.txt").write_text(text)


def read(store, step):
    return {
        path.name: path.read_text() for path in store.fetch(step).iterdir() if path.suffix == ".txt"
    }


def rewrite(store, step, change):
    """Change a record where it lies; ``change`` is given the record and changes it."""
    record = store.record(step)
    change(record)
    store.storage.write(f"{step.path}/{RECORD}", json.dumps(record).encode())


class TestPublishing:
    def test_what_one_node_makes_another_finds_and_reads_to_the_same_bytes(
        self, pair, folder, contents
    ):
        one, two = pair
        run_in_process([POISON], one)
        assert {event["kind"] for event in run_in_process([POISON], two)} == {"cached"}
        assert not two.root.exists()  # to know that it is there it was not copied
        for step in (DATASET, POISON):
            assert two.damage(step, content=True) is None
            assert contents(two, step) == contents(folder, step)
            assert two.record(step)["identity"] == step.identity
            assert set(two.record(step)["files"]) == set(folder.record(step)["files"])

    def test_a_result_is_nowhere_to_be_found_until_its_record_is_written(self, pair):
        one, two = pair
        with one.publish(DATASET) as attempt:
            (attempt.folder / "half.txt").write_text("half")
            assert two.damage(DATASET) == NOT_BUILT
        assert read(two, DATASET) == {"half.txt": "half"}

    def test_what_a_killed_attempt_had_uploaded_is_never_read(self, pair, tmp_path):
        one, two = pair
        (tmp_path / "half.txt").write_text("half")
        one.storage.upload(tmp_path, f"{DATASET.path}/0123456789ab", ["half.txt"])
        assert two.damage(DATASET, content=True) == NOT_BUILT
        assert list(two.records("datasets")) == []
        write(one, DATASET, whole="whole")
        assert read(two, DATASET) == {"whole.txt": "whole"}

    def test_a_crash_publishes_nothing_and_leaves_nothing_here(self, pair):
        one, two = pair

        def crash():
            with one.publish(DATASET) as attempt:
                (attempt.folder / "half.txt").write_text("half")
                raise RuntimeError("disk on fire")

        with pytest.raises(RuntimeError, match="fire"):
            crash()
        assert two.damage(DATASET) == NOT_BUILT
        assert not [path for path in one.root.rglob("*") if path.is_file()]

    def test_of_two_that_race_both_are_whole_and_the_last_record_counts(self, pair):
        one, two = pair
        with one.publish(DATASET) as late:
            (late.folder / "who.txt").write_text("late")
            write(two, DATASET, who="early")
            first = two.record(DATASET)
        assert read(one, DATASET) == read(two, DATASET) == {"who.txt": "late"}
        assert two.storage.read(f"{DATASET.path}/{first['attempt']}/who.txt") == b"early"

    def test_a_file_of_several_parts_and_an_empty_one_come_back_as_they_were(self, pair):
        one, two = pair
        parts = os.urandom(storage.PART + 5 * 2**20 + 1)  # S3 has parts of its own, of 10 MB
        with one.publish(DATASET) as attempt:
            (attempt.folder / "deep").mkdir()
            (attempt.folder / "deep" / "large").write_bytes(parts)
            (attempt.folder / "empty").write_bytes(b"")
        assert (two.fetch(DATASET) / "deep" / "large").read_bytes() == parts
        assert (two.folder(DATASET) / "empty").read_bytes() == b""

    def test_a_discarded_result_is_gone_for_everybody(self, pair):
        one, two = pair
        write(one, DATASET, a="a")
        two.fetch(DATASET)
        two.discard(DATASET)
        assert one.damage(DATASET, content=True) == NOT_BUILT
        assert one.storage.sizes(DATASET.path) == {}
        assert not two.folder(DATASET).exists()


class TestTheCopy:
    def test_one_that_is_damaged_on_disk_is_fetched_again(self, pair):
        one, two = pair
        write(one, DATASET, a="as it was", b="b")
        (two.fetch(DATASET) / "a.txt").write_text("AS IT WAS")
        (two.folder(DATASET) / "b.txt").unlink()
        assert two.damage(DATASET, content=True) is None
        assert read(two, DATASET) == {"a.txt": "as it was", "b.txt": "b"}

    def test_it_follows_a_result_that_was_made_anew(self, pair):
        one, two = pair
        write(one, DATASET, a="old", gone="gone")
        assert read(two, DATASET) == {"a.txt": "old", "gone.txt": "gone"}
        one.discard(DATASET)
        assert two.damage(DATASET) == NOT_BUILT
        write(one, DATASET, a="new")
        assert read(two, DATASET) == {"a.txt": "new"}

    def test_several_that_fetch_at_once_all_find_it_whole(self, pair, node):
        one, _ = pair
        run_in_process([DATASET], one)
        here = [node("shared") for _ in range(6)]
        found = []

        def fetch(store):
            found.append(store.damage(DATASET, content=True))

        threads = [threading.Thread(target=fetch, args=(store,)) for store in here]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [None] * 6
        names = {path.name for path in here[0].folder(DATASET).iterdir()}
        assert names == set(one.record(DATASET)["files"]) | {RECORD}
        assert [path.name for path in here[0].folder(DATASET).parent.iterdir()] == [
            here[0].folder(DATASET).name
        ]

    def test_what_is_not_there_cannot_be_fetched(self, node):
        with pytest.raises(OSError, match=f"^{DATASET.path}: not built$"):
            node("one").fetch(DATASET)


class TestDamage:
    @pytest.fixture
    def two(self, pair):
        one, two = pair
        write(one, DATASET, a="as it was", b="b")
        return two

    def path(self, store, name):
        return f"{DATASET.path}/{store.record(DATASET)['attempt']}/{name}"

    def test_a_missing_file_is_named_without_copying_anything(self, two):
        two.storage.delete(self.path(two, "b.txt"))
        assert two.damage(DATASET) == "b.txt is missing"
        assert not two.root.exists()

    def test_a_truncated_file_is_named_with_both_sizes(self, two):
        two.storage.write(self.path(two, "a.txt"), b"as")
        assert two.damage(DATASET) == "a.txt has 2 bytes, 9 were written"

    def test_an_altered_file_is_found_when_its_content_is_looked_at_and_not_kept(self, two):
        two.storage.write(self.path(two, "a.txt"), b"AS IT WAS")
        assert two.damage(DATASET) is None
        assert two.damage(DATASET, content=True) == "a.txt was altered after it was written"
        assert not two.folder(DATASET).exists()
        with pytest.raises(OSError, match="altered after"):
            two.fetch(DATASET)

    def test_damaged_sources_are_discarded_and_built_again(self, pair, folder, contents):
        one, two = pair
        run_in_process([POISON], one)
        two.storage.write(self.path(two, "classes.json"), b"x" * 10)
        one.discard(POISON)
        assert build(POISON, two, Placement()).kind == "damaged"
        run_in_process([POISON], two)
        one.fetch(POISON), one.fetch(DATASET)
        assert contents(one, POISON, DATASET) == contents(folder, POISON, DATASET)

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"{}", b'{"files": []}', b"\xff"])
    def test_a_record_that_is_none_is_damaged(self, two, text):
        two.storage.write(f"{DATASET.path}/{RECORD}", text)
        assert two.damage(DATASET, content=True) == f"{RECORD} is damaged"
        two.discard(DATASET)
        assert two.damage(DATASET) == NOT_BUILT

    def test_a_record_of_another_result_is_not_believed(self, two):
        rewrite(two, DATASET, lambda record: record["identity"].update(task="other"))
        assert two.damage(DATASET) == (
            f"{RECORD} describes another result: task: 'other' -> 'datasets'"
        )

    @pytest.mark.parametrize("attempt", [None, "..", "../..", "0123456789ab/../x", "", 5, "/etc"])
    def test_a_record_cannot_point_to_another_folder(self, two, attempt):
        rewrite(two, DATASET, lambda record: record.update(attempt=attempt))
        assert two.damage(DATASET, content=True) == f"{RECORD} is damaged"

    @pytest.mark.parametrize("name", ["../x", "/tmp/castlewalls-x", "a/../../x", "", ".", "b/"])
    def test_a_path_in_a_record_cannot_leave_the_copy(self, two, name):
        def outside(record):
            record["files"][name] = {"size": 1, "sha256": "0" * 64}

        rewrite(two, DATASET, outside)
        said = f"{RECORD} names {name}, which is outside the folder"
        assert two.damage(DATASET) == two.damage(DATASET, content=True) == said
        assert not two.root.exists()

    def test_a_path_in_a_checkpoint_s_record_cannot_leave_the_copy_either(self, pair):
        one, two = pair
        for name in ("../../../../x", "/tmp/castlewalls-x", "\0", "", "."):
            files = {name: {"size": 1, "sha256": "0" * 64}}
            path = f".checkpoints/{DATASET.digest}/attempt/000000005"
            one.storage.write(f"{path}/{RECORD}", json.dumps({"files": files}).encode())
            said = f"{RECORD} names {name}, which is outside the folder"
            assert two.bring(path) == said
        one.storage.write(f"{path}/{RECORD}", b'{"files": 5}')
        assert two.bring(path) == f"{RECORD} is missing or damaged"
        assert Checkpoints(two, DATASET).newest() is None


class TestPlanning:
    def test_records_and_reasons_are_those_of_a_folder(self, pair):
        one, two = pair
        run_in_process([POISON], one)
        other = Step(
            poison.Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.2),
            POISON.inputs,
        )
        assert [record["identity"] for record in two.records("poison")] == [POISON.identity]
        assert two.explain(other) == ["settings.poison_ratio: 0.1 -> 0.2"]
        assert two.explain(training()) == ["the first of its task"]

    def test_what_was_looked_at_is_remembered_within_the_block_and_not_after(self, pair):
        one, two = pair
        run_in_process([POISON], one)
        with two.look([POISON, DATASET, training()], content={POISON.digest}):
            assert (two.folder(POISON) / RECORD).exists()
            one.discard(POISON)
            assert two.has(POISON)
            assert two.has(DATASET)
            assert two.damage(POISON, content=True) is None
            assert two.damage(training()) == NOT_BUILT
            assert [record["identity"] for record in two.records("poison")] == [POISON.identity]
        assert two.damage(POISON) == NOT_BUILT
        assert list(two.records("poison")) == []


class TestCheckpointsOnAnotherNode:
    class Gone(BaseException):
        """The first node is lost."""

    def test_a_training_goes_on_where_another_node_stopped_to_the_same_bytes(
        self, pair, folder, contents
    ):
        one, two = pair
        step = training()
        run_in_process([step], folder)
        run_in_process([DATASET], one)

        def lose(position, _):
            if position == 60:
                raise self.Gone

        with pytest.raises(self.Gone):
            build(step, one, OFTEN, note=lose)
        assert Checkpoints(two, step).position() == 50
        heard = []
        assert build(step, two, OFTEN, note=lambda at, _: heard.append(at)).kind == "done"
        assert heard == [50, 60]
        one.fetch(step)
        assert contents(one, step) == contents(folder, step)
        assert two.storage.sizes(".checkpoints") == {}
        assert not Checkpoints(two, step).root.exists()

    def test_two_of_an_attempt_are_kept_and_a_damaged_one_is_passed_over(self, pair, caplog):
        one, two = pair
        checkpoints = Checkpoints(one, DATASET)
        for at in (10, 20, 30):
            checkpoints.publish(at, lambda to, at=at: (to / "weights").write_text(f"{at:4}"))
        assert not list(checkpoints.attempt.iterdir())  # this node has its room back
        elsewhere = Checkpoints(two, DATASET)
        path = f"{checkpoints.path}/{checkpoints.name}"
        assert [name.rpartition("/")[2] for name in two.marked(checkpoints.path)] == [
            "000000020",
            "000000030",
        ]
        assert (elsewhere.named(f"{checkpoints.name}/000000030") / "weights").exists()
        one.storage.write(f"{path}/000000030/weights", b"WRNG")
        assert (elsewhere.newest() / "weights").read_text() == "  30"  # the copy that it had
        two.root.joinpath(path, "000000030", "weights").write_text("WRNG")
        assert (elsewhere.newest() / "weights").read_text() == "  20"
        assert "is passed over: weights was altered" in caplog.text
        with pytest.raises(OSError, match="weights was altered"):
            elsewhere.named(f"{checkpoints.name}/000000030")


class TestLogsAndReports:
    def test_the_traceback_of_a_failure_is_found_by_everybody_until_the_step_is_made(self, pair):
        one, two = pair
        failing = Step(
            poison.Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.95), POISON.inputs
        )
        run_in_process([DATASET], one)
        assert two.log_address(failing) is None
        outcome = build(failing, one, Placement())
        assert (outcome.kind, outcome.transient) == ("failed", False)
        place, _, options = two.address.partition("?")
        assert two.log_address(failing) == f"{place}/logs/poison-{failing.digest}.log?{options}"
        log = two.storage.read(f"logs/poison-{failing.digest}.log").decode()
        assert "Traceback" in log
        assert "made-up-secret" not in log
        two.write_log(POISON, "an earlier failure")
        assert build(POISON, one, Placement()).kind == "done"
        assert two.log_address(POISON) is None

    def test_a_report_is_kept_beside_the_results_as_a_page(self, pair):
        one, two = pair
        report = one.root / "reports" / "amplification-tiny"
        (report / "figures").mkdir(parents=True)
        (report / "index.html").write_text("<p>page</p>")
        (report / "figures" / "a.svg").write_text("<svg/>")
        place, _, options = one.address.partition("?")
        assert one.keep(report) == f"{place}/reports/amplification-tiny?{options}"
        assert two.storage.sizes("reports/amplification-tiny") == {
            "index.html": 11,
            "figures/a.svg": 6,
        }
        base, files = two.storage.file_system("reports/amplification-tiny")
        with files.open_input_stream(f"{base}/index.html") as page:
            assert page.metadata()["Content-Type"] == b"text/html"

    def test_the_sweep_s_logs_lie_in_the_store(self, pair):
        one, two = pair
        path, files = one.tune()
        with files.open_output_stream(f"{path}/sweep/progress.csv") as stream:
            stream.write(b"1")
        assert two.storage.sizes("tune") == {"sweep/progress.csv": 1}
