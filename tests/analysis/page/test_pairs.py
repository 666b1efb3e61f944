from analysis.page.pairs import curves, from_to, reported, ways
from analysis.rows import frame, values
from analysis.statistics.intervals import Estimate


def row(image_set="training", weight=None, sampler=None, share=0.5, seed=0):
    return {
        "image_set": image_set,
        "guidance_weight": weight,
        "sampler": sampler,
        "share": share,
        "seed": seed,
        "poison_ratio": 0.01,
    }


DRAWN = [
    row("generation", weight, sampler, share=0.1)
    for weight in (1.0, 5.0, 9.0)
    for sampler in ("sde", "ddim")
]
ROWS = frame([row(), *DRAWN])


def test_the_papers_weight_with_ddim_comes_first_then_the_highest():
    found = [(way["guidance_weight"], way["sampler"]) for way in ways(ROWS)]
    assert found[:3] == [(5.0, "ddim"), (5.0, "sde"), (9.0, "ddim")]
    assert values(reported(ROWS), "guidance_weight") == [5.0]
    assert values(reported(ROWS), "image_set") == ["training", "generation"]
    assert len(reported(frame([row()]))) == 1


def test_a_number_goes_from_the_training_set_to_the_generations():
    assert from_to(reported(ROWS), "share") == "50.0% → 10.0%"
    assert from_to(frame([row(share=None)]), "share", "{:.2f}".format) == "– → –"


def test_each_set_is_a_curve_and_several_seeds_are_dots():
    def measure(rows, column):
        return Estimate(*[rows[column].iloc[0]] * 3)

    one = curves(frame([row(), DRAWN[3]]), "share", measure)
    found = [(each.label, each.dots) for each in one]
    assert found == [("training set", []), ("generations", [])]
    several = curves(frame([row(), row(seed=1, share=None), *DRAWN]), "share", measure)
    assert [curve.label for curve in several][:2] == ["training set", "w = 5, DDIM"]
    assert several[0].dots == [(1.02 * 0.01, 0.5)]
