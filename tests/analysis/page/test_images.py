import numpy as np
import pytest

from analysis.page.images import change as difference
from analysis.page.images import grid
from analysis.page.stamps import strip


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
    found = strip({"none": CLEAN, "badnets1": image(10, 20, 30, 255), "wanet": warped}).pictures
    assert [one.name for one in found] == ["Clean", "BadNets-1", "WaNet"]
    assert [len(one.images) for one in found] == [1, 1, 2]
    assert found[-1].small == "the change, ×12"


def test_without_the_clean_image_or_with_another_size_there_is_no_change():
    warped = image(0, 20, 35, 40)
    for given in ({"wanet": warped}, {"none": np.zeros((1, 3, 3, 1), np.uint8), "wanet": warped}):
        assert len(strip(given).pictures[-1].images) == 1


def test_grids_keep_pixels_and_refuse_other_shapes():
    images = np.zeros((3, 8, 8, 3), np.uint8)
    assert grid(images, 2, 2) == grid(images, 2, 2)
    with pytest.raises(ValueError, match="uint8"):
        grid(images.astype(float), 2, 2)
    with pytest.raises(ValueError, match="1 or 3"):
        grid(images[..., :2], 2, 2)
