import { LABEL } from "../../../vision/labels.ts";
import type { Point } from "../../../vision/point.ts";
import { darker } from "./colour.ts";
import { armRadii, legRadii, limbLocator, radiusAt, torsoWidth, type OnLimb, type Radii } from "./measure.ts";
import { handTip, onHead, onTorso, outward, SIDES, type Limb, type Side, type Skeleton } from "./pose.ts";
import type { Canvas, Path, Rgb, Shader } from "./raster.ts";
import { between, capsule, chain, curve, distance, ellipse, stroke, turned, type Ring } from "./shapes.ts";

/** Skin around a limb, darker at its edges. */
function limbSkin(limb: Limb, radii: Radii, skin: Rgb): Shader {
  const locate = limbLocator(limb);
  const place: OnLimb = { along: 0, aside: 0 };
  return (x, y, out) => {
    locate(x, y, place);
    const share = place.aside / radiusAt(radii, place.along);
    const light = 1.02 - 0.16 * Math.min(1.2, share * share);
    for (let c = 0; c < 3; c++) out[c] = skin[c]! * light;
  };
}

export const legLabel = (side: Side): number => (side === "left" ? LABEL.leftLeg : LABEL.rightLeg);
export const armLabel = (side: Side): number => (side === "left" ? LABEL.leftArm : LABEL.rightArm);
const shoeLabel = (side: Side) => (side === "left" ? LABEL.leftShoe : LABEL.rightShoe);

const ring = (point: Point, radius: number): Ring => ({ ...point, radius });

export function paintLegs(canvas: Canvas, skeleton: Skeleton, skin: Rgb): void {
  const radii = legRadii(skeleton);
  for (const side of SIDES) {
    const limb = skeleton.legs[side];
    const calf = ring(between(limb.middle, limb.end, 0.35), radii.middle * 0.97);
    const rings = [ring(limb.root, radii.root), ring(limb.middle, radii.middle), calf, ring(limb.end, radii.end)];
    const foot = ring(between(limb.middle, limb.end, 1.12), radii.end);
    canvas.fill(chain([...rings, foot]), limbSkin(limb, radii, skin), { label: legLabel(side) });
  }
}

export type Shoe = "low" | "boot";

export function paintShoes(canvas: Canvas, { legs, scale }: Skeleton, shoe: Shoe, colour: Rgb): void {
  for (const side of SIDES) {
    const { end, middle } = legs[side];
    const out = outward(side);
    const heel = { x: end.x, y: end.y + 17 * scale };
    const toe = { x: end.x + out * 9 * scale, y: end.y + 23 * scale };
    const shaft = between(middle, end, 0.75);
    const paths = [
      capsule(ring(heel, 11.5 * scale), ring(toe, 9.5 * scale)),
      capsule(ring(shoe === "boot" ? shaft : { x: end.x, y: end.y + 6 * scale }, 12 * scale), ring(heel, 11 * scale)),
    ];
    canvas.fill(paths, colour, { label: shoeLabel(side) });
    const sole = [
      { x: heel.x - out * 10 * scale, y: heel.y + 10.5 * scale },
      { x: toe.x + out * 8 * scale, y: toe.y + 8.5 * scale },
    ];
    canvas.fill(stroke(sole, 3.5 * scale), darker(colour, 0.55), { label: shoeLabel(side) });
  }
}

/** Neck and chest: what a neckline shows. */
export function paintTorso(canvas: Canvas, skeleton: Skeleton, skin: Rgb): void {
  const { scale, spine } = skeleton;
  const heights = Array.from({ length: 12 }, (_, i) => 0.05 + 0.08 * i);
  const edge = (side: number) => [
    onHead(skeleton, side * 11.5, 12),
    onTorso(skeleton, side * 12 * scale, -0.11 * spine),
    onTorso(skeleton, side * 17 * scale, -0.045 * spine),
    onTorso(skeleton, side * (torsoWidth(skeleton, 0) - 6 * scale), 0),
    ...heights.map((down) => onTorso(skeleton, side * 0.97 * torsoWidth(skeleton, down), down * spine)),
  ];
  const path = turned([...edge(1), ...edge(-1).reverse()]);
  canvas.fill([path], skin, { label: LABEL.neck });
  const chin = onHead(skeleton, 0, 25);
  canvas.fill([ellipse(chin, 12 * scale, 10 * scale)], darker(skin, 0.3), { opacity: 0.55 });
  const bone = (side: number) => [
    onTorso(skeleton, side * 4 * scale, 0.035 * spine),
    onTorso(skeleton, side * 26 * scale, 0.01 * spine),
  ];
  canvas.fill([...stroke(bone(1), 1.5 * scale), ...stroke(bone(-1), 1.5 * scale)], darker(skin, 0.25), {
    opacity: 0.5,
  });
}

