import type { GrayImage } from "../../src/vision/image.ts";
import { LABEL } from "../../src/vision/labels.ts";
import type { KeyPoint, Pose } from "../../src/vision/pose.ts";
import { randomNumbers } from "./blobs.ts";

const [WIDTH, HEIGHT] = [384, 512];

/** Random choices and strokes of labels on an empty map. */
function canvas(seed: number) {
  const random = randomNumbers(seed + 1);
  const labels: GrayImage = { width: WIDTH, height: HEIGHT, data: new Uint8Array(WIDTH * HEIGHT) };
  const paint = (label: number, cx: number, cy: number, rx: number, ry: number) => {
    for (let y = Math.max(0, Math.ceil(cy - ry)); y <= Math.min(HEIGHT - 1, cy + ry); y++) {
      const half = rx * Math.sqrt(1 - ((y - cy) / ry) ** 2);
      const [from, to] = [Math.max(0, Math.ceil(cx - half)), Math.min(WIDTH - 1, Math.floor(cx + half))];
      if (from <= to) labels.data.fill(label, y * WIDTH + from, y * WIDTH + to + 1);
    }
  };
  const stroke = (label: number, a: KeyPoint, b: KeyPoint, radius: number, from = 0, to = 1) => {
    const steps = Math.ceil(Math.hypot(a.x - b.x, a.y - b.y));
    for (let t = from; t <= to; t += 2 / steps)
      paint(label, a.x + t * (b.x - a.x), a.y + t * (b.y - a.y), radius, radius);
  };
  const between = (least: number, most: number) => least + random() * (most - least);
  return { labels, paint, stroke, between, chance: (share: number) => random() < share };
}

type Canvas = ReturnType<typeof canvas>;

/** A person made of ellipses and strokes in any pose, with or without hat, bag, sleeves, skirt; some joints missing. */
export function figure(seed: number): { readonly labels: GrayImage; readonly pose: Pose } {
  const made = canvas(seed);
  const { labels, paint, between, chance } = made;
  const scale = between(0.6, 1.1);
  const pose = joints(made, scale);
  dressed(made, pose, scale);
  headed(made, pose[1]!, scale);
  if (chance(0.5)) paint(LABEL.bag, between(90, 300), between(150, 350), between(8, 40), between(8, 40));
  for (let speck = Math.floor(between(0, 4)); speck > 0; speck--)
    paint(Math.floor(between(1, 19)), between(0, WIDTH), between(0, HEIGHT), 3, 3);
  const missing = chance(0.4) ? Math.floor(between(1, 6)) : 0;
  for (let k = 0; k < missing; k++) pose[Math.floor(between(0, 18))] = { x: 0, y: 0 };
  return { labels, pose };
}

function joints({ between }: Canvas, scale: number): KeyPoint[] {
  const at = (from: KeyPoint, length: number, angle: number): KeyPoint => ({
    x: from.x + length * Math.sin(angle),
    y: from.y + length * Math.cos(angle),
  });
  const neck = { x: between(150, 230), y: between(70, 150) };
  const hip = { x: neck.x + between(-10, 10), y: neck.y + 140 * scale };
  const pose: KeyPoint[] = Array.from({ length: 18 }, () => ({ x: 0, y: 0 }));
  pose[1] = neck;
  for (const [side, shoulder, hipJoint] of [
    [-1, 2, 8],
    [1, 5, 11],
  ] as const) {
    pose[shoulder] = { x: neck.x + side * 40 * scale, y: neck.y + 10 };
    pose[shoulder + 1] = at(pose[shoulder], 75 * scale, side * between(0, 2.6));
    pose[shoulder + 2] = at(pose[shoulder + 1]!, 65 * scale, side * between(-1, 3));
    pose[hipJoint] = { x: hip.x + side * 22 * scale, y: hip.y };
    pose[hipJoint + 1] = at(pose[hipJoint], 95 * scale, side * between(-0.1, 0.3));
    pose[hipJoint + 2] = at(pose[hipJoint + 1]!, 95 * scale, side * between(-0.1, 0.2));
  }
  return pose;
}

function dressed({ paint, stroke, between, chance }: Canvas, pose: readonly KeyPoint[], scale: number): void {
  const neck = pose[1]!;
  const hip = { x: (pose[8]!.x + pose[11]!.x) / 2, y: pose[8]!.y };
  const dress = chance(0.3);
  const skirt = !dress && chance(0.4);
  const top = dress ? LABEL.dress : LABEL.upper;
  const bare = dress || skirt || chance(0.2);
  for (const [joint, leg, shoe] of [
    [8, LABEL.rightLeg, LABEL.rightShoe],
    [11, LABEL.leftLeg, LABEL.leftShoe],
  ] as const) {
    const [thigh, knee, ankle] = [pose[joint]!, pose[joint + 1]!, pose[joint + 2]!];
    stroke(bare ? leg : LABEL.pants, thigh, knee, 17 * scale);
    stroke(bare ? leg : LABEL.pants, knee, ankle, 14 * scale);
    paint(shoe, ankle.x, ankle.y + 8, 15 * scale, 9 * scale);
  }
  if (skirt) paint(LABEL.skirt, hip.x, hip.y + 30 * scale, 45 * scale, 55 * scale);
  if (dress) paint(top, hip.x, hip.y + 30 * scale, 55 * scale, 80 * scale);
  if (!chance(0.03)) stroke(top, { x: neck.x, y: neck.y + 30 }, hip, 42 * scale);
  const sleeve = between(0, 2.2);
  for (const [joint, skin] of [
    [2, LABEL.rightArm],
    [5, LABEL.leftArm],
  ] as const) {
    const [shoulder, elbow, wrist] = [pose[joint]!, pose[joint + 1]!, pose[joint + 2]!];
    stroke(skin, shoulder, elbow, 13 * scale);
    stroke(skin, elbow, wrist, 11 * scale, 0, 1.35);
    stroke(top, shoulder, elbow, 16 * scale, 0, Math.min(1, sleeve));
    if (sleeve > 1) stroke(top, elbow, wrist, 14 * scale, 0, Math.min(1, sleeve - 1));
  }
  if (chance(0.3)) paint(LABEL.belt, hip.x, hip.y - 5, 42 * scale, 5);
  if (chance(0.2)) paint(LABEL.scarf, neck.x, neck.y + 10, 25 * scale, 14 * scale);
}

function headed({ paint, stroke, between, chance }: Canvas, neck: KeyPoint, scale: number): void {
  stroke(LABEL.neck, neck, { x: neck.x, y: neck.y - 20 }, 12 * scale);
  const head = { x: neck.x + between(-6, 6), y: neck.y - 45 * scale };
  paint(LABEL.hair, head.x, head.y, 34 * scale, 40 * scale);
  if (chance(0.4)) paint(LABEL.hair, head.x + 28, head.y + 45, 14, 55); // long hair over the shoulder
  paint(LABEL.face, head.x, head.y + 5, 25 * scale, 32 * scale);
  if (chance(0.3)) paint(LABEL.sunglasses, head.x, head.y, 22 * scale, 6 * scale);
  if (chance(0.4)) paint(LABEL.hat, head.x, head.y - 30 * scale, 40 * scale, 16 * scale);
}
