"""The address of a store: what opens, what is refused, what is said when there is trouble."""

import json
import pickle
import socket

import pytest
import requests

from bench.local import run_in_process
from orchestrator.run.execute import build, is_transient
from orchestrator.run.placement import Placement
from orchestrator.store import storage
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import Store, open_store
from tests.orchestrator.conducted import DATASET, POISON


@pytest.fixture
def lock(object_storage):
    """A function after which the server lets in nobody whom it does not know, which are all."""

    def let_in(unknown):
        place = f"http://{object_storage}/moto-api/reset-auth"
        requests.post(place, data=unknown, headers={"Content-Type": "text/plain"}, timeout=60)

    yield lambda: let_in(b"0")
    let_in(b"inf")


class TestTrouble:
    def test_no_access_is_said_in_a_line_and_not_tried_again(self, pair, lock):
        one, two = pair
        run_in_process([DATASET], one)
        token = one.probe()
        gone = Store(one.address.replace("castle/", "gone/"))
        with pytest.raises(PermissionError, match="NO_SUCH_BUCKET") as caught:
            gone.check_writable(0)
        assert not is_transient(caught.value)
        lock()
        outcome = build(POISON, two, Placement())
        assert (outcome.kind, outcome.transient) == ("failed", False)
        said = f"cannot read the store {two.address}: AWS Error "
        for line in (outcome.message, two.sees(token)):
            assert said in line
            assert line.endswith("Check this machine's credentials.")
            assert "\n" not in line
            assert "made-up" not in line
        with pytest.raises(PermissionError, match=r"^cannot open the store .*ACCESS_DENIED"):
            open_store(one.address)
        with pytest.raises(PermissionError, match=r"^cannot write to the store .*INVALID_ACCESS"):
            one.check_writable(0)

    def test_no_answer_is_said_in_a_line_and_worth_another_try(self, monkeypatch):
        monkeypatch.setattr(storage, "PAUSES", ())
        with socket.create_server(("127.0.0.1", 0)) as held:
            unused_port = held.getsockname()[1]
        away = f"s3://castle/x?endpoint_override=127.0.0.1:{unused_port}&scheme=http&region=x"
        outcome = build(POISON, Store(away), Placement())
        assert (outcome.kind, outcome.transient) == ("failed", True)
        assert outcome.message.startswith(
            f"cannot read the store {away}: AWS Error NETWORK_CONNECTION"
        )
        assert "\n" not in outcome.message


class TestOpening:
    def test_a_folder_is_the_same_however_it_is_written(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        given = {
            "artifacts": tmp_path / "artifacts",
            "./a b": tmp_path / "a b",
            "~/artifacts": tmp_path / "home" / "artifacts",
            str(tmp_path / "x"): tmp_path / "x",
            (tmp_path / "a b%").as_uri(): tmp_path / "a b%",
        }
        for address, root in given.items():
            store = open_store(address)
            assert (store.root, store.address, store.remote) == (root, str(root), False)
            assert open_store(store.address).root == root

    @pytest.mark.parametrize("address", ["", " ", "~no-such-user/x", "caf\udce9"])
    def test_a_folder_that_cannot_be_named_is_refused_in_a_line(self, address):
        with pytest.raises(ValueError, match=r"^--store .*; give [^\n]*\.$"):
            open_store(address)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            (("s3://castle/", "s3://none/"), "in a bucket that does not exist; create the bucket"),
            (("s3://", "s4://"), "Unrecognized filesystem type"),
            (("region=", "regoin="), "Unexpected query parameter in S3 URI: 'regoin'"),
            (("s3://castle/", "s3:///"), "Missing bucket name in S3 URI"),
            (("s3://", "file://"), "--store takes file:///folder with three slashes"),
        ],
        ids=lambda value: value[0] if isinstance(value, tuple) else "",
    )
    def test_what_makes_no_sense_is_refused_in_a_line(self, remote_address, changes, said):
        with pytest.raises(ValueError, match=r"^--store takes|^the store ") as caught:
            open_store(remote_address.replace(*changes))
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "address",
        [
            "s3://name:s3cr3t@castle/x",
            "s3://name@castle/s3cr3t",
            "s3://castle/x?secret_key=s3cr3t",
            "abfs://container:s3cr3t@account.dfs.core.windows.net/x",
            "abfss://container@account.dfs.core.windows.net/x?sig=s3cr3t",
        ],
    )
    def test_an_address_with_a_secret_is_refused_and_not_repeated(self, address):
        with pytest.raises(ValueError, match="takes no user, password or key") as caught:
            open_store(address)
        assert not {"s3cr3t", "cr3t", "castle"} & set(str(caught.value).replace("/", " ").split())

    def test_no_secret_and_no_path_of_this_machine_is_pickled(self, node, tmp_path):
        store = node("one")
        run_in_process([DATASET], store)
        pickled = pickle.dumps((store, store.tune(), Checkpoints(store, DATASET)))
        assert b"made-up" not in pickled
        assert str(store.root).encode() not in pickled
        assert "made-up" not in json.dumps(store.record(DATASET))
        node("two")  # whose own it is there
        assert pickle.loads(pickled)[0].fetch(DATASET).is_relative_to(tmp_path / "two")
