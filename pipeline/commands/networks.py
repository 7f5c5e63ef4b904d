"""`facetracks networks`: size and speed of each landmark network, beside the paper's Table 7."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from typing import Final

import torch
from tqdm import tqdm

from models.landmarks.networks.speed import NetworkCost, measure_network
from pipeline.text_files import text_table

#: Millions of parameters, MB, frames a second on an Intel Xeon E5 3.5 GHz and a GTX 1080 Ti.
_TABLE_7: Final = {
    "2d": (3.8, 15, 178, 285),
    "3d": (11.1, 43, 40, 205),
    "2drnn": (14.2, 55, 60, 252),
    "3drnn": (17.4, 67, 36, 205),
    "2dfcrnn": (10.2, 40, 14, 104),
    "3dfcrnn": (14.9, 58, 11, 99),
}


def run(args: argparse.Namespace) -> int:
    """Measures and prints; returns 0."""
    torch.set_num_threads(args.threads)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    load = os.getloadavg()[0]
    measured: dict[str, list[NetworkCost]] = {}
    for name in tqdm(args.network, "measuring", unit="network", leave=False):
        measured[name] = [
            measure_network(name, device=device, windows=args.windows, seconds=args.seconds)
            for device in devices
        ]
    if args.json:
        print(json.dumps(_report(measured, devices, args.threads, load), indent=2))
    else:
        print(_table(measured, devices))
        print(
            f"\nwindows/s on {args.threads} CPU threads, {args.windows} windows per call; load "
            f"average before: {load:.1f}.\nfast: batch norms folded, channels-last, frames "
            "read once for all their windows; taps: fast, with\nthree 2D convolutions for each "
            "3D one. Table 7: frames/s on a Xeon E5 at 3.5 GHz / a GTX 1080 Ti."
        )
    return 0


def _report(
    measured: dict[str, list[NetworkCost]], devices: list[str], threads: int, load: float
) -> dict[str, object]:
    rows = []
    for name, costs in measured.items():
        row = dataclasses.asdict(costs[0])
        speeds = [cost.windows_a_second for cost in costs]
        row["windows_a_second"] = dict(zip(devices, speeds, strict=True))
        if name in _TABLE_7:
            keys = ("parameters_millions", "size_mb", "cpu_fps", "gpu_fps")
            row["table_7"] = dict(zip(keys, _TABLE_7[name], strict=True))
        rows.append(row)
    return {"threads": threads, "load_average_before": load, "networks": rows}


def _table(measured: dict[str, list[NetworkCost]], devices: list[str]) -> str:
    forms = ("plain", "fast", "taps")
    speeds = [f"{device} {form}" for device in devices for form in forms]
    head = ["network", "parameters", "MB", "GMAC", *speeds, "Table 7: M", "MB", "FPS CPU / GPU"]
    rows = []
    for name, costs in measured.items():
        cost = costs[0]
        cells = [name, f"{cost.parameters:,}", f"{cost.size_mb:.1f}", f"{cost.gmac:.3f}"]
        for of_device in costs:
            rates = [of_device.windows_a_second.get(form) for form in forms]
            cells += [f"{rate:.1f}" if rate else "-" for rate in rates]
        if name in _TABLE_7:
            millions, size, cpu, gpu = _TABLE_7[name]
            rows.append([*cells, f"{millions}", f"{size}", f"{cpu} / {gpu}"])
        else:
            rows.append([*cells, "", "", ""])
    return text_table(head, rows)
