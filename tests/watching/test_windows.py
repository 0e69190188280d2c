"""Windows of steps, whose mean losses are recorded."""

from fitwell.watching.windows import Window


def test_a_window_gives_its_mean_and_the_next_is_longer_in_a_long_run() -> None:
    window = Window()
    window.add(6.0, 2)
    assert window.close(9) is None, "it lasts ten steps"
    window.add(1.0, 5)
    assert window.close(10) == 1.0
    assert window.close(25) is None, "nothing was added"
    window.add(4.0, 2)
    assert window.close(1600) == 2.0
    assert window.ends == 1700
