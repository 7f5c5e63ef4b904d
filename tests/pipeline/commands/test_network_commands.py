"""`facetracks networks` and `facetracks evaluate codecs`."""

import json


def test_networks_beside_table_7(facetracks) -> None:
    arguments = (
        "--network",
        "2d",
        "3d",
        "2dfcn",
        "--threads",
        1,
        "--windows",
        1,
        "--seconds",
        1e-9,
    )
    ended = facetracks("networks", *arguments, "--json")
    assert ended.status == 0, ended.err
    report = json.loads(ended.out)
    assert report["threads"] == 1
    two, three, plain = report["networks"]
    assert (two["parameters"], three["parameters"]) == (3_810_184, 11_139_656)
    assert round(two["gmac"], 3) == 0.081
    assert round(three["gmac"], 3) == 0.718
    assert three["table_7"] == {
        "parameters_millions": 11.1,
        "size_mb": 43,
        "cpu_fps": 40,
        "gpu_fps": 205,
    }
    assert "table_7" not in plain
    assert set(two["windows_a_second"]["cpu"]) == {"plain", "fast"}
    assert set(three["windows_a_second"]["cpu"]) == {"plain", "fast", "taps"}
    assert all(rate > 0 for rate in three["windows_a_second"]["cpu"].values())

    table = facetracks("networks", *arguments).out
    assert "3,810,184" in table
    assert "178 / 285" in table


def test_decoders(facetracks) -> None:
    ended = facetracks("evaluate", "codecs", "--maps", 50, "--json")
    assert ended.status == 0, ended.err
    errors = json.loads(ended.out)["mean_error_px"]
    assert errors["none"]["fractional"] < 1e-3 < errors["none"]["argmax"]
    table = facetracks("evaluate", "decoders", "--maps", 50).out
    assert "true sigma 2.5" in table
    assert f"{errors['none']['argmax']:.4f}" in table


def test_wrong_numbers(facetracks) -> None:
    ended = facetracks("evaluate", "decoders", "--maps", 0)
    assert (ended.status, "--maps: got '0'" in ended.err) == (2, True)
    ended = facetracks("networks", "--windows", 0)
    assert (ended.status, "--windows" in ended.err) == (2, True)
