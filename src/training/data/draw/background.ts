import type { Stream } from "../random.ts";
import { darker, hsl, lighter, mix } from "./colour.ts";
import type { Skeleton } from "./pose.ts";
import { FRAME_HEIGHT, FRAME_WIDTH, type Canvas, type Path, type Rgb } from "./raster.ts";
import { ellipse, lerp, turned } from "./shapes.ts";

/** A wall and perhaps a floor. */
export interface Background {
  readonly top: Rgb;
  readonly bottom: Rgb;
  readonly floor: Rgb | undefined;
  /** Where the floor begins. */
  readonly horizon: number;
  readonly wall: "plain" | "panels" | "window" | "disc";
}

export function drawBackground(stream: Stream): Background {
  const hue = stream.uniform();
  const top = hsl(hue, stream.between(0.05, 0.55), stream.between(0.55, 0.93));
  const bottom = hsl(hue + stream.between(-0.06, 0.06), stream.between(0.05, 0.5), stream.between(0.6, 0.93));
  const wood = hsl(0.08, 0.3, stream.between(0.45, 0.7));
  return {
    top,
    bottom,
    floor: stream.chance(0.6) ? mix(darker(bottom, 0.2), wood, stream.between(0, 0.5)) : undefined,
    horizon: stream.between(405, 450),
    wall: stream.weighted({ plain: 5, panels: 1.2, window: 1, disc: 1 }),
  };
}

const rectangle = (x: number, y: number, width: number, height: number): Path =>
  turned([
    { x, y },
    { x: x + width, y },
    { x: x + width, y: y + height },
    { x, y: y + height },
  ]);

export function paintBackground(canvas: Canvas, background: Background, { legs, scale }: Skeleton): void {
  const { top, bottom, floor, horizon, wall } = background;
  canvas.clear((_, y, out) => {
    for (let c = 0; c < 3; c++) out[c] = lerp(top[c]!, bottom[c]!, y / FRAME_HEIGHT);
  });
  if (wall === "panels")
    canvas.fill(
      [0, 2, 4].map((i) => rectangle((i * FRAME_WIDTH) / 6, 0, FRAME_WIDTH / 6, FRAME_HEIGHT)),
      darker(bottom, 0.3),
      { opacity: 0.12 },
    );
  if (wall === "window")
    canvas.fill([rectangle(24, 40, 92, 150), rectangle(268, 40, 92, 150)], lighter(top, 0.6), { opacity: 0.55 });
  if (wall === "disc")
    canvas.fill([ellipse({ x: FRAME_WIDTH / 2, y: 190 }, 150, 150, 0, 64)], lighter(top, 0.5), { opacity: 0.5 });
  if (floor) {
    canvas.fill([rectangle(0, horizon, FRAME_WIDTH, FRAME_HEIGHT - horizon)], floor);
    canvas.fill([rectangle(0, horizon - 5, FRAME_WIDTH, 5)], lighter(bottom, 0.35), { opacity: 0.8 });
  }
  const x = (legs.right.end.x + legs.left.end.x) / 2;
  const y = Math.max(legs.right.end.y, legs.left.end.y) + 24 * scale;
  for (const size of [1, 0.85, 0.7])
    canvas.fill([ellipse({ x, y }, 74 * size, 11 * size)], [0.1, 0.1, 0.14], { opacity: 0.1 });
}
