"""The pool of old fakes."""

import torch

from quagga.pipelines.core.game_protocol import Draw
from quagga.pipelines.core.image_pool import ImagePool


def fakes(rows: range) -> torch.Tensor:
    return torch.tensor(list(rows), dtype=torch.float32).view(-1, 1, 1, 1)


def shown(pool: ImagePool, rows: range, minibatch: int) -> list[float]:
    return pool(fakes(rows), Draw(0, rows, minibatch=minibatch)).flatten().tolist()


def test_it_passes_fakes_through_until_it_is_full():
    pool = ImagePool(50)
    assert [shown(pool, range(n, n + 1), 1) for n in range(50)] == [[float(n)] for n in range(50)]


def test_then_half_of_what_it_shows_is_old_and_never_shown_again():
    pool = ImagePool(50)
    seen = [shown(pool, range(n, n + 1), 1)[0] for n in range(2000)]
    old = [value for n, value in enumerate(seen) if value != n]
    assert 0.45 < len(old) / 1950 < 0.55
    assert len(set(old)) == len(old)  # what comes out has left the pool
    stays = [n - value for n, value in enumerate(seen) if value != n]
    assert 70 < sum(stays) / len(stays) < 130  # replaced with probability 1/2 in one of 50 places: 100 on average


def test_its_size_is_kept_for_any_batch():
    for batch in (1, 4, 7, 64):
        pool = ImagePool(50)
        for step in range(200):
            shown(pool, range(step * batch, (step + 1) * batch), batch)
        held = sum(len(lane) for lane in pool.lanes.values())
        assert max(50, batch) <= held < 50 + batch


def test_the_outcome_does_not_depend_on_how_the_minibatch_is_divided():
    whole, parts = ImagePool(6), ImagePool(6)
    for step in range(50):
        first = 4 * step
        together = shown(whole, range(first, first + 4), 4)
        assert together == [value for n in range(first, first + 4) for value in shown(parts, range(n, n + 1), 4)]


def test_size_0_shows_the_newest_only():
    assert [shown(ImagePool(0), range(n, n + 1), 1)[0] for n in range(5)] == [0, 1, 2, 3, 4]


def test_its_state_is_its_content():
    one, two = ImagePool(5), ImagePool(5)
    for n in range(20):
        shown(one, range(n, n + 1), 1)
    two.load_state_dict(one.state_dict())
    assert [shown(one, range(n, n + 1), 1) for n in range(20, 40)] == [
        shown(two, range(n, n + 1), 1) for n in range(20, 40)
    ]


def test_after_a_resume_old_fakes_join_the_new_ones_whatever_their_precision():
    one, two = ImagePool(2), ImagePool(2)
    for n in range(2):
        one(fakes(range(n, n + 1)).to(torch.bfloat16), Draw(0, [n], minibatch=1))
    two.load_state_dict(one.state_dict())
    results = [two(fakes(range(n, n + 1)).double(), Draw(0, [n], minibatch=1)) for n in range(2, 30)]
    assert {result.dtype for result in results} == {torch.float64}
    assert any(result.item() < 2 for result in results)
