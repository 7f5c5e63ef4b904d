import numpy as np
import pytest

from models.synthesis.filming import Filming


@pytest.fixture
def frames():
    shade = np.linspace(40, 200, 64)[:, None, None].repeat(64, 1).repeat(3, 2)
    return [shade.astype(np.uint8)] * 6


def test_light_and_noise_are_what_they_say(frames):
    seen = Filming(light=0.5, noise=4.0).film(frames, 25.0, np.random.default_rng(0))
    off = np.stack(seen).astype(float) - 0.5 * np.stack(frames)
    assert off.mean() == pytest.approx(-0.5, abs=0.2)  # pixels are cut to whole numbers
    assert off.std() == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize(("encoder", "good", "poor"), [("libx264", 18, 45), ("mpeg4", 2, 31)])
def test_an_encoder_costs_quality_and_no_frame(frames, encoder, good, poor):
    def error(quality):
        filming = Filming(1.0, 3.0, encoder, quality)
        one, two = (filming.film(frames, 25.0, np.random.default_rng(0)) for _ in range(2))
        assert np.array_equal(one, two)
        assert len(one) == len(frames)
        clean = np.stack(Filming(1.0, 3.0).film(frames, 25.0, np.random.default_rng(0)))
        return np.abs(np.stack(one).astype(float) - clean).mean()

    assert error(good) < error(poor)


def test_drawn_filmings_differ_and_repeat():
    drawn = [Filming.drawn(np.random.default_rng(seed)) for seed in range(30)]
    assert drawn == [Filming.drawn(np.random.default_rng(seed)) for seed in range(30)]
    assert {filming.encoder for filming in drawn} == {"", "libx264", "mpeg4"}
    assert len({filming.noise for filming in drawn}) == 30
    assert all(0.3 <= filming.light <= 1.0 for filming in drawn)
