"""Timing and results that the PyTorch counterparts share. Weights and inputs are random: only times are compared."""
import argparse
import json
import pathlib
import statistics
import time

import torch


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=5)
    return parser


def once(run, device):
    """Milliseconds of one call, by the clock and of the processor (all threads)."""
    if device == "cuda":
        torch.cuda.synchronize()
    start, before = time.perf_counter(), time.process_time()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1000, (time.process_time() - before) * 1000


@torch.no_grad()
def round_robin(candidates, device, rounds):
    """Median and quartiles of named functions, which take turns; one untimed call of each before."""
    times = {name: [] for name in candidates}
    for count in range(rounds + 1):
        for name, run in candidates.items():
            spent = once(run, device)
            if count > 0:
                times[name].append(spent)
    return {name: summary(values) for name, values in times.items()}


def summary(times):
    values, processor = zip(*times)
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    lower, median, upper = (round(value, 3) for value in quartiles)
    spent = round(statistics.median(processor), 3)
    return {"median": median, "lower": lower, "upper": upper, "min": min(values), "rounds": len(values), "processor": spent}


def write(name, options, rows, **facts):
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    result = {"torch": torch.__version__, "device": device, "dtype": options.dtype, **facts, "rows": rows}
    path = pathlib.Path(__file__).parent.parent / "results" / f"torch-{name}-{options.device}-{options.dtype}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