/** The arm from `from` (0 shoulder, 1 elbow) to the finger tips. */
export function paintArm(canvas: Canvas, skeleton: Skeleton, side: Side, skin: Rgb, from: number): void {
  const limb = skeleton.arms[side];
  const radii = armRadii(skeleton);
  const { middle, end } = limb;
  const start = ring(between(limb.root, middle, from), radiusAt(radii, from));
  const arm = chain([start, ring(middle, radii.middle), ring(end, radii.end)]);
  const skinned = limbSkin(limb, radii, skin);
  canvas.fill([...arm, ...hand(limb, skeleton.scale, side)], skinned, { label: armLabel(side) });
  const tip = handTip(limb);
  const finger = (aside: number) => {
    const length = distance(end, tip);
    const [nx, ny] = [(-(tip.y - end.y) / length) * aside, ((tip.x - end.x) / length) * aside];
    const move = (t: number) => {
      const { x, y } = between(end, tip, t);
      return { x: x + nx * skeleton.scale, y: y + ny * skeleton.scale };
    };
    return stroke([move(0.62), move(0.95)], 1.1 * skeleton.scale);
  };
  canvas.fill([-3, 0, 3].flatMap(finger), darker(skin, 0.35), { opacity: 0.5 });
}

/** Only the shoulder and the upper arm's beginning, which a garment without sleeves lies over. */
export function paintShoulder(canvas: Canvas, skeleton: Skeleton, side: Side, skin: Rgb): void {
  const limb = skeleton.arms[side];
  const radii = armRadii(skeleton);
  const path = capsule(ring(limb.root, radii.root), ring(limb.middle, radii.middle));
  canvas.fill([path], limbSkin(limb, radii, skin), { label: armLabel(side) });
}

/** Palm, fingers and thumb. */
function hand(limb: Limb, scale: number, side: Side): Path[] {
  const { end } = limb;
  const tip = handTip(limb);
  const at = (t: number, radius: number) => ring(between(end, tip, t), radius * scale);
  const [dx, dy] = [tip.x - end.x, tip.y - end.y];
  const turn = outward(side);
  const thumb = (t: number, aside: number, radius: number): Ring => ({
    x: end.x + dx * t + turn * dy * aside,
    y: end.y + dy * t - turn * dx * aside,
    radius: radius * scale,
  });
  return [
    capsule(at(0, 8), at(0.35, 9.5)),
    capsule(at(0.35, 9.5), at(0.8, 6.5)),
    capsule(thumb(0.2, -0.2, 3.8), thumb(0.6, -0.42, 3)),
  ];
}

/** A bag that hangs from a hand. */
export function paintBag(canvas: Canvas, skeleton: Skeleton, side: Side, colour: Rgb): void {
  const { scale } = skeleton;
  const { end } = skeleton.arms[side];
  const grip = between(end, handTip(skeleton.arms[side]), 0.6);
  const at = (x: number, y: number) => ({ x: grip.x + x * scale, y: grip.y + y * scale });
  const label = LABEL.bag;
  canvas.fill(stroke([at(-13, 30), at(-9, 6), at(0, 0), at(9, 6), at(13, 30)], 4 * scale), darker(colour, 0.25), {
    label,
  });
  const body = curve([at(-22, 28), at(0, 26), at(22, 28), at(26, 58), at(22, 66), at(-22, 66), at(-26, 58)], 4);
  canvas.fill([body], colour, { label });
  canvas.fill(stroke([at(-22, 40), at(0, 43), at(22, 40)], 2 * scale), darker(colour, 0.35));
  canvas.fill([ellipse(at(0, 43), 3.5 * scale, 3.5 * scale)], [0.9, 0.78, 0.45]);
}
