/** Short names, each with the class and the options that it stands for. */
export const SCHEDULER_NAMES = {
  unipc: { _class_name: "UniPCMultistepScheduler" },
  ddim: { _class_name: "DDIMScheduler" },
  pndm: { _class_name: "PNDMScheduler", skip_prk_steps: true },
  euler: { _class_name: "EulerDiscreteScheduler" },
  "euler-ancestral": { _class_name: "EulerAncestralDiscreteScheduler" },
  "dpmpp-2m": { _class_name: "DPMSolverMultistepScheduler", algorithm_type: "dpmsolver++", solver_order: 2 },
  "dpmpp-2m-sde": { _class_name: "DPMSolverMultistepScheduler", algorithm_type: "sde-dpmsolver++", solver_order: 2 },
  heun: { _class_name: "HeunDiscreteScheduler" },
  ddpm: { _class_name: "DDPMScheduler" },
  lcm: { _class_name: "LCMScheduler" },
} as const;

/** A short name of a scheduler. */
export type SchedulerName = keyof typeof SCHEDULER_NAMES;
