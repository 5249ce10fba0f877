"""Worth labelling first among a million pictures: what a look, other weights and the first page of the queue cost.

usage: bench_prelabel_worth.py [--pictures N] [--labelled N]    Drawn numbers, no pictures: 3 predictions and a descriptor each.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from annotation import worth as rules
from app.events import Finished
from app.services import onnx, workspace, worth
from app.services.workspace import Workspace
from app.services.worth import Ask, Weights
from storage import record
from storage.queries import Query

PART = 50_000
MODELS = (b"1" * 32, b"2" * 32)
CAMERAS = 500


def fill(ws: Workspace, n: int, labelled: int) -> int:
    """Rows as ingest, measure and two pre-label jobs leave them, written straight; the dataset's id."""
    onnx.add_demo(ws)  # its card serves both models; nothing is run
    rng = np.random.default_rng(1)
    looks = rng.integers(20, 235, (CAMERAS, rules.WIDTH))
    with ws.db.write() as conn:
        agent, act = ws.person.id, record.start_activity(conn, "ingest", ws.person.id, {}, open_=False)
        runs = [
            record.start_activity(conn, "prelabel", agent, {}, model_digest=m, open_=False) for m in MODELS
        ]
        labels = list(record.label_ids(conn, ["person", "helmet", "no_helmet", "large_coal"]).values())
        root = conn.exec_driver_sql(
            "INSERT INTO source_root (code, location) VALUES ('r', x'2f') RETURNING id"
        ).scalar_one()
        data = conn.exec_driver_sql(
            "INSERT INTO dataset (uid, name, schema_code, created_ms) VALUES (zeroblob(16), 'd', 'coal_mine', 0) RETURNING id"
        ).scalar_one()
        for k, m in enumerate(MODELS):
            conn.exec_driver_sql(
                "INSERT INTO onnx_model (name, sha256, card, added_ms) SELECT ?, ?, card, 0 FROM onnx_model LIMIT 1",
                (f"m{k}", m),
            )
    for low in range(1, n + 1, PART):
        ids = range(low, min(n, low + PART - 1) + 1)
        size = len(ids)
        signs = np.clip(
            looks[rng.integers(0, CAMERAS, size)] + rng.normal(0, 12, (size, rules.WIDTH)), 0, 255
        ).astype(np.uint8)
        with ws.db.write(durable=False) as conn:
            many(conn, "INSERT INTO asset (id, uid, kind, blake3, sha256, size_bytes, width_px, height_px, orientation, media_type, source_root_id, path, path_hash, mtime_ns, activity_id) VALUES (?, ?, 0, ?, ?, 9, 1920, 1080, 1, 'image/jpeg', ?, ?, ?, 0, ?)",
                 [(a, a.to_bytes(16, "big"), a.to_bytes(32, "big"), a.to_bytes(32, "big"), root, f"{a:07d}.jpg", a, act) for a in ids])  # fmt: skip
            many(conn, "INSERT INTO item (dataset_id, asset_id, split, review, state, n_truth, n_pred, born) VALUES (?, ?, 0, 0, ?, ?, 3, 1)",
                 [(data, a, 2 if a <= labelled else 1, int(a <= labelled)) for a in ids])  # fmt: skip
            many(conn, "INSERT INTO measure (asset_id, brightness, contrast, sharpness, dhash, descriptor, phash, glare, haze) VALUES (?, 9, 9, 9, 0, ?, 0, 0, 0)",
                 [(a, signs[i].tobytes()) for i, a in enumerate(ids)])  # fmt: skip
            kinds, corner = (
                rng.choice(4, (size, 3), p=[0.6, 0.3, 0.02, 0.08]),
                rng.integers(0, 900_000, (size, 3, 2)),
            )
            score = rng.integers(250_000, 990_000, (size, 3))
            rows = []
            for i, a in enumerate(ids):
                for j in range(3):
                    x, y = (int(v) for v in corner[i, j])
                    rows.append(
                        (
                            (3 * a + j).to_bytes(16, "big"),
                            a,
                            labels[kinds[i, j]],
                            x,
                            y,
                            x + 90_000,
                            y + 180_000,
                            int(score[i, j]),
                            runs[j == 2],
                            1,
                        )
                    )
            many(conn, "INSERT INTO annotation (uid, asset_id, label_id, kind, x0, y0, x1, y1, score_micro, origin, activity_id, born) VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, 1, ?, ?)", rows)  # fmt: skip
    with ws.db.write() as conn:
        for k, label in enumerate(labels):
            for origin, share in ((0, labelled), (1, n)):
                conn.exec_driver_sql(
                    "INSERT INTO counter (dataset_id, label_id, origin, state, n) VALUES (?, ?, ?, 0, ?)",
                    (data, label, origin, share // 4**k),
                )
        for state, k in ((1, n - labelled), (2, labelled)):
            conn.exec_driver_sql(
                "INSERT INTO counter (dataset_id, label_id, origin, state, n) VALUES (?, 0, 0, ?, ?)",
                (data, state, k),
            )
    return int(data)


def many(conn: Any, sql: str, rows: list[tuple[Any, ...]]) -> None:
    """Rows by one statement."""
    if rows:
        conn.exec_driver_sql(sql, rows)


def timed(name: str, run: Callable[[], Any]) -> Any:
    """Print seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    out = run()
    print(
        f"  {name}: {time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU)", flush=True
    )
    return out


def done(work: Any) -> dict[str, Any]:
    """The result of work run to its end."""
    (end,) = [e for e in work if isinstance(e, Finished)]
    return dict(end.result)


def choose(n: int) -> None:
    """The diversity alone."""
    rng = np.random.default_rng(0)
    looks = rng.integers(20, 235, (CAMERAS, rules.WIDTH))
    signs = np.empty((n, rules.WIDTH), np.uint8)
    for low in range(0, n, PART):
        part = signs[low : low + PART]
        part[:] = np.clip(looks[rng.integers(0, CAMERAS, len(part))] + rng.normal(0, 12, part.shape), 0, 255)
    chosen = timed(
        f"{rules.CENTRES} chosen of {n}, each the farthest from all before",
        lambda: rules.spread(signs, signs[: rules.LANDMARKS], rules.CENTRES),
    )
    timed("distances of all to all chosen", lambda: rules.nearest(signs, signs[chosen.places]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--labelled", type=int, default=20_000)
    args, _ = parser.parse_known_args()
    n = args.pictures
    print(
        f"worth labelling first, {n} pictures ({args.labelled} labelled), {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    choose(n)
    with tempfile.TemporaryDirectory() as folder:
        ws = workspace.create(str(Path(folder) / "W"), person="bench")
        data = timed("(drawing the record)", lambda: fill(ws, n, args.labelled))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for event in timed(
            "a look by one model and another",
            lambda: [done(worth.run(ws, Ask("d", "m0", "m1"), measure=False))],
        ):
            print(
                f"    {event['pictures']} in the queue, {event['not_seen_by_both']} not seen by both, {event['not_measured']} not measured"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"    memory at most {peak / 1024:.0f} MB ({(peak - before) / 1024:.0f} MB more than before it)"
        )
        timed("other weights", lambda: done(worth.again(ws, "d", Weights(1, 1, 3, 1))))
        timed("the first page of the queue", lambda: worth.queue(ws, data, 20))
        timed("how many wait", lambda: worth.count(ws, data))
        timed("the way from picture to picture", lambda: worth.order(ws, Query(data)))
        *_, parts = timed("the parts for trying weights", lambda: list(worth.parts(ws, data)))
        timed("the first ten by tried weights", lambda: parts.first(Weights(1, 0, 2, 3), 10))
        ws.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
