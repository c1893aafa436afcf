import type { Category } from "../../../vision/agnostic.ts";
import type { GrayImage, RgbImage } from "../../../vision/image.ts";
import type { Pose } from "../../../vision/pose.ts";
import { Stream } from "../random.ts";
import { paintBackground, drawBackground, type Background } from "./background.ts";
import { paintArm, paintBag, paintLegs, paintShoes, paintShoulder, paintTorso, type Shoe } from "./body.ts";
import { clothColour, darker, skinColour } from "./colour.ts";
import { drawCompanion, drawGarment, GARMENT_LABELS, kindOf, WAIST, type Garment } from "./garment.ts";
import { drawHead, paintBackHair, paintHead, type Head } from "./head.ts";
import { drawSkeletonOf, handTip, keyPointsOf, SIDES, type Framing, type Side, type Skeleton } from "./pose.ts";
import { Canvas, type Rgb } from "./raster.ts";
import { drawFolds, garmentLayers, type Fold, type Layer } from "./wear.ts";

/** Somebody to dress, in front of something. */
export interface Figure {
  readonly skeleton: Skeleton;
  readonly head: Head;
  readonly skin: Rgb;
  readonly shoe: Shoe;
  readonly shoeColour: Rgb;
  /** The hand that holds a bag. */
  readonly bag: Side | undefined;
  readonly bagColour: Rgb;
  readonly folds: readonly Fold[];
  readonly background: Background;
  /** Whether a top is worn inside trousers or skirt. */
  readonly tucked: boolean;
}

/** All that a pair shows: who, in what, and what else they might wear. */
export interface Scene {
  readonly category: Category;
  readonly figure: Figure;
  /** Of the category. */
  readonly garment: Garment;
  /** Of the same kind, nowhere reaching beyond the first: a mask made for the first has room for it. */
  readonly other: Garment;
  /** What is worn with a top, trousers or a skirt. */
  readonly companion: Garment | undefined;
}

function drawFigure(stream: Stream, framing: Framing): Figure {
  const skin = skinColour(stream);
  const skeleton = drawSkeletonOf(stream, framing);
  const hanging = SIDES.filter((side) => handTip(skeleton.arms[side]).y > skeleton.legs[side].root.y + 8);
  const carries = stream.chance(0.15);
  return {
    skin,
    skeleton,
    head: drawHead(stream, skin),
    shoe: stream.weighted({ low: 3, boot: 1 }),
    shoeColour: darker(clothColour(stream), 0.25),
    bag: carries ? hanging[0] : undefined,
    bagColour: clothColour(stream),
    folds: drawFolds(stream),
    background: drawBackground(stream),
    tucked: stream.chance(0.3),
  };
}

const PARTS = { figure: 0, garment: 1, other: 2, companion: 3 };

/** The scene of that number; the same seed and number give the same one, whatever was drawn before. */
export function drawScene(seed: number, index: number, category: Category, framing: Framing = "whole"): Scene {
  const stream = (part: keyof typeof PARTS) => new Stream(seed, index, PARTS[part]);
  const own = stream("garment");
  const kind = kindOf(own, category);
  const garment = drawGarment(own, kind);
  const beside = stream("companion");
  const companionKind = kind === "top" ? beside.pick(["trousers", "trousers", "skirt"] as const) : "top";
  return {
    category,
    figure: drawFigure(stream("figure"), framing),
    garment,
    other: drawGarment(stream("other"), kind, garment.cut),
    companion: category === "dress" ? undefined : drawCompanion(beside, companionKind),
  };
}

/** What of a top is seen over the waist of what it is tucked into. */
const tuckedIn = (top: Garment): Garment => ({ ...top, cut: { ...top.cut, hem: WAIST + 0.05, flare: 1 } });

export interface Worn {
  readonly person: RgbImage;
  readonly labels: GrayImage;
  readonly pose: Pose;
}

/** The scene's person in its garment, or in the other one. */
export function paintPerson(scene: Scene, which: "garment" | "other", width: number, height: number): Worn {
  const { figure, companion } = scene;
  const { skeleton, skin, head } = figure;
  const garment = scene[which];
  const canvas = new Canvas(width, height, { watched: GARMENT_LABELS[garment.kind], view: skeleton.view });
  paintBackground(canvas, figure.background, skeleton);
  paintBackHair(canvas, skeleton, head);
  paintLegs(canvas, skeleton, skin);
  paintShoes(canvas, skeleton, figure.shoe, figure.shoeColour);
  paintTorso(canvas, skeleton, skin);
  const wearing = { skeleton, footprint: canvas.footprint, folds: figure.folds };
  const layersOf = (worn: Garment) =>
    garmentLayers(worn, wearing).map((layer) => ({ layer, label: GARMENT_LABELS[worn.kind] }));
  const [top, bottom] = companion && garment.kind !== "top" ? [companion, garment] : [garment, companion];
  // A top that hung over a skirt would show the skirt on both sides of it.
  const isTucked = bottom !== undefined && (figure.tucked || bottom.kind === "skirt");
  const upper = layersOf(isTucked ? tuckedIn(top) : top);
  const lower = bottom ? layersOf(bottom) : [];
  const isSleeve = ({ layer }: { layer: Layer }) => layer.part === "right" || layer.part === "left";
  const put = ({ layer, label }: { layer: Layer; label: number }) =>
    canvas.fill(layer.paths, layer.paint, layer.opacity === undefined ? { label } : { opacity: layer.opacity });
  if (top.cut.sleeve === "none") for (const side of SIDES) paintShoulder(canvas, skeleton, side, skin);
  const bodice = upper.filter((entry) => !isSleeve(entry));
  for (const entry of isTucked ? [...bodice, ...lower] : [...lower, ...bodice]) put(entry);
  for (const side of SIDES) {
    if (figure.bag === side) paintBag(canvas, skeleton, side, figure.bagColour);
    paintArm(canvas, skeleton, side, skin, top.cut.sleeve === "none" ? 0.5 : 0);
    upper.filter(({ layer }) => layer.part === side).forEach(put);
  }
  paintHead(canvas, skeleton, head);
  return { person: canvas.picture(), labels: canvas.labels(), pose: keyPointsOf(skeleton) };
}
