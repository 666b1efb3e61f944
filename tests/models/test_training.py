"""A one-weight network, so that every update can be followed by hand."""

import math

import pytest
import torch
from torch import nn

from models.training import REPORT_EVERY, Recipe, Training, accelerator


def recipe(**changes):
    given = {"steps": 20, "learning_rate": 0.1, "weight_decay": 0.0, "ema_decay": None, "seed": 0}
    return Recipe(**given | changes)


def start(**changes):
    return Training(lambda: nn.Linear(1, 1, bias=False), recipe(**changes), rank=0, workers=1)


def distance(network):
    """A loss with its minimum at weight 3."""
    return (network.weight - 3).square().mean()


def run(training, steps):
    """Take steps and return the weight after each."""
    weights = []
    for _ in range(steps):
        training.update((distance, 1.0))
        weights.append(training.plain.weight.detach().clone())
    return torch.stack(weights).double().ravel()


def published(training):
    return training.finish().weight.item()


def test_averaged_weights_have_their_closed_form():
    decay = 0.9
    training = start(ema_decay=decay, steps=60)
    weights = run(training, 60)
    # The first step's weights are the start; from then on the decay is exact.
    powers = decay ** torch.arange(59, -1, -1).double()
    share = torch.cat([powers[:1], (1 - decay) * powers[1:]])
    assert share.sum() == pytest.approx(1)
    expected = float((share * weights).sum())
    (shadow,) = training.ema.shadow_params
    assert float(shadow) == pytest.approx(expected, rel=1e-5)
    assert published(training) == pytest.approx(expected, rel=1e-5)


def rates_of(**changes):
    """The rate of every update."""
    training, rates = start(**changes), []
    for _ in range(training.recipe.steps):
        rates.append(training.optimizer.param_groups[0]["lr"])
        training.update((distance, 1.0))
    return rates


def test_a_recipe_that_says_no_more_is_adamw_under_one_cycle():
    training = start(steps=30, weight_decay=0.3)
    network = nn.Linear(1, 1, bias=False)
    network.load_state_dict(training.plain.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), 0.1, weight_decay=0.3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=30)
    weights = []
    for _ in range(30):
        distance(network).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        weights.append(network.weight.item())
    assert run(training, 30).tolist() == weights


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        # 2e-4 to 5e-4 is 0.4 to 1 of the peak; after 2 of 20 steps a cosine of 20 steps begins.
        ("warmup_cosine", 20, {0: 0.4, 1: 0.7, 2: 1, 7: (1 + math.sqrt(0.5)) / 2, 12: 0.5}),
        # cos of 0, 60, 90, 120 degrees: 1, 1/2, 0, -1/2.
        ("cosine", 12, {0: 1, 4: 0.75, 6: 0.5, 8: 0.25}),
        ("ramp", 20, {0: 0.25, 1: 0.5, 2: 0.75, 3: 1, 4: 1, 19: 1}),
    ],
)
def test_rates_are_those_on_paper(schedule, steps, expected):
    rates = rates_of(steps=steps, schedule=schedule)
    assert {step: rates[step] / 0.1 for step in expected} == pytest.approx(expected)


def test_momentum_and_decay_of_sgd_add_up_as_on_paper():
    training = start(steps=3, optimizer="sgd", schedule="cosine", weight_decay=0.5)
    weight, velocity, expected = training.plain.weight.item(), 0.0, []
    for step in range(3):
        velocity = 0.9 * velocity + 2 * (weight - 3) + 0.5 * weight
        weight -= 0.05 * (1 + math.cos(math.pi * step / 3)) * velocity
        expected.append(weight)
    assert run(training, 3).tolist() == pytest.approx(expected, rel=1e-4)


def test_gradients_that_are_added_up_are_those_of_the_whole_batch():
    """Of images 1, 2 and 6 the mean square error's gradient, in parts of two and one."""
    data = torch.tensor([[1.0], [2.0], [6.0]])

    def loss(rows):
        return lambda network: (network(rows) - 3).square().mean()

    whole, parts = start(), start()
    for _ in range(5):
        whole.update((loss(data), 1.0))
        parts.update((loss(data[:2]), 2 / 3), (loss(data[2:]), 1 / 3))
    torch.testing.assert_close(parts.plain.weight, whole.plain.weight)
    torch.testing.assert_close(parts._losses, whole._losses)


def test_a_checkpoint_of_another_precision_does_not_fit(tmp_path):
    one = start(precision="bf16")
    run(one, 3)
    one.save(tmp_path)
    with pytest.raises(ValueError, match=r"trained in bf16, this is in fp32\); deleting it"):
        start().load(tmp_path)
    resumed = start(precision="bf16")
    resumed.load(tmp_path)
    assert resumed.step == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adam"}, "optimizer of adamw, sgd, got 'adam'"),
        ({"precision": "fp16"}, "precision of fp32, tf32, bf16, got 'fp16'"),
    ],
)
def test_an_unknown_way_to_train_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        recipe(**changes)


@pytest.mark.parametrize("steps", [11, 50, 125])
def test_reports_come_every_so_often_and_at_the_last_step(steps):
    training, reported = start(steps=steps), []
    for _ in range(steps):
        training.update((distance, 1.0))
        training.report_if_due(lambda step, *_: reported.append(step))
    assert reported == [*range(REPORT_EVERY, steps, REPORT_EVERY), steps]


def test_what_is_reported_is_the_mean_loss_since_the_report_before(tmp_path):
    training, expected, reported = start(steps=100), [], []
    for _ in range(100):
        expected.append(distance(training.plain).item())
        training.update((distance, 1.0))
        training.report_if_due(lambda *told: reported.append(told[1]["loss"]))
    means = [sum(expected[:50]) / 50, sum(expected[50:]) / 50]
    assert reported == pytest.approx(means, rel=1e-5)
    training.write_history(tmp_path / "history.csv")
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3


def test_the_step_whose_loss_is_no_number_is_named():
    training = start(steps=50)
    run(training, 7)
    training.update((lambda network: distance(network) * float("nan"), 1.0))
    run(training, 42)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 8 of 50"):
        training.report_if_due(lambda *_: pytest.fail("reported"))


def test_weights_that_are_no_numbers_are_not_handed_out():
    training = start()
    run(training, 3)
    with torch.no_grad():
        training.plain.weight.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="weights are NaN or infinite after step 3"):
        training.finish()


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [("adamw", "one_cycle"), ("sgd", "cosine"), ("sgd", "ramp")]
)
def test_a_resumed_run_takes_the_same_steps(tmp_path, optimizer, schedule):
    changes = {"optimizer": optimizer, "schedule": schedule, "learning_rate": 0.02}
    whole, first, second = (start(ema_decay=0.9, steps=40, **changes) for _ in range(3))
    weights = run(whole, 40)
    run(first, 17)
    first.save(tmp_path)
    second.load(tmp_path)
    assert second.step == 17
    torch.testing.assert_close(run(second, 23), weights[17:], rtol=0, atol=0)
    assert published(second) == published(whole)


def test_a_checkpoint_of_a_longer_training_does_not_fit(tmp_path):
    longer = start(steps=40)
    run(longer, 30)
    longer.save(tmp_path)
    with pytest.raises(ValueError, match=r"step 30 of 20\); deleting it restarts"):
        start(steps=20).load(tmp_path)


def test_a_worker_that_no_process_group_knows_is_refused():
    with pytest.raises(RuntimeError, match="expected worker 0 of 2"):
        accelerator(rank=0, workers=2)
    assert accelerator(rank=0, workers=1).num_processes == 1
