"""What only a remote store has: copies on each node, attempts, checkpoints that move."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.local import run_in_process
from orchestrator.run.execute import build
from orchestrator.run.placement import Placement
from orchestrator.step import Step
from orchestrator.store import storage
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.record import DAMAGED, RECORD, write_whole
from orchestrator.store.store import NOT_BUILT, Store
from tasks.steps import train_classifier
from tests.orchestrator.conducted import DATASET
from tests.orchestrator.store.test_store import lies, read, rewrite, write

OFTEN = Placement(checkpoint_seconds=0)


def training():
    chosen = {"name": "content", "classes": 10, "batch_size": 16, "steps": 60}
    return Step(train_classifier.Settings(**chosen), {}, {"dataset": DATASET})


class TestAttempts:
    def test_what_a_killed_attempt_had_uploaded_is_never_read(self, pair, tmp_path):
        one, two = pair
        (tmp_path / "half.txt").write_text("half")
        one.storage.upload(tmp_path, f"{DATASET.path}/0123456789ab", ["half.txt"])
        assert two.damage(DATASET, content=True) == NOT_BUILT
        assert list(two.records("datasets")) == []
        write(one, DATASET, whole="whole")
        assert read(two, DATASET) == {"whole": "whole"}

    @pytest.mark.parametrize("attempt", [None, "..", "0123456789ab/../x", "", 5, "/etc"])
    def test_a_record_cannot_point_to_another_folder(self, pair, attempt):
        one, two = pair
        write(one, DATASET, a="a")
        rewrite(two, DATASET, lambda record: record.update(attempt=attempt))
        assert two.damage(DATASET, content=True) == DAMAGED


class TestTheCopy:
    def test_a_file_of_several_parts_and_an_empty_one_come_back_as_they_were(self, pair):
        one, two = pair
        parts = os.urandom(storage.PART + 5 * 2**20 + 1)  # S3 has parts of its own, of 10 MB
        with one.publish(DATASET) as attempt:
            write_whole(attempt.folder / "deep" / "empty", "")
            (attempt.folder / "large").write_bytes(parts)
        assert (two.fetch(DATASET) / "large").read_bytes() == parts
        assert (two.folder(DATASET) / "deep" / "empty").read_bytes() == b""

    def test_one_that_is_damaged_on_disk_is_fetched_again(self, pair):
        one, two = pair
        write(one, DATASET, a="as it was", b="b")
        (two.fetch(DATASET) / "a.txt").write_text("AS IT WAS")
        (two.folder(DATASET) / "b.txt").unlink()
        assert two.damage(DATASET, content=True) is None
        assert read(two, DATASET) == {"a": "as it was", "b": "b"}

    def test_it_follows_a_result_that_was_made_anew(self, pair):
        one, two = pair
        write(one, DATASET, a="old", gone="gone")
        assert read(two, DATASET) == {"a": "old", "gone": "gone"}
        one.discard(DATASET)
        assert two.damage(DATASET) == NOT_BUILT
        write(one, DATASET, a="new")
        assert read(two, DATASET) == {"a": "new"}

    def test_altered_content_is_not_kept(self, pair):
        one, two = pair
        write(one, DATASET, a="as it was")
        two.storage.write(lies(two, "a.txt"), b"AS IT WAS")
        with pytest.raises(OSError, match="altered after"):
            two.fetch(DATASET)
        assert not two.folder(DATASET).exists()

    def test_several_that_fetch_at_once_all_find_it_whole(self, pair, node):
        one, _ = pair
        run_in_process([DATASET], one)
        here = [node("shared") for _ in range(6)]
        with ThreadPoolExecutor(6) as threads:
            found = list(threads.map(lambda store: store.damage(DATASET, content=True), here))
        assert found == [None] * 6
        folder = here[0].folder(DATASET)
        assert {path.name for path in folder.iterdir()} == {*one.record(DATASET)["files"], RECORD}
        assert list(folder.parent.iterdir()) == [folder]


class TestCheckpointsOnAnotherNode:
    def test_a_training_goes_on_where_another_node_stopped_to_the_same_bytes(
        self, pair, contents, tmp_path
    ):
        one, two = pair
        folder = Store(tmp_path / "folder")
        step = training()
        run_in_process([step], folder)
        run_in_process([DATASET], one)

        def lose(position, _):
            if position == 60:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(step, one, OFTEN, note=lose)
        assert Checkpoints(two, step).position() == 50
        heard = []
        assert build(step, two, OFTEN, note=lambda at, _: heard.append(at)).kind == "done"
        assert heard == [50, 60]
        one.fetch(step)
        assert contents(one, step) == contents(folder, step)
        assert two.storage.sizes(".checkpoints") == {}
        assert not Checkpoints(two, step).root.exists()

    def test_two_of_an_attempt_are_kept_and_a_damaged_one_is_skipped(self, pair, caplog):
        one, two = pair
        checkpoints = Checkpoints(one, DATASET)
        for at in (10, 20, 30):
            checkpoints.publish(at, lambda to, at=at: (to / "weights").write_text(f"{at:4}"))
        assert not list(checkpoints.attempt.iterdir())  # this node has its room back
        elsewhere = Checkpoints(two, DATASET)
        path = f"{checkpoints.path}/{checkpoints.name}"
        kept = [f"{path}/0000000{at}" for at in (20, 30)]
        assert two.marked(checkpoints.path) == kept
        assert (elsewhere.named(f"{checkpoints.name}/000000030") / "weights").exists()
        one.storage.write(f"{kept[1]}/weights", b"WRNG")
        assert (elsewhere.newest() / "weights").read_text() == "  30"  # the copy that it had
        (two.root / kept[1] / "weights").write_text("WRNG")
        assert (elsewhere.newest() / "weights").read_text() == "  20"
        assert "is skipped: weights was altered" in caplog.text
        with pytest.raises(OSError, match="weights was altered"):
            elsewhere.named(f"{checkpoints.name}/000000030")
        for name in kept:
            one.storage.write(f"{name}/{RECORD}", json.dumps({"files": 5}).encode())
        assert elsewhere.newest() is None


def test_a_report_is_kept_beside_the_results_as_a_page(pair):
    one, two = pair
    report = one.root / "reports" / "amplification-tiny"
    (report / "figures").mkdir(parents=True)
    (report / "index.html").write_text("<p>page</p>")
    (report / "figures" / "a.svg").write_text("<svg/>")
    one.keep(report)
    sizes = {"index.html": 11, "figures/a.svg": 6}
    assert two.storage.sizes("reports/amplification-tiny") == sizes
    base, files = two.storage.file_system("reports/amplification-tiny")
    with files.open_input_stream(f"{base}/index.html") as page:
        assert page.metadata()["Content-Type"] == b"text/html"
