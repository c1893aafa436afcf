/** A joint in pixels of 384x512; a missing one lies at (0, 0). */
export interface KeyPoint {
  readonly x: number;
  readonly y: number;
}

/**
 * A person's 18 joints in COCO's order: nose, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right
 * hip, knee, ankle, left hip, knee, ankle, right eye, left eye, right ear, left ear.
 */
export type Pose = readonly KeyPoint[];
