import { ShapeError } from "../util/errors.ts";
import type { RgbImage } from "./image.ts";
import { FOUNDING_LIMBS, LIMBS } from "./people.ts";
import { isMissing, POSE_HEIGHT, POSE_WIDTH, type KeyPoint, type Pose } from "./pose.ts";

type Colour = readonly [red: number, green: number, blue: number];

/** Limbs in the order of their colours: shoulders, arms, legs, face. */
const DRAWN = LIMBS.slice(0, FOUNDING_LIMBS);

const SHARE = 0.6; // of a limb's colour, so that crossing limbs show through
const THICKNESS = 4 / 512; // half the width of a limb, of the picture's height

/**
 * Draws a pose in OpenPose's colours: a hue for each limb and joint, 20 degrees apart, from red on. What has a missing
 * joint is left out.
 * @param pose in pixels of 384x512
 * @param width of the drawing, which the pose is scaled to
 * @param over a picture of that size to draw on; black without one
 * @throws ShapeError
 */
export function drawSkeleton(
  pose: Pose,
  width: number,
  height: number,
  { over }: { readonly over?: RgbImage } = {},
): RgbImage {
  if (!(Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0))
    throw new ShapeError("drawSkeleton", `${width}x${height} is not a size`);
  if (over && (over.width !== width || over.height !== height))
    throw new ShapeError("drawSkeleton", `the picture is ${over.width}x${over.height}, not ${width}x${height}`);
  const image = { width, height, data: over ? over.data.slice() : new Uint8Array(width * height * 3) };
  const radius = Math.max(1, height * THICKNESS);
  const place = ({ x, y }: KeyPoint): KeyPoint => ({
    x: ((x + 0.5) * width) / POSE_WIDTH - 0.5,
    y: ((y + 0.5) * height) / POSE_HEIGHT - 0.5,
  });
  for (const [limb, [from, to]] of DRAWN.entries()) {
    const [a, b] = [pose[from], pose[to]];
    if (a && b && !isMissing(a) && !isMissing(b)) drawCapsule(image, place(a), place(b), radius, hue(limb), SHARE);
  }
  for (const [joint, point] of pose.entries())
    if (!isMissing(point)) drawCapsule(image, place(point), place(point), radius, hue(joint), 1);
  return image;
}

/** The full colour at `step` of 18 around the circle of hues. */
function hue(step: number): Colour {
  const level = (offset: number) => {
    const sixth = (step / 3 + offset) % 6; // 0…6: rises over one sixth, stays for two, falls over one
    return Math.round(255 * Math.max(0, Math.min(1, sixth, 4 - sixth)));
  };
  return [level(2), level(0), level(4)];
}

/** Blends in all within `radius` of the line from `a` to `b`, its rim smoothed over a pixel. */
function drawCapsule(
  { width, height, data }: RgbImage,
  a: KeyPoint,
  b: KeyPoint,
  radius: number,
  colour: Colour,
  share: number,
): void {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length2 = dx * dx + dy * dy || 1;
  const reach = radius + 1;
  const [left, right] = [Math.min(a.x, b.x) - reach, Math.max(a.x, b.x) + reach];
  const [top, bottom] = [Math.min(a.y, b.y) - reach, Math.max(a.y, b.y) + reach];
  for (let y = Math.max(0, Math.ceil(top)); y <= Math.min(height - 1, bottom); y++)
    for (let x = Math.max(0, Math.ceil(left)); x <= Math.min(width - 1, right); x++) {
      const along = Math.max(0, Math.min(1, ((x - a.x) * dx + (y - a.y) * dy) / length2));
      const distance = Math.hypot(x - a.x - along * dx, y - a.y - along * dy);
      const cover = share * Math.max(0, Math.min(1, radius + 0.5 - distance));
      if (cover === 0) continue;
      const at = (y * width + x) * 3;
      for (const [c, level] of colour.entries()) data[at + c] = Math.round(data[at + c]! * (1 - cover) + level * cover);
    }
}
