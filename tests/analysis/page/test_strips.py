import numpy as np

from analysis.page.strips import difference, strip


def image(*values):
    return np.array(values, np.uint8).reshape(1, 2, 2, -1)


CLEAN = image(10, 20, 30, 40)


def test_a_patch_has_no_picture_of_its_change():
    assert difference(CLEAN, image(10, 20, 30, 255)) == (None, 0)
    assert difference(CLEAN, CLEAN) == (None, 0)


def test_a_change_all_over_is_shown_around_grey_and_enlarged():
    change, factor = difference(CLEAN, image(0, 20, 35, 40))
    assert factor == 127 // 10
    assert change.ravel().tolist() == [128 - 120, 128, 128 + 60, 128]
    change, factor = difference(CLEAN, image(255, 220, 30, 0))
    assert factor == 1
    assert change.ravel().tolist() == [255, 255, 128, 88]


def test_colors_of_one_pixel_count_as_one():
    clean = np.zeros((1, 2, 2, 3), np.uint8)
    stamped = clean.copy()
    stamped[0, 0, 0] = 9, 9, 9
    assert difference(clean, stamped) == (None, 0)
    stamped[0, 1, 1, 2] = 9
    assert difference(clean, stamped)[1] == 127 // 9


def test_triggers_keep_their_order_and_names():
    warped = image(0, 20, 35, 40)
    found = strip({"none": CLEAN, "badnets1": image(10, 20, 30, 255), "wanet": warped})
    assert [one["name"] for one in found] == ["Clean", "BadNets-1", "WaNet"]
    assert [bool(one["change"]) for one in found] == [False, False, True]


def test_without_the_clean_image_or_with_another_size_there_is_no_change():
    warped = image(0, 20, 35, 40)
    assert strip({"wanet": warped})[0]["change"] is None
    large = np.zeros((1, 4, 4, 1), np.uint8)
    assert strip({"none": CLEAN, "wanet": large})[1]["change"] is None
    assert strip({}) == []
