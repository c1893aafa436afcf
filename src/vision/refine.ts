import { contourArea } from "./contours.ts";
import type { GrayImage } from "./image.ts";
import { LABEL } from "./labels.ts";
import { fillHoles } from "./morphology.ts";
import { fillPolygon } from "./polygon.ts";
import { findRegionContours } from "./regions.ts";

/** Holes of at most this area, in pixels, become upper clothes. */
const SMALL = 2000;

/**
 * Closes the small holes between upper clothes and arms: whatever these enclose becomes upper clothes unless the hole
 * is larger than 2000 pixels. Does what the published parsing does, its overflow included: the mask of the pixels that
 * keep their label is a sum of bytes, so that an arm inside the border of a large hole counts 255 + 1 = 0 and becomes
 * upper clothes too.
 * @param labels - 0…17
 */
export function closeSmallHoles(labels: GrayImage): GrayImage {
  const padded = pad(labels);
  const isArm = (label: number) => label === LABEL.leftArm || label === LABEL.rightArm;
  const filled = fillHoles({ ...padded, data: padded.data.map((l) => (l === LABEL.upper || isArm(l) ? 255 : 0)) });
  const holes = filled.data.map((set, i) => {
    const label = padded.data[i]!;
    return set !== 0 && label !== LABEL.upper && !isArm(label) ? 1 : 0;
  });
  const large = { ...padded, data: new Uint8Array(holes.length) };
  for (const { points } of findRegionContours({ ...padded, data: holes }))
    if (contourArea(points) > SMALL) fillPolygon(large, points);
  const data = padded.data.map((label, i) => {
    const keeps = (large.data[i]! + (isArm(label) ? 1 : 0)) & 255;
    return keeps !== 0 || filled.data[i] === 0 ? label : LABEL.upper;
  });
  return crop({ ...padded, data });
}

/** A frame of background, one pixel wide: what touches the picture's edge encloses nothing. */
function pad({ width, height, data }: GrayImage): GrayImage {
  const out = new Uint8Array((width + 2) * (height + 2));
  for (let y = 0; y < height; y++) out.set(data.subarray(y * width, (y + 1) * width), (y + 1) * (width + 2) + 1);
  return { width: width + 2, height: height + 2, data: out };
}

function crop({ width, height, data }: GrayImage): GrayImage {
  const out = new Uint8Array((width - 2) * (height - 2));
  for (let y = 1; y < height - 1; y++)
    out.set(data.subarray(y * width + 1, (y + 1) * width - 1), (y - 1) * (width - 2));
  return { width: width - 2, height: height - 2, data: out };
}
